"""`opinion ingest`: documents from files, folders and JSON lines."""

import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import click

from second_opinion.gateway.cli.filters import parse_metadata
from second_opinion.gateway.cli.intake import Intake
from second_opinion.gateway.cli.program import EXIT_FAILED, EXIT_INTERRUPTED
from second_opinion.gateway.cli.progress import WorkProgress
from second_opinion.gateway.cli.rendering.ingest import report_accepted, report_failures, report_searchable
from second_opinion.gateway.cli.session import Session, with_session
from second_opinion.gateway.sources import (
    STDIN,
    Defaults,
    Unreadable,
    count_documents,
    find_files,
    read_files,
    read_lines,
)
from second_opinion.samples import samples_folder
from second_opinion.schemas.collection import DEFAULT_COLLECTION
from second_opinion.schemas.document import DocumentInput
from second_opinion.schemas.errors import InvalidRequest

WAIT_SECONDS = 120.0


@click.command()
@click.argument("paths", nargs=-1, metavar="PATH...|-")
@click.option("--samples", is_flag=True, help="Ingest the sample leaflets that come with this program.")
@click.option("-c", "--collection", help="Where the documents go. Default: what a JSON line says, else `default`.")
@click.option("-m", "--metadata", "fields", multiple=True, metavar="FIELD=VALUE", help="Store this with each document.")
@click.option("--wait/--no-wait", default=True, help="Wait until the documents are searchable.  [default: wait]")
@click.option(
    "--wait-timeout",
    type=click.FloatRange(min=0),
    default=WAIT_SECONDS,
    show_default=True,
    help="Seconds without progress after which waiting ends.",
)
@click.option("--bulk", is_flag=True, help="A first fill: no replicas and no refreshes by time until it is done.")
@with_session
def ingest(  # noqa: PLR0913 - one argument an option
    session: Session,
    *,
    paths: tuple[str, ...],
    samples: bool,
    collection: str | None,
    fields: tuple[str, ...],
    wait: bool,
    wait_timeout: float,
    bulk: bool,
) -> int:
    r"""Send documents: files, folders or JSON lines.

    Text and Markdown files are one document each, with the path below the folder given as their id. Files of JSON lines
    (.jsonl, .ndjson), and standard input as -, hold one object a line: id and text, and if wanted title, metadata,
    collection, uri, media_type, source_version. Sending a document again replaces it; an unchanged one costs nothing.

    \b
    Examples:
      opinion ingest ./handbook
      opinion ingest notes.md corpus.jsonl --collection team --metadata year=2026
      producer | opinion ingest - --no-wait
      opinion ingest --samples
      opinion ingest ./archive --collection archive --bulk
    """
    if samples == bool(paths):
        raise click.UsageError("Give files or folders, or - for JSON lines on stdin, or --samples.")
    if bulk and not wait:
        raise click.UsageError("--bulk waits until the documents are searchable: it cannot be had with --no-wait.")
    defaults = Defaults(collection=collection, metadata=dict(parse_metadata(field) for field in fields))
    places = (str(samples_folder()),) if samples else paths
    documents, total, skipped = _documents(places, defaults)
    with session.client.bulk_load(collection or DEFAULT_COLLECTION) if bulk else nullcontext():
        return _ingest(
            session, documents, total, skipped=0 if samples else skipped, wait_timeout=wait_timeout if wait else None
        )


def _ingest(
    session: Session,
    documents: Iterator[DocumentInput | Unreadable],
    total: int | None,
    *,
    skipped: int,
    wait_timeout: float | None,
) -> int:
    """Send the documents and say what became of them; wait for them where a time is given."""
    wait = wait_timeout is not None
    intake = Intake(session.client, session.terminal.neutral)
    began = time.monotonic()
    try:
        with WorkProgress(session.terminal, total) as progress:
            intake.send(documents, progress)
        report_accepted(session.terminal, intake.counts, time.monotonic() - began, skipped=skipped)
        if wait_timeout is not None and intake.pending:
            with WorkProgress(session.terminal, intake.pending) as progress:
                intake.wait(wait_timeout, progress)
        report_searchable(session.terminal, intake, time.monotonic() - began, waited=wait)
    except KeyboardInterrupt:
        session.terminal.failed(f"Interrupted: {intake.counts.accepted:,} accepted documents will become searchable")
        session.terminal.hint("Run the same command again: what is unchanged costs nothing")
        return EXIT_INTERRUPTED
    report_failures(session.terminal, intake)
    return EXIT_FAILED if intake.failures or (wait and intake.pending) else 0


def _documents(
    paths: tuple[str, ...], defaults: Defaults
) -> tuple[Iterator[DocumentInput | Unreadable], int | None, int]:
    """Return the documents, how many there are if that is known, and how many files were left alone."""
    if STDIN in paths:
        if len(paths) > 1:
            raise click.UsageError("- reads standard input and cannot be mixed with files.")
        return read_lines(sys.stdin.buffer, "stdin", defaults), None, 0
    found = find_files(Path(path) for path in paths)
    if not found.files:
        raise InvalidRequest(
            f"no documents in {', '.join(paths)}", hint="Files that are read: .txt .text .md .markdown .jsonl .ndjson"
        )
    return read_files(found.files, defaults), count_documents(found.files), found.skipped
