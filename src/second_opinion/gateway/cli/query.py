"""`opinion query`: a question, and its judged answer or refusal."""

from typing import Any, Final

import click

from second_opinion.gateway.calls import result_of
from second_opinion.gateway.cli import query_options
from second_opinion.gateway.cli.filters import parse_filter
from second_opinion.gateway.cli.program import EXIT_REFUSED, EXIT_UNJUDGED
from second_opinion.gateway.cli.rendering.answer import layout, near_floor, rows, summary, warnings
from second_opinion.gateway.cli.session import Session, with_session
from second_opinion.gateway.cli.terminal import Terminal
from second_opinion.gateway.cli.text import plural
from second_opinion.gateway.protocol import OpinionClient
from second_opinion.schemas.collection import DEFAULT_COLLECTION
from second_opinion.schemas.job import Job
from second_opinion.schemas.query import Filter
from second_opinion.schemas.verdict import Outcome, QueryResult

_EXIT_CODES: Final = {Outcome.ANSWERED: 0, Outcome.REFUSED: EXIT_REFUSED, Outcome.UNJUDGED: EXIT_UNJUDGED}
_TELLS: Final = {
    Outcome.ANSWERED: Terminal.done,
    Outcome.REFUSED: Terminal.neutral,
    Outcome.UNJUDGED: Terminal.warn,
}

share = click.FloatRange(0.0, 1.0)


@click.command()
@click.argument("text")
@click.option("-c", "--collection", default=DEFAULT_COLLECTION, show_default=True, help="Where to look.")
@click.option("--floor", type=share, help="Relevance below which nothing is shown.  [default: the collection's]")
@query_options.top_k
@query_options.candidates
@query_options.chunks_per_document
@click.option(
    "-f", "--filter", "filters", multiple=True, metavar="FILTER", help="Only documents that fit; may be repeated."
)
@click.option("--timeout", type=click.FloatRange(0.1, 3_600), default=60.0, show_default=True, help="Seconds to wait.")
@query_options.reranker
@query_options.on_unavailable
@click.option(
    "--deadline-ms",
    type=click.IntRange(1, 3_600_000),
    help="Milliseconds in which to answer, from what could be read by then.",
)
@click.option("--explain", is_flag=True, help="Show every stage's numbers, and what was dropped.")
@click.option("--all", "everything", is_flag=True, help="Show whole passages, and all that was dropped.")
@with_session
def query(  # noqa: PLR0913 - one argument an option
    session: Session,
    *,
    text: str,
    collection: str,
    filters: tuple[str, ...],
    timeout: float,
    explain: bool,
    everything: bool,
    **choices: Any,
) -> int:
    r"""Ask a question; get what clears the floor, or a refusal.

    The exit code is 0 when it was answered, 3 when it was refused, 4 when it failed, 5 when nobody judged what was
    found, 2 when it was asked wrongly.

    \b
    Filters:
      lang=en          the field has this value        year>=2020   it is at least this (also > <= <)
      lang=en,de       it has one of these             has:doi      it is there (missing:doi: it is not)

    \b
    Examples:
      opinion query "who approves refunds?"
      opinion query "who approves refunds?" --explain --floor 0.3
      opinion query "dosage" --filter "year>=2020" --filter lang=en --json
    """
    client = session.client
    job = client.submit_query(
        text,
        collection=collection,
        filters=_filters(client, collection, filters),
        timeout=timeout,
        **{name: value for name, value in choices.items() if value is not None},
    )
    try:
        job = client.wait(job.job_id, timeout=timeout + 1.0)
    except KeyboardInterrupt:
        client.cancel(job.job_id)
        raise
    return show_result(session, job, explain=explain, everything=everything)


def show_result(session: Session, job: Job, *, explain: bool, everything: bool) -> int:
    """Print the result of a job that has ended; return the exit code.

    Raises:
        OpinionError: Why there is no result.
    """
    result, terminal = result_of(job), session.terminal
    if terminal.as_json:
        terminal.json(job)
    elif terminal.interactive:
        terminal.lines(layout(result, explain=explain, everything=everything, width=terminal.width))
    else:
        terminal.rows(rows(result, explain=explain))
    if not terminal.as_json:
        _TELLS[result.outcome](terminal, summary(result))
        for warning in warnings(result):
            terminal.warn(warning)
        _hint(session, result, explain=explain)
    return _EXIT_CODES[result.outcome]


def _hint(session: Session, result: QueryResult, *, explain: bool) -> None:
    near = near_floor(result)
    if near:
        session.terminal.hint(f"{plural(near, 'candidate')} within 0.05 of the floor: opinion floor report")
    elif not explain and result.outcome is Outcome.REFUSED and result.candidates:
        session.terminal.hint(f"See what came closest: opinion job show {result.job_id} --explain")


def _filters(client: OpinionClient, collection: str, texts: tuple[str, ...]) -> list[Filter]:
    types = client.field_types(collection) if texts else {}
    return [parse_filter(text, types) for text in texts]
