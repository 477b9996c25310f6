"""`opinion why`: what became of a document in the answer to a query."""

from typing import Final

import click
from rich.text import Text

from second_opinion.gateway.cli.rendering.answer import passage_table
from second_opinion.gateway.cli.session import Session, with_session
from second_opinion.gateway.cli.text import one_line
from second_opinion.schemas.explanation import Fate

_FATES: Final = {
    Fate.BELOW_FLOOR: "below the floor",
    Fate.QUERY_BELOW_FLOOR: "the query is below the floor",
    Fate.OVER_DOCUMENT_CAP: "over the document cap",
}


@click.command()
@click.argument("job_id", metavar="JOB")
@click.argument("document_id", metavar="DOCUMENT")
@with_session
def why(session: Session, *, job_id: str, document_id: str) -> int:
    r"""Say what became of a document in the answer to a query.

    It is kept, or: not indexed, filtered out, not retrieved, lost in fusion, below the floor, above it for a query that
    is below it, over the document cap, over top k. The numbers are shown with it. JOB is the
    id that a query prints after `trace`.

    \b
    Example:
      opinion why 01JX4M2Q8Z returns.md
    """
    found = session.client.why(job_id, document_id)
    terminal = session.terminal
    fate = _FATES.get(found.fate, found.fate.value.replace("_", " "))
    if terminal.as_json:
        terminal.json(found)
        return 0
    if not terminal.interactive:
        terminal.rows([(found.document_id, fate, found.sentence, found.hint)])
        return 0
    style = "green" if found.fate is Fate.KEPT else "yellow"
    terminal.lines(
        [Text.assemble((one_line(found.document_id), "bold"), ": ", (fate, style)), one_line(found.sentence)]
    )
    if found.passages:
        terminal.lines(["", *passage_table(found.passages, found.floor, terminal.width)])
    if found.changed_since:
        terminal.warn("The document has changed since the query was answered")
    if found.hint:
        terminal.hint(found.hint)
    return 0
