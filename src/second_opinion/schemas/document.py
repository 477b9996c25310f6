"""Documents: what callers send, what Elasticsearch records of them, and what callers hear back."""

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import Base64Bytes, Field, StringConstraints, computed_field, field_validator, model_validator

from second_opinion.schemas.base import Record, Request, Versioned
from second_opinion.schemas.collection import DEFAULT_COLLECTION, CollectionName
from second_opinion.schemas.errors import (
    DocumentTooLarge,
    EmptyDocument,
    ErrorInfo,
    InvalidDocument,
    MetadataTypeConflict,
    OpinionError,
    UnsupportedMediaType,
)

MAX_DOCUMENT_BYTES: Final = 32 * 1024 * 1024
MAX_METADATA_FIELDS: Final = 64
MEDIA_TYPES: Final = ("text/plain", "text/markdown")

MetadataName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")]
MetadataText = Annotated[str, StringConstraints(max_length=1_024)]
MetadataScalar = (
    bool | Annotated[int, Field(ge=-(2**53), le=2**53)] | Annotated[float, Field(allow_inf_nan=False)] | MetadataText
)
MetadataValue = MetadataScalar | Annotated[list[MetadataScalar], Field(max_length=100)]
Metadata = dict[MetadataName, MetadataValue]
DocumentId = Annotated[str, StringConstraints(min_length=1, max_length=512, strip_whitespace=False)]


class DocumentInput(Request):
    """One document as a caller sends it: text, or the bytes of a file.

    Attributes:
        id: The caller's own id; sending it again replaces the document.
        text: The text, when the caller has it.
        content: The bytes of a file (base64 in JSON), when the text still has to be extracted.
        media_type: What the text or the bytes are.
        source_version: A number that only grows in the upstream system; older ones never overwrite newer ones.
            Left out, the last one to arrive wins.
        metadata: Values to filter on: strings, numbers, booleans or lists of them.
    """

    error_type: ClassVar[type[OpinionError]] = InvalidDocument

    id: DocumentId
    collection: CollectionName = DEFAULT_COLLECTION
    title: str = Field(default="", max_length=1_024)
    text: str | None = None
    content: Base64Bytes | None = None
    media_type: str = "text/plain"
    source_version: int | None = Field(default=None, ge=0, le=2**62)
    uri: str = Field(default="", max_length=2_048)
    metadata: Metadata = Field(default_factory=dict, max_length=MAX_METADATA_FIELDS)

    @field_validator("title", "uri", "text", mode="before")
    @classmethod
    def _valid_unicode(cls, value: object) -> object:
        # A lone surrogate can come out of JSON but can go into neither UTF-8 nor Elasticsearch. An id that has one is
        # refused instead: two ids must not become one.
        return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_one_body(self) -> Self:
        if (self.text is None) == (self.content is None):
            raise EmptyDocument(f"document {self.id!r}: send exactly one of text and content")
        size = len(self.content) if self.content is not None else len((self.text or "").encode())
        if size > MAX_DOCUMENT_BYTES:
            raise DocumentTooLarge(f"document {self.id!r} has {size:,} bytes; the limit is {MAX_DOCUMENT_BYTES:,}")
        if self.text is not None and not self.text.replace("\x00", "").strip():
            raise EmptyDocument(f"document {self.id!r} has no text, or only white space")
        if self.text is not None and self.media_type not in MEDIA_TYPES:
            known = ", ".join(MEDIA_TYPES)
            raise UnsupportedMediaType(f"document {self.id!r}: text cannot be of type {self.media_type!r} ({known})")
        return self


def document_key(collection: str, document_id: str) -> str:
    """Return K, the key of a document everywhere inside: 40 hex digits, so ids with slashes or emoji are harmless."""
    digest = hashlib.blake2b(digest_size=20)
    digest.update(collection.encode())
    digest.update(b"\x00")
    digest.update(document_id.encode("utf-8", "replace"))
    return digest.hexdigest()


def field_type(name: str, value: MetadataValue) -> str | None:
    """Return how a metadata value is indexed: keyword, double or boolean; None for an empty list.

    Raises:
        MetadataTypeConflict: If a list mixes types, because one field has one type.
    """
    values = value if isinstance(value, list) else [value]
    kinds = {_scalar_type(one) for one in values}
    if len(kinds) > 1:
        raise MetadataTypeConflict(
            f"metadata field {name!r} mixes {' and '.join(sorted(kinds))} values in one list",
            hint="Send values of one type in each field.",
        )
    return kinds.pop() if kinds else None


def _scalar_type(value: MetadataScalar) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "keyword" if isinstance(value, str) else "double"


class DocumentRef(Record):
    """One operation on one document: K and g."""

    key: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    target: Annotated[str, StringConstraints(min_length=1, max_length=512)]


class DeletionInput(Request):
    """The deletion of one document as a caller sends it."""

    error_type: ClassVar[type[OpinionError]] = InvalidDocument

    id: DocumentId
    collection: CollectionName = DEFAULT_COLLECTION
    source_version: int | None = Field(default=None, ge=0, le=2**62)


class DocumentState(StrEnum):
    """Where a document's newest accepted version is."""

    RECEIVED = "received"
    INDEXED = "indexed"
    FAILED = "failed"
    DELETED = "deleted"


class WriteSet(Record):
    """A set of chunks that belong together in one physical index.

    Attributes:
        write_set: w, the operation and the attempt that wrote it; no two attempts share chunk ids.
        chunks: How many chunks it has; their ids are `K@w@0` to `K@w@(chunks - 1)`.
    """

    write_set: str
    chunks: int


class Remake(Record):
    """What came of making a document's committed version in another index.

    Attributes:
        index: The physical index that it is made in.
        attempts: How often that was begun.
        error: Why the last attempt failed; None if it did not, or if its worker ended.
    """

    index: str
    attempts: int = 0
    error: ErrorInfo | None = None


class DocumentRecord(Versioned):
    """A document as Elasticsearch records it: slim, written only by create or compare-and-set.

    Attributes:
        key: K, from `document_key`.
        target: g, the operation (ULID) that the document is on its way to.
        content_hash: Hash of the target's text, title, metadata and pipeline.
        committed: By physical index, the write set that readers see. None are seen while it is empty.
        committed_target: The operation whose chunks are committed.
        needs_extraction: True while the target's bytes still have to be turned into text.
        size: Bytes of what was sent for the target, so that a worker can tell what it takes on before reading it.
        attempts: How often work on the target was begun; it names the write set, so it never goes back.
        failures: How many attempts failed for a reason that may pass.
        losses: How often the worker ended, or fell silent, in the middle of it.
        lone_losses: How many of these workers did nothing else meanwhile.
        lease_owner: The one piece of work that may commit the target; None when nobody works on it.
        lease_until: Until when (Unix seconds) nobody else takes the work over; 0 when nobody works on it.
        lease_alone: True when the holder of the lease does nothing else.
        not_before: Work is not to be begun before this (Unix seconds).
        enqueued_at: When it was last put in a queue (Unix seconds); 0 when it is known to be in none. A reconciler
            writes an earlier moment until it has sent it.
        error: Why the target failed, or why its last attempt did.
        remake: How a reindex fares with this document; None before it came to it.
    """

    key: str
    collection: str
    document_id: str
    title: str = ""
    media_type: str = "text/plain"
    source_version: int | None = None
    content_hash: str
    target: str
    state: DocumentState
    committed: dict[str, WriteSet] = Field(default_factory=dict)
    committed_target: str | None = None
    committed_hash: str | None = None
    needs_extraction: bool = False
    size: int = 0
    attempts: int = 0
    failures: int = 0
    losses: int = 0
    lone_losses: int = 0
    lease_owner: str | None = None
    lease_until: float = 0.0
    lease_alone: bool = False
    not_before: float = 0.0
    enqueued_at: float = 0.0
    error: ErrorInfo | None = None
    remake: Remake | None = None
    accepted_at: float
    updated_at: float

    @computed_field  # type: ignore[prop-decorator] # as pydantic wants it
    @property
    def committed_in(self) -> list[str]:
        """The physical indices of `committed`, so that records can be found by them."""
        return sorted(self.committed)

    @property
    def ref(self) -> DocumentRef:
        """The operation that the document is on its way to."""
        return DocumentRef(key=self.key, target=self.target)

    @property
    def committed_ref(self) -> DocumentRef | None:
        """The operation whose chunks readers see."""
        return DocumentRef(key=self.key, target=self.committed_target) if self.committed_target else None


class ContentRecord(Versioned):
    """What was sent for one operation: written once, under `K@g`, and removed when nothing points to it any more."""

    key: str
    target: str
    collection: str
    document_id: str
    title: str = ""
    uri: str = ""
    media_type: str = "text/plain"
    text: str | None = None
    content: Base64Bytes | None = None
    metadata: Metadata = Field(default_factory=dict)
    written_at: float

    @property
    def ref(self) -> DocumentRef:
        """The operation that this was sent for."""
        return DocumentRef(key=self.key, target=self.target)


class ExtractedText(Versioned):
    """The text that was extracted from the bytes of a ContentRecord: written once, under `K@g@text`."""

    key: str
    target: str
    text: str
    media_type: str
    written_at: float

    @property
    def ref(self) -> DocumentRef:
        """The operation that this was extracted for."""
        return DocumentRef(key=self.key, target=self.target)


class AcceptOutcome(StrEnum):
    """What became of a document or a deletion that was sent."""

    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"
    DELETED = "deleted"
    REJECTED = "rejected"


class Receipt(Record):
    """The answer to one document or deletion that was sent.

    Attributes:
        outcome: What became of it; only `rejected` has an error.
        target: The operation that now leads to its being searchable (or that already did).
    """

    collection: str
    document_id: str
    outcome: AcceptOutcome
    target: str | None = None
    error: ErrorInfo | None = None

    @classmethod
    def rejected(cls, payload: Any, problem: OpinionError) -> Self:
        """Return the receipt for something that is no document, with as much of its name as it has."""
        fields = payload if isinstance(payload, Mapping) else getattr(payload, "__dict__", {})
        return cls(
            collection=_shown(fields.get("collection", DEFAULT_COLLECTION), 63),
            document_id=_shown(fields.get("id", ""), 512),
            outcome=AcceptOutcome.REJECTED,
            error=problem.info(),
        )


def _shown(value: Any, limit: int) -> str:
    return value.encode("utf-8", "replace").decode("utf-8")[:limit] if isinstance(value, str) else ""


class DocumentStatus(Record):
    """What a caller is told of a document.

    Attributes:
        searchable: True when readers see some version of it.
        current: True when that version is the newest accepted one.
        chunks: Chunks of the version that readers see.
    """

    collection: str
    document_id: str
    title: str
    state: DocumentState
    target: str
    searchable: bool
    current: bool
    chunks: int
    source_version: int | None
    attempts: int
    error: ErrorInfo | None
    accepted_at: float
    updated_at: float
