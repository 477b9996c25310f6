"""How documents and collections look."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from rich.cells import cell_len
from rich.text import Text

from second_opinion.gateway.cli.text import one_line, shortened, squeezed
from second_opinion.schemas.collection import CollectionRecord
from second_opinion.schemas.document import DocumentState, DocumentStatus

_COLOURS = {DocumentState.FAILED: "red", DocumentState.INDEXED: "green", DocumentState.RECEIVED: "yellow"}


def moment(unix_seconds: float) -> str:
    """Return a time as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(unix_seconds, tz=UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def document_row(status: DocumentStatus) -> tuple[object, ...]:
    """Return a document as a plain row: id, state, chunks that queries see, time of the last change, title, error."""
    error = f"{status.error.code}: {status.error.message}" if status.error else ""
    return (
        status.document_id,
        status.state.value,
        status.chunks,
        moment(status.updated_at),
        squeezed(status.title),
        squeezed(error),
    )


def document_lines(status: DocumentStatus) -> Iterator[Text]:
    """Yield what is known of a document, a fact a line."""
    seen = "the newest version" if status.current else "an older version" if status.searchable else "nothing"
    facts = [
        ("document", f"{status.document_id} in {status.collection}"),
        ("title", squeezed(status.title)),
        ("state", status.state.value),
        ("queries see", f"{seen} ({status.chunks:,} chunks)" if status.searchable else seen),
        ("source version", "" if status.source_version is None else str(status.source_version)),
        ("accepted", moment(status.accepted_at)),
        ("changed", moment(status.updated_at)),
        ("attempts", str(status.attempts) if status.error else ""),
        ("error", f"{status.error.message} ({status.error.code})" if status.error else ""),
        ("hint", status.error.hint if status.error else ""),
    ]
    for name, value in facts:
        if value:
            style = _COLOURS.get(status.state, "") if name == "state" else ""
            yield Text.assemble((f"{name:>15}  ", "dim"), (one_line(value), style))


def document_table(found: Sequence[DocumentStatus], width: int) -> Iterator[Text]:
    """Yield a line for each document: id, state, chunks, title or error."""
    names = [shortened(one_line(status.document_id), max(20, width // 2)) for status in found]
    widest = max(map(cell_len, names), default=0)
    for name, status in zip(names, found, strict=True):
        padding = " " * (widest - cell_len(name))
        told = status.error.message if status.error is not None else status.title
        line = Text.assemble(
            name + padding,
            "  ",
            (f"{status.state.value:<8}", _COLOURS.get(status.state, "dim")),
            f"  {status.chunks:>6,}  ",
        )
        line.append(shortened(squeezed(told), max(width - line.cell_len, 10)), style="dim")
        yield line


def choices_text(collection: CollectionRecord) -> str:
    """Return a collection's own choices as `floor=0.3 top_k=5`."""
    said = collection.overrides.model_dump(exclude_none=True, exclude={"schema_version"})
    return " ".join(f"{name}={value}" for name, value in said.items())
