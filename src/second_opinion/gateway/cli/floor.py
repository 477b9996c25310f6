"""`opinion floor`: what past queries say of a floor."""

import click

from second_opinion.gateway.cli.program import EXIT_REFUSED
from second_opinion.gateway.cli.rendering import floor as rendering
from second_opinion.gateway.cli.session import Session, with_session
from second_opinion.gateway.evidence import FLOORS
from second_opinion.schemas.floor_choice import FloorFinding, FloorGoal

share = click.FloatRange(0.0, 1.0)
collection_option = click.option("-c", "--collection", help="Queries to this collection alone.  [default: all]")


@click.group()
def floor() -> None:
    r"""Choose a floor from the evidence of past queries.

    \b
    Examples:
      opinion floor report
      opinion floor replay --floor 0.5
      opinion floor suggest --precision 0.9
      opinion collections set default --floor 0.46
    """


@floor.command()
@collection_option
@click.option("--floor", "floors", type=share, multiple=True, help="A floor to look at; may be repeated.")
@with_session
def report(session: Session, *, collection: str | None, floors: tuple[float, ...]) -> int:
    """Show how relevance is spread over past queries, and what each floor would have done with them.

    Precision, recall and wrong refusals are measured on judged candidates, with 95 % intervals.
    """
    found = session.client.evidence.report(collection, floors=floors or FLOORS)
    terminal = session.terminal
    if terminal.as_json:
        terminal.json(found)
        return 0
    if not terminal.interactive:
        terminal.rows(rendering.report_rows(found))
    elif found.spread.traces:
        terminal.lines(rendering.report_layout(found))
    rendering.say_report(terminal, found)
    return 0


@floor.command()
@collection_option
@click.option("--floor", "at", type=share, required=True, help="The floor to try.")
@click.option("--examples", type=click.IntRange(0, 1_000), default=10, show_default=True, help="Queries to show.")
@with_session
def replay(session: Session, *, collection: str | None, at: float, examples: int) -> int:
    """Show what past queries would have answered at another floor.

    Every other choice stays as it was for each query.
    """
    found = session.client.evidence.replay(at, collection, examples=examples)
    terminal = session.terminal
    if terminal.as_json:
        terminal.json(found)
        return 0
    if terminal.interactive:
        terminal.lines(rendering.replay_layout(found, terminal.width))
    else:
        terminal.rows(rendering.replay_rows(found))
    rendering.say_replay(terminal, found)
    return 0


@floor.command()
@collection_option
@click.option("--precision", type=share, help="The lowest floor at which this share of what is shown is relevant.")
@click.option("--recall", type=share, help="The highest floor that shows this share of what is relevant.")
@click.option("--refusal-f1", is_flag=True, help="The floor that best tells questions with and without an answer.")
@with_session
def suggest(
    session: Session, *, collection: str | None, precision: float | None, recall: float | None, refusal_f1: bool
) -> int:
    """Suggest a floor for a goal, with 95 % intervals.

    The exit code is 3 when no floor can be suggested: because the scores do not separate what is relevant from what is
    not, or because no floor reaches the goal.
    """
    goals: list[tuple[FloorGoal, float | None]] = [(FloorGoal.PRECISION, precision), (FloorGoal.RECALL, recall)]
    chosen = [one for one in goals if one[1] is not None]
    chosen += [(FloorGoal.REFUSAL_F1, None)] if refusal_f1 else []
    if len(chosen) != 1:
        raise click.UsageError("Name one goal: --precision 0.9, --recall 0.9 or --refusal-f1.")
    ((goal, target),) = chosen
    found = session.client.evidence.suggest(goal, target, collection)
    terminal = session.terminal
    if terminal.as_json:
        terminal.json(found)
    else:
        if found.floor is not None:
            terminal.rows([rendering.suggestion_row(found)])
        rendering.say_suggestion(terminal, found)
    return 0 if found.finding is FloorFinding.FOUND else EXIT_REFUSED
