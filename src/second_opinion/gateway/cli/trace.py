"""`opinion trace`: one past query, candidate by candidate."""

import click

from second_opinion.gateway.cli.rendering.trace import TraceView, layout, rows
from second_opinion.gateway.cli.session import Session, with_session
from second_opinion.gateway.cli.terminal import as_data


@click.command()
@click.argument("job_id", metavar="JOB")
@click.option("--all", "everything", is_flag=True, help="Show every candidate.")
@with_session
def trace(session: Session, *, job_id: str, everything: bool) -> int:
    r"""Explain a past query candidate by candidate.

    Shows where each candidate stood in both lists, after fusion and after the second opinion, its relevance, and what
    became of it. JOB is the id that a query prints after `trace`. Traces outlive results: they are kept for as many
    days as OPINION_TRACE_DAYS says.

    \b
    Examples:
      opinion trace 01JX4M2Q8Z
      opinion trace 01JX4M2Q8Z --all --json
    """
    evidence, terminal = session.client.evidence, session.terminal
    found = evidence.trace(job_id)
    judged = evidence.judged(found)
    if terminal.as_json:
        said = {chunk: one.relevant for chunk, one in judged.items()}
        terminal.json({**as_data(found), "judged_relevant": said})
        return 0
    view = TraceView(found, evidence.chunks(found), {chunk: one.relevant for chunk, one in judged.items()})
    if not terminal.interactive:
        terminal.rows(rows(view))
        return 0
    terminal.lines(layout(view, everything=everything, width=terminal.width))
    if found.candidates and not judged:
        terminal.hint(f"Say what is relevant: opinion judge {job_id} RANK relevant (or irrelevant)")
    return 0
