"""`opinion dead-letters`: documents that failed, and trying them again."""

from itertools import islice

import click

from second_opinion.gateway.batching import batched
from second_opinion.gateway.cli.program import EXIT_FAILED
from second_opinion.gateway.cli.rendering.records import moment
from second_opinion.gateway.cli.session import Session, with_session
from second_opinion.gateway.cli.text import one_line, plural, shortened
from second_opinion.schemas.collection import DEFAULT_COLLECTION
from second_opinion.schemas.document import AcceptOutcome, DocumentState, DocumentStatus, Receipt

NAME_CELLS = 40

collection_option = click.option(
    "-c", "--collection", default=DEFAULT_COLLECTION, show_default=True, help="Where the documents are."
)


@click.group("dead-letters")
def dead_letters() -> None:
    r"""List documents that failed, and try them again.

    What was sent is kept with a failed document until it is replaced or deleted, so it need not be sent again.

    \b
    Examples:
      opinion dead-letters list
      opinion dead-letters retry scan-7.md
      opinion dead-letters retry --all
    """


@dead_letters.command("list")
@collection_option
@click.option("-n", "--limit", type=click.IntRange(min=1), help="At most so many.")
@with_session
def list_failed(session: Session, *, collection: str, limit: int | None) -> int:
    """List documents whose newest version failed, with the reason and what to do."""
    terminal = session.terminal
    found = list(islice(session.client.documents(collection=collection, state=DocumentState.FAILED.value), limit))
    if terminal.as_json:
        terminal.json(found)
        return 0
    if not terminal.interactive:
        terminal.rows(_row(one) for one in found)
        return 0
    for one in found:
        reason = one.error.message if one.error else "no reason is recorded"
        terminal.lines([f"  {shortened(one_line(one.document_id), NAME_CELLS)}: {one_line(reason)}"])
        if one.error and one.error.hint:
            terminal.lines([f"      hint: {one_line(one.error.hint)}"])
    if found:
        terminal.failed(f"{plural(len(found), 'document')} failed")
        terminal.hint(f"opinion dead-letters retry --all -c {collection}")
    else:
        terminal.done("No document has failed")
    return 0


@dead_letters.command()
@click.argument("document_ids", metavar="DOCUMENT...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that failed.")
@collection_option
@with_session
def retry(session: Session, *, document_ids: tuple[str, ...], everything: bool, collection: str) -> int:
    """Work again on documents that failed, with what was sent before."""
    if everything == bool(document_ids):
        raise click.UsageError("Name documents, or --all.")
    names = document_ids or tuple(
        one.document_id for one in session.client.documents(collection=collection, state=DocumentState.FAILED.value)
    )
    receipts: list[Receipt] = []
    for batch in batched(names, len):
        receipts += session.client.retry_documents(batch, collection=collection)
    terminal = session.terminal
    rejected = [one for one in receipts if one.outcome is AcceptOutcome.REJECTED]
    if terminal.as_json:
        terminal.json(receipts)
        return EXIT_FAILED if rejected else 0
    begun = sum(one.outcome is AcceptOutcome.ACCEPTED for one in receipts)
    terminal.done(f"Begun anew: {plural(begun, 'document')}")
    for one in rejected:
        terminal.failed(f"{one.document_id}: {one.error.message if one.error else 'rejected'}")
    if begun:
        terminal.hint(f"opinion document list --state received -c {collection}")
    return EXIT_FAILED if rejected else 0


def _row(status: DocumentStatus) -> tuple[object, ...]:
    error = status.error
    return (
        status.document_id,
        error.code if error else "",
        error.message if error else "",
        error.hint if error else "",
        moment(status.updated_at),
    )
