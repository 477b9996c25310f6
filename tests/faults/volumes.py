"""Documents of which every chunk names document and version, in its text and in its metadata.

So each read of them can be held against what was sent.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from second_opinion.schemas.chunk import ChunkHit
from second_opinion.schemas.document import DocumentState, DocumentStatus
from second_opinion.schemas.verdict import Passage
from tests.faults.histories import Sight

VERSION: Final = "version"
NAME: Final = "name"
PARTS: Final = 3
MARK: Final = re.compile(r"ledger(\d+) in version (\d+), part (\d+)\b")


def document_id(document: int) -> str:
    """Return the id of a document."""
    return f"ledger{document:04d}"


def payload(document: int, version: int) -> dict[str, Any]:
    """Return one version as a caller sends it: of three chunks, each of which names it."""
    name = document_id(document)
    told = "It lies on a shelf of its own, and whoever borrows it signs with the keeper of the harbour before noon."
    parts = [f"This is {name} in version {version}, part {part} of {PARTS}. {told}" for part in range(PARTS)]
    return {
        "id": name,
        "text": "\n\n".join(parts),
        "source_version": version,
        "metadata": {NAME: name, VERSION: version},
    }


def question(document: int) -> str:
    """Return a question about a document."""
    return f"Who keeps {document_id(document)}?"


def number_of(name: str) -> int:
    """Return the number of the document that has this id."""
    return int(name.removeprefix("ledger"))


@dataclass(frozen=True, slots=True)
class Shown:
    """A chunk that a read showed. `count` is how many its document has, where the read tells it."""

    document: int
    version: int
    ordinal: int
    text: str
    write_set: str
    count: int | None = None

    @classmethod
    def of(cls, chunk: ChunkHit | Passage, *, write_set: str, count: int | None = None) -> Self:
        """Read what a chunk tells of itself."""
        version = int(str(chunk.metadata[VERSION]))
        return cls(number_of(chunk.document_id), version, chunk.ordinal, chunk.text or "", write_set, count)


def torn(document: int, chunks: Sequence[Shown], *, whole: bool) -> tuple[str, str] | None:
    """Return what is wrong with the chunks that one read showed of a document, and in which way; None if nothing is."""
    versions, sets = {one.version for one in chunks}, {one.write_set for one in chunks}
    texts = {match.groups()[:2] if (match := MARK.search(one.text)) else one.text for one in chunks}
    named = {(f"{document:04d}", f"{version}") for version in versions}
    if len(versions) > 1 or len(sets) > 1 or texts != named:
        return "mixed", f"document {document}: versions {versions} of sets {sets}, texts of {texts}"
    if whole and sorted(one.ordinal for one in chunks) != list(range(chunks[0].count or PARTS)):
        return "partial", f"document {document}: {len(chunks)} of {chunks[0].count} chunks"
    return None


def sight_of(status: DocumentStatus, begun: float, ended: float) -> Sight | None:
    """Return what a status tells of what readers see; None when it leaves open which version that is."""
    if status.state is DocumentState.DELETED:
        return Sight(begun, ended, status.source_version, deleted=True)
    if status.state is DocumentState.INDEXED:
        return Sight(begun, ended, status.source_version)
    return None if status.searchable else Sight(begun, ended, None)
