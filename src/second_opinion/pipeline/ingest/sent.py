"""What was sent for operations, with its text: as it was sent, or as it was extracted from bytes."""

from collections.abc import Sequence
from dataclasses import dataclass

from second_opinion.pipeline.ports import ContentStore
from second_opinion.schemas.document import ContentRecord, DocumentRecord, DocumentRef
from second_opinion.schemas.errors import ContentMissing


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent for one operation."""

    content: ContentRecord
    text: str


class SentTexts:
    """What was sent for some operations, read at once."""

    def __init__(self, store: ContentStore, refs: Sequence[DocumentRef]) -> None:
        self._contents = store.get(refs)
        bytes_only = [ref for ref, content in self._contents.items() if content.text is None]
        self._extracted = store.get_texts(bytes_only)

    def of(self, ref: DocumentRef | None, record: DocumentRecord) -> Sent:
        """Return what was sent for one of them, an operation of this record.

        Raises:
            ContentMissing: If it, or its text, is not there.
        """
        content, extracted = (self._contents.get(ref), self._extracted.get(ref)) if ref else (None, None)
        if content is not None and content.text is not None:
            return Sent(content, content.text)
        if content is None or extracted is None:
            raise ContentMissing(f"what was sent for document {record.document_id!r} is missing")
        return Sent(content, extracted.text)
