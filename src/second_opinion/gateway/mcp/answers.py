"""What the tools answer as data: small enough to be read by a language model."""

from typing import Any, Self

from pydantic import Field

from second_opinion.gateway.integrations.passages import relevance_of, shown_passages
from second_opinion.schemas.base import Record
from second_opinion.schemas.chunk import CONTEXT_SEPARATOR
from second_opinion.schemas.collection import CollectionRecord
from second_opinion.schemas.document import AcceptOutcome, DocumentState, DocumentStatus, Receipt
from second_opinion.schemas.errors import ErrorInfo
from second_opinion.schemas.explanation import Explanation, Fate
from second_opinion.schemas.verdict import (
    CalibrationSource,
    Decision,
    FoundPassage,
    Outcome,
    QueryResult,
    RefusalReason,
)


class CitedPassage(Record):
    """A passage that is shown, and where it stands.

    Attributes:
        relevance: The calibrated chance in [0, 1] that it answers the question; None when nobody judged it.
        start: Offset of its first character in the document's text; `end` is behind its last.
        metadata: The document's own fields.
    """

    relevance: float | None
    text: str
    document_id: str
    title: str
    section: str
    source: str
    start: int
    end: int
    chunk_id: str
    metadata: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def of(cls, passage: FoundPassage) -> Self:
        """Return a passage of a result."""
        return cls(
            relevance=relevance_of(passage),
            text=passage.text,
            document_id=passage.document_id,
            title=passage.title,
            section=CONTEXT_SEPARATOR.join(passage.headings),
            source=passage.uri or passage.document_id,
            start=passage.start,
            end=passage.end,
            chunk_id=passage.chunk_id,
            metadata=dict(passage.metadata),
        )


class SearchAnswer(Record):
    """The answer to a question, or its refusal, which is an answer too.

    Attributes:
        sentence: How it ended, in words, with the numbers.
        best_relevance: The highest relevance of any candidate; None when nothing was found.
        query_relevance: The chance that any candidate answers; None where nothing is known of it.
        candidates: How many passages were found to be judged.
        trace_id: For the tool `why`.
        notes: What else there is to know, such as that the deadline left passages unread.
    """

    outcome: Outcome
    reason: RefusalReason | None
    sentence: str
    collection: str
    floor: float
    best_relevance: float | None
    query_relevance: float | None
    candidates: int
    calibration: CalibrationSource
    trace_id: str
    passages: list[CitedPassage]
    notes: list[str]

    @classmethod
    def of(cls, result: QueryResult, notes: list[str]) -> Self:
        """Return the answer that a result is."""
        shared = {name: getattr(result, name) for name in cls.model_fields if hasattr(result, name)}
        passages = [CitedPassage.of(one) for one in shown_passages(result)]
        return cls(**{**shared, "trace_id": result.job_id, "passages": passages, "notes": notes})


class WeighedPassage(Record):
    """A passage of a document that was a candidate, and what became of it."""

    chunk_id: str
    rank: int
    relevance: float
    decision: Decision


class WhyAnswer(Record):
    """What became of a document in the answer to a question.

    Attributes:
        fate: The first stage that it did not pass, or `kept`.
        passages: Its candidates, best first.
    """

    trace_id: str
    collection: str
    document_id: str
    fate: Fate
    sentence: str
    hint: str
    floor: float
    passages: list[WeighedPassage]
    changed_since: bool

    @classmethod
    def of(cls, explanation: Explanation) -> Self:
        """Return the answer that an explanation is."""
        shared = {name: getattr(explanation, name) for name in cls.model_fields if hasattr(explanation, name)}
        passages = [WeighedPassage(**one.model_dump()) for one in explanation.passages]
        return cls(**{**shared, "trace_id": explanation.job_id, "passages": passages})


class DocumentAnswer(Record):
    """What is known of a document.

    Attributes:
        searchable: True when searches see some version of it; `current` when that is the newest one.
        chunks: How many passages searches see of it.
    """

    collection: str
    document_id: str
    title: str
    state: DocumentState
    searchable: bool
    current: bool
    chunks: int
    updated_at: float
    error: ErrorInfo | None

    @classmethod
    def of(cls, status: DocumentStatus) -> Self:
        """Return the answer that a status is."""
        return cls(**{name: getattr(status, name) for name in cls.model_fields})


class DocumentList(Record):
    """Documents of a collection by id; `next` is what to give as `after` for more, None when there are none."""

    collection: str
    documents: list[DocumentAnswer]
    next: str | None


class CollectionAnswer(Record):
    """A collection: its own choices for searches, and the metadata fields that filters may name, with their types."""

    name: str
    choices: dict[str, Any]
    fields: dict[str, str]

    @classmethod
    def of(cls, record: CollectionRecord, fields: dict[str, str]) -> Self:
        """Return the answer that a record is."""
        choices = record.overrides.model_dump(exclude_none=True, exclude={"schema_version"})
        return cls(name=record.name, choices=choices, fields=fields)


class CollectionList(Record):
    """The collections that these tools may look into."""

    collections: list[CollectionAnswer]


class ReceiptAnswer(Record):
    """What became of a document that was sent or deleted.

    Attributes:
        state: Where it is, if that was waited for; None when it was not.
        searchable: True when searches see this version.
    """

    collection: str
    document_id: str
    outcome: AcceptOutcome
    state: DocumentState | None = None
    searchable: bool = False

    @classmethod
    def of(cls, receipt: Receipt, status: DocumentStatus | None = None) -> Self:
        """Return the answer that a receipt is, with what is known of the document since."""
        return cls(
            collection=receipt.collection,
            document_id=receipt.document_id,
            outcome=receipt.outcome,
            state=status.state if status else None,
            searchable=bool(status and status.searchable and status.current),
        )
