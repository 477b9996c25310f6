"""`opinion usage`: what asking managed rerankers costs."""

from collections.abc import Iterator, Sequence

import click
from rich.text import Text

from second_opinion.gateway.cli.session import Session, with_session
from second_opinion.gateway.cli.text import plural
from second_opinion.schemas.usage import DailyUsage, RerankUsage
from second_opinion.workers.rerankers import open_usage
from second_opinion.workers.settings import load_settings


@click.command()
@click.option("--days", type=click.IntRange(1, 400), default=30, show_default=True, help="How many, today included.")
@with_session
def usage(session: Session, *, days: int) -> int:
    r"""Show what managed rerankers cost, day by day.

    Counted by all rerank workers together, at the moment an answer arrives: answers that could not be used, and those
    of queries that failed, were paid for as well. Days are those of UTC.

    \b
    Examples:
      opinion usage
      opinion usage --days 7 --json
    """
    terminal = session.terminal
    spent = open_usage(load_settings()).read(days)
    if terminal.as_json:
        terminal.json({"days": days, "usage": spent, "totals": _totals(spent)})
        return 0
    if terminal.interactive:
        terminal.lines(_layout(spent))
    else:
        terminal.rows(_row(one) for one in spent)
    if not spent:
        terminal.neutral(f"No managed reranker was asked in the last {plural(days, 'day')}")
    for name, total in _totals(spent).items():
        amounts = f"{total.requests:,} requests, {total.search_units:,g} search units, {total.tokens:,} tokens"
        terminal.done(f"{name}: {amounts} in {plural(days, 'day')}")
    return 0


def _totals(spent: Sequence[DailyUsage]) -> dict[str, RerankUsage]:
    found: dict[str, RerankUsage] = {}
    for one in spent:
        found[one.name] = found.get(one.name, RerankUsage()) + one
    return found


def _row(one: DailyUsage) -> tuple[object, ...]:
    return (one.day, one.name, one.requests, f"{one.search_units:g}", one.tokens, one.unusable)


def _layout(spent: Sequence[DailyUsage]) -> Iterator[Text]:
    if spent:
        yield Text(
            f"{'day':<12}{'reranker':<20}{'requests':>10}{'search units':>14}{'tokens':>12}{'unusable':>10}", "bold"
        )
    for one in spent:
        amounts = f"{one.requests:>10,}{one.search_units:>14,g}{one.tokens:>12,}{one.unusable:>10,}"
        yield Text(f"{one.day:<12}{one.name:<20}{amounts}")
