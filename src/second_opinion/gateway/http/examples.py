"""Examples for the description of the API, made of the models themselves, so that none can be out of date."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from second_opinion.schemas.chunk import ChunkHit, chunk_id
from second_opinion.schemas.collection import CollectionRecord, QueryDefaults, QueryOverrides
from second_opinion.schemas.document import AcceptOutcome, DocumentState, DocumentStatus, Receipt, document_key
from second_opinion.schemas.errors import InvalidEncoding
from second_opinion.schemas.explanation import Explanation, Fate
from second_opinion.schemas.floor_choice import (
    Estimate,
    FloorFinding,
    FloorGoal,
    FloorReplay,
    FloorReport,
    FloorRow,
    FloorSuggestion,
)
from second_opinion.schemas.job import Job, JobState, Progress
from second_opinion.schemas.query import Query
from second_opinion.schemas.trace import (
    FloorCount,
    Judgement,
    ReplayedQuery,
    Trace,
    TracedCandidate,
    TraceSpread,
    TraceSummary,
    query_hash,
    text_hash,
)
from second_opinion.schemas.verdict import CalibrationSource, Decision, Outcome, Passage, QueryResult

AT: Final = 1_771_329_600.25
COLLECTION: Final = "handbook"
QUESTION: Final = "who approves refunds?"
TEXT: Final = "A manager approves refunds above 100 euros."
JOB_ID: Final = "01JX4KQ6T2ZC8D0S9V5N7B3M1A"
TARGET: Final = "01JX4K0F8H3Q6W2R9T5Y7U1P4E"
KEY: Final = document_key(COLLECTION, "refunds.md")
CHUNK_ID: Final = chunk_id(KEY, f"{TARGET}.1", 0)
MODEL: Final = "second-opinion-reranker@3"
CALIBRATION: Final = "shipped-c3"
MILLISECONDS: Final = {"queue_retrieve": 2.0, "embed": 9.0, "search": 14.0, "rerank": 212.0, "total": 244.0}

CHUNK: Final = ChunkHit(
    chunk_id=CHUNK_ID,
    key=KEY,
    write_set=f"{TARGET}.1",
    index="opinion-chunks-handbook-000001",
    collection=COLLECTION,
    document_id="refunds.md",
    title="Refunds",
    headings=("Approval",),
    text=TEXT,
    start=0,
    end=len(TEXT),
    ordinal=0,
    count=1,
    metadata={"team": "sales"},
)
PASSAGE: Final = Passage(
    **CHUNK.model_dump(include={"chunk_id", "document_id", "title", "uri", "headings", "text", "start", "end"}),
    ordinal=0,
    previous_chunk_id=None,
    next_chunk_id=None,
    metadata=CHUNK.metadata,
    fused_rank=1,
    fused_score=0.0325,
    bm25_rank=4,
    bm25_score=7.91,
    knn_rank=1,
    knn_score=0.83,
    rank=1,
    decision=Decision.KEPT,
    relevance=0.91,
    raw_score=2.31,
)
RESULT: Final = QueryResult(
    job_id=JOB_ID,
    collection=COLLECTION,
    query=QUESTION,
    outcome=Outcome.ANSWERED,
    sentence="1 of 100 candidates kept.",
    floor=0.4,
    best_relevance=0.91,
    kept=(PASSAGE,),
    dropped=(),
    candidates=100,
    depth=150,
    milliseconds=MILLISECONDS,
    embedder="all-MiniLM-L6-v2@1",
    reranker=MODEL,
    judged_by="bundled",
    calibration=CalibrationSource.SHIPPED,
    calibration_id=CALIBRATION,
)
QUEUED_JOB: Final = Job(
    job_id=JOB_ID,
    state=JobState.QUEUED,
    query=Query(job_id=JOB_ID, text=QUESTION, collection=COLLECTION),
    submitted_at=AT,
    expires_at=AT + 60.0,
)
ANSWERED_JOB: Final = QUEUED_JOB.model_copy(
    update={
        "state": JobState.DONE,
        "finished_at": AT + 0.244,
        "progress": (
            Progress(state=JobState.RETRIEVING, at=AT + 0.002),
            Progress(state=JobState.RETRIEVING, at=AT + 0.028, candidates=100),
            Progress(state=JobState.RERANKING, at=AT + 0.031),
        ),
        "result": RESULT,
    }
)
EXPLANATION: Final = Explanation(
    job_id=JOB_ID,
    collection=COLLECTION,
    document_id="returns.md",
    fate=Fate.BELOW_FLOOR,
    sentence="Below the floor: best relevance 0.360, floor 0.400 (0.040 short); rank 3 of 100.",
    hint="Lower the floor only if passages like this one answer the query.",
    floor=0.4,
    chunks=4,
)
RECEIPT: Final = Receipt(collection=COLLECTION, document_id="refunds.md", outcome=AcceptOutcome.ACCEPTED, target=TARGET)
REJECTED: Final = Receipt(
    collection=COLLECTION,
    document_id="scan-7.txt",
    outcome=AcceptOutcome.REJECTED,
    error=InvalidEncoding("document 'scan-7.txt' is no text in an encoding that is recognised").info(),
)
STATUS: Final = DocumentStatus(
    collection=COLLECTION,
    document_id="refunds.md",
    title="Refunds",
    state=DocumentState.INDEXED,
    target=TARGET,
    searchable=True,
    current=True,
    chunks=1,
    source_version=7,
    attempts=1,
    error=None,
    accepted_at=AT,
    updated_at=AT + 0.8,
)
COLLECTION_RECORD: Final = CollectionRecord(
    name=COLLECTION,
    index="opinion-chunks-handbook-000001",
    writing=("opinion-chunks-handbook-000001",),
    overrides=QueryOverrides(floor=0.5),
    created_at=AT,
)
TRACE: Final = Trace(
    job_id=JOB_ID,
    collection=COLLECTION,
    at=AT + 0.244,
    query_hash=query_hash(QUESTION),
    query=QUESTION,
    choices=QueryDefaults(),
    outcome=Outcome.ANSWERED,
    best_relevance=0.91,
    relevances=(0.91,),
    kept=1,
    candidates=(
        TracedCandidate(
            **PASSAGE.model_dump(include=set(TracedCandidate.model_fields) - {"text_hash"}), text_hash=text_hash(TEXT)
        ),
    ),
    depth=150,
    milliseconds=MILLISECONDS,
    embedder="all-MiniLM-L6-v2@1",
    reranker=MODEL,
    calibration=CalibrationSource.SHIPPED,
    calibration_id=CALIBRATION,
)
JUDGEMENT: Final = Judgement(
    collection=COLLECTION,
    query_hash=TRACE.query_hash,
    query=QUESTION,
    document_id="refunds.md",
    text_hash=text_hash(TEXT),
    relevant=True,
    chunk_id=CHUNK_ID,
    job_id=JOB_ID,
    judged_at=AT + 30.0,
)
FAILED_STATUS: Final = STATUS.model_copy(
    update={
        "document_id": "scan-7.txt",
        "title": "Scan 7",
        "state": DocumentState.FAILED,
        "searchable": False,
        "current": False,
        "chunks": 0,
        "error": REJECTED.error,
    }
)
TRACE_LINE: Final = TraceSummary(
    job_id=JOB_ID,
    collection=COLLECTION,
    at=TRACE.at,
    query=QUESTION,
    outcome=TRACE.outcome,
    floor=0.4,
    best_relevance=0.91,
    kept=1,
    candidates=100,
    milliseconds=MILLISECONDS["total"],
    scorer=TRACE.scorer,
)
PRECISION: Final = Estimate(value=0.94, low=0.89, high=0.97)
REPORT: Final = FloorReport(
    collection=COLLECTION,
    scorer=TRACE.scorer,
    floor=0.4,
    spread=TraceSpread(
        traces=1_204,
        candidates=118_000,
        answered=795,
        kept=2_410,
        histogram=(300, 60, 20, 10, 9, 5, 5, 10, 20, 30, 40, 55, 60, 70, 80, 90, 100, 110, 80, 50),
        floors=(FloorCount(floor=0.4, answered=795, kept=2_410),),
    ),
    rows=(FloorRow(floor=0.4, answered=0.66, kept_per_query=2.0, trimmed=0.98, precision=PRECISION),),
    judged_pairs=180,
    judged_queries=60,
    separation=Estimate(value=0.9, low=0.86, high=0.94),
    judgements_for_3_points=300,
)
REPLAYED: Final = ReplayedQuery(
    job_id=JOB_ID, at=TRACE.at, query=QUESTION, best_relevance=0.46, floor=0.4, kept=1, kept_then=0
)
REPLAY: Final = FloorReplay(
    collection=COLLECTION,
    scorer=TRACE.scorer,
    floor=0.5,
    traces=1_204,
    answered=795,
    answered_then=722,
    kept=2_410,
    kept_then=2_004,
    newly_refused=73,
    newly_answered=0,
    refused_examples=(REPLAYED,),
)
SUGGESTION: Final = FloorSuggestion(
    goal=FloorGoal.PRECISION,
    target=0.9,
    finding=FloorFinding.FOUND,
    floor=0.41,
    floor_low=0.36,
    floor_high=0.47,
    measured=PRECISION,
    measured_at=0.41,
    separation=Estimate(value=0.9, low=0.86, high=0.94),
    judged_pairs=180,
    judged_queries=60,
    scorer=TRACE.scorer,
    collection=COLLECTION,
)
QUESTIONS: Final[dict[str, Any]] = {
    "short": {"summary": "Only a question", "value": {"text": QUESTION, "collection": COLLECTION}},
    "choices": {
        "summary": "With filters and choices of its own",
        "value": {
            "text": QUESTION,
            "collection": COLLECTION,
            "floor": 0.5,
            "top_k": 5,
            "filters": [{"op": "term", "field": "team", "values": ["sales"]}],
            "timeout_s": 30.0,
        },
    },
}
DOCUMENTS: Final[dict[str, Any]] = {
    "text": {
        "summary": "Text",
        "value": {
            "id": "refunds.md",
            "collection": COLLECTION,
            "title": "Refunds",
            "text": TEXT,
            "source_version": 7,
            "metadata": {"team": "sales"},
        },
    },
    "file": {
        "summary": "The bytes of a file, as base64",
        "value": {"id": "limits.md", "collection": COLLECTION, "content": "TGltaXRzIGZvciByZWZ1bmRzLg=="},
    },
}


NULL: Final = "\x00null"
"""Stands for null in an example until the description is whole: the framework leaves out whatever is null."""


def shown(
    model: type[BaseModel], description: str, *, media_type: str = "application/json", **named: BaseModel
) -> dict[str, Any]:
    """Return the description of an answer, for `responses=`, with examples by name."""
    values = {name: {"value": _marked(example.model_dump(mode="json"))} for name, example in named.items()}
    return {"model": model, "description": description, "content": {media_type: {"examples": values}}}


def said(**named: Mapping[str, Any]) -> dict[str, Any]:
    """Return examples of a body by name, as `Body(openapi_examples=...)` takes them."""
    return {name: {"value": dict(value)} for name, value in named.items()}


def with_nulls(described: Any) -> Any:
    """Return a description with null where an example has it."""
    if isinstance(described, dict):
        return {name: with_nulls(value) for name, value in described.items()}
    if isinstance(described, list):
        return [with_nulls(value) for value in described]
    return None if described == NULL else described


def _marked(example: Any) -> Any:
    if isinstance(example, dict):
        return {name: _marked(value) for name, value in example.items()}
    if isinstance(example, list):
        return [_marked(value) for value in example]
    return NULL if example is None else example
