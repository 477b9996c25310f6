"""`opinion document`: what is known of documents, and deleting them."""

from itertools import islice

import click

from second_opinion.gateway.cli.program import EXIT_FAILED
from second_opinion.gateway.cli.rendering.records import document_lines, document_row, document_table
from second_opinion.gateway.cli.session import Session, with_session
from second_opinion.gateway.cli.text import block, plural
from second_opinion.schemas.collection import DEFAULT_COLLECTION
from second_opinion.schemas.document import DocumentState

LISTED = 50

collection_option = click.option(
    "-c", "--collection", default=DEFAULT_COLLECTION, show_default=True, help="Where the document is."
)


@click.group()
def document() -> None:
    r"""Look at or delete documents.

    \b
    Examples:
      opinion document list --state failed
      opinion document status refunds.md
      opinion document chunks refunds.md
      opinion document delete refunds.md
    """


@document.command()
@click.argument("document_id", metavar="DOCUMENT")
@collection_option
@with_session
def status(session: Session, *, document_id: str, collection: str) -> int:
    """Show where a document is: received, indexed, failed or deleted.

    The exit code is 4 when its newest version has failed.
    """
    found = session.client.document_status(document_id, collection=collection)
    terminal = session.terminal
    if terminal.as_json:
        terminal.json(found)
    elif terminal.interactive:
        terminal.lines(document_lines(found))
    else:
        terminal.rows([document_row(found)])
    return EXIT_FAILED if found.state is DocumentState.FAILED else 0


@document.command()
@click.argument("document_id", metavar="DOCUMENT")
@collection_option
@with_session
def show(session: Session, *, document_id: str, collection: str) -> int:
    """Show a document as queries see it: its state, then its text chunk by chunk."""
    found = session.client.document_status(document_id, collection=collection)
    chunks = session.client.document_chunks(document_id, collection=collection)
    terminal = session.terminal
    if terminal.as_json:
        terminal.json({"document": found, "chunks": chunks})
        return 0
    terminal.lines(document_lines(found))
    for chunk in chunks:
        terminal.lines(["", block(chunk.text)])
    return 0


@document.command()
@click.argument("document_id", metavar="DOCUMENT")
@collection_option
@with_session
def chunks(session: Session, *, document_id: str, collection: str) -> int:
    """List the chunks that queries see: number, start, end, section and text."""
    found = session.client.document_chunks(document_id, collection=collection)
    terminal = session.terminal
    if terminal.as_json:
        terminal.json(found)
        return 0
    terminal.rows((chunk.ordinal, chunk.start, chunk.end, " › ".join(chunk.headings), chunk.text) for chunk in found)
    terminal.done(plural(len(found), "chunk"))
    return 0


@document.command("list")
@collection_option
@click.option("--state", type=click.Choice([state.value for state in DocumentState]), help="Only those in this state.")
@click.option("--after", help="Only those whose id comes after this one.")
@click.option("-n", "--limit", type=click.IntRange(min=1), help=f"At most so many.  [default: {LISTED} on a terminal]")
@with_session
def list_documents(
    session: Session, *, collection: str, state: str | None, after: str | None, limit: int | None
) -> int:
    """List documents by id."""
    terminal = session.terminal
    most = limit or (LISTED if terminal.interactive and not terminal.as_json else None)
    documents = session.client.documents(collection=collection, state=state, after=after)
    found = islice(documents, most)
    if terminal.as_json:
        terminal.json(list(found))
    elif not terminal.interactive:
        terminal.rows(document_row(one) for one in found)
    else:
        shown = list(found)
        terminal.lines(document_table(shown, terminal.width))
        if next(documents, None) is not None:
            terminal.hint(f"More: opinion document list --collection {collection} --after {shown[-1].document_id}")
        elif not shown:
            terminal.neutral("No documents")
    return 0


@document.command()
@click.argument("document_ids", metavar="DOCUMENT...", nargs=-1, required=True)
@collection_option
@click.option("--source-version", type=click.IntRange(min=0), help="The upstream version that deletes it.")
@with_session
def delete(session: Session, *, document_ids: tuple[str, ...], collection: str, source_version: int | None) -> int:
    """Delete documents: no query that begins after this sees them."""
    receipts = [
        session.client.delete_document(name, collection=collection, source_version=source_version)
        for name in document_ids
    ]
    if session.terminal.as_json:
        session.terminal.json(receipts)
    for receipt in receipts if not session.terminal.as_json else ():
        session.terminal.done(f"{receipt.outcome.value.capitalize()} {receipt.document_id}")
    return 0
