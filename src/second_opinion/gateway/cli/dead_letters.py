"""`opinion dead-letters`: documents that failed, trying them again, and giving them up."""

import shlex
from collections.abc import Callable, Sequence
from itertools import islice

import click

from second_opinion.gateway.batching import batched
from second_opinion.gateway.cli.program import EXIT_FAILED
from second_opinion.gateway.cli.rendering.records import document_lines, moment
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
    r"""List documents that failed, try them again, or give them up.

    What was sent is kept with a failed document until it is replaced or deleted, so it need not be sent again.

    \b
    Examples:
      opinion dead-letters list
      opinion dead-letters show scan-7.md
      opinion dead-letters retry --all
      opinion dead-letters purge scan-7.md
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
@click.argument("document_id", metavar="DOCUMENT")
@collection_option
@with_session
def show(session: Session, *, document_id: str, collection: str) -> int:
    """Show why a document failed, how often it was tried, and what queries see of it meanwhile.

    The exit code is 4 when it has failed, 0 when it has not (any more).
    """
    found = session.client.document_status(document_id, collection=collection)
    terminal = session.terminal
    failed = found.state is DocumentState.FAILED
    if terminal.as_json:
        terminal.json(found)
    elif not terminal.interactive:
        terminal.rows([_row(found)])
    else:
        terminal.lines(document_lines(found))
        if failed:
            where = "" if collection == DEFAULT_COLLECTION else f" -c {collection}"
            terminal.hint(f"Once the cause is gone: opinion dead-letters retry {shlex.quote(document_id)}{where}")
        else:
            terminal.neutral("It has not failed")
    return EXIT_FAILED if failed else 0


@dead_letters.command()
@click.argument("document_ids", metavar="DOCUMENT...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that failed.")
@collection_option
@with_session
def purge(session: Session, *, document_ids: tuple[str, ...], everything: bool, collection: str) -> int:
    """Give documents up that failed: what was sent for them is removed.

    An older version that queries see stays; without one, the document is deleted.
    """
    names = _named(session, document_ids, everything=everything, collection=collection)
    receipts = _in_batches(session.client.purge_documents, names, collection)
    deleted, kept = _count(receipts, AcceptOutcome.DELETED), _count(receipts, AcceptOutcome.UNCHANGED)
    return _told(session, receipts, f"Deleted {plural(deleted, 'document')}, {kept} stay as queries see them")


@dead_letters.command()
@click.argument("document_ids", metavar="DOCUMENT...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that failed.")
@collection_option
@with_session
def retry(session: Session, *, document_ids: tuple[str, ...], everything: bool, collection: str) -> int:
    """Work again on documents that failed, with what was sent before."""
    names = _named(session, document_ids, everything=everything, collection=collection)
    receipts = _in_batches(session.client.retry_documents, names, collection)
    begun = _count(receipts, AcceptOutcome.ACCEPTED)
    code = _told(session, receipts, f"Begun anew: {plural(begun, 'document')}")
    if begun and not session.terminal.as_json:
        session.terminal.hint(f"opinion document list --state received -c {collection}")
    return code


def _named(session: Session, document_ids: tuple[str, ...], *, everything: bool, collection: str) -> tuple[str, ...]:
    if everything == bool(document_ids):
        raise click.UsageError("Name documents, or --all.")
    if document_ids:
        return document_ids
    failed = session.client.documents(collection=collection, state=DocumentState.FAILED.value)
    return tuple(one.document_id for one in failed)


def _in_batches(act: Callable[..., list[Receipt]], names: Sequence[str], collection: str) -> list[Receipt]:
    return [receipt for batch in batched(names, len) for receipt in act(batch, collection=collection)]


def _count(receipts: Sequence[Receipt], outcome: AcceptOutcome) -> int:
    return sum(one.outcome is outcome for one in receipts)


def _told(session: Session, receipts: Sequence[Receipt], summary: str) -> int:
    """Print what became of the documents; return the exit code."""
    terminal = session.terminal
    rejected = [one for one in receipts if one.outcome is AcceptOutcome.REJECTED]
    if terminal.as_json:
        terminal.json(receipts)
    else:
        terminal.done(summary)
        for one in rejected:
            terminal.failed(f"{one.document_id}: {one.error.message if one.error else 'rejected'}")
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
