"""Why a document is, or is not, in the answer to a query: the first stage that it did not pass, with the numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from second_opinion.pipeline.filtering import describe, first_failing
from second_opinion.pipeline.ports import ChunkIndex, CollectionStore, DocumentStore
from second_opinion.schemas.candidate import FusionLoss
from second_opinion.schemas.chunk import ChunkHit, chunk_id
from second_opinion.schemas.collection import QueryDefaults
from second_opinion.schemas.document import DocumentRecord, DocumentState, Metadata, document_key
from second_opinion.schemas.errors import InternalError, InvalidRequest
from second_opinion.schemas.explanation import Explanation, Fate
from second_opinion.schemas.job import Job
from second_opinion.schemas.query import Filter
from second_opinion.schemas.verdict import Decision, Passage, QueryResult

_FURTHEST: Final = (
    Decision.KEPT,
    Decision.OVER_DOCUMENT_CAP,
    Decision.OVER_TOP_K,
    Decision.QUERY_BELOW_FLOOR,
    Decision.BELOW_FLOOR,
    Decision.UNSCORED,
)


@dataclass(frozen=True, slots=True)
class WhyParts:
    """Where an explanation looks besides the job."""

    collections: CollectionStore
    documents: DocumentStore
    chunks: ChunkIndex


@dataclass(frozen=True, slots=True)
class Standing:
    """How a document stands now.

    Attributes:
        record: Its record, if there is one.
        chunks: How many chunks of it readers see; 0 when none are committed in the index that is read.
        first: Its first chunk, if the index holds it.
    """

    record: DocumentRecord | None = None
    chunks: int = 0
    first: ChunkHit | None = None


def explain_document(job: Job, document_id: str, parts: WhyParts) -> Explanation:
    """Return what became of a document in the answer to a job.

    Raises:
        InvalidRequest: If the job has no result to explain.
        UnknownCollection: If the job's collection is gone.
        StoreUnavailable: If Elasticsearch does not answer.
    """
    _result_of(job)
    index = parts.collections.get(job.query.collection).index
    key = document_key(job.query.collection, document_id)
    seen = parts.documents.get([key]).get(key)
    committed = seen.record.committed.get(index) if seen else None
    if seen is None or committed is None:
        return explain(job, document_id, Standing(record=seen.record if seen else None))
    first_id = chunk_id(key, committed.write_set, 0)
    first = parts.chunks.get(index, [first_id]).get(first_id)
    return explain(job, document_id, Standing(seen.record, committed.chunks, first))


def explain(job: Job, document_id: str, standing: Standing) -> Explanation:
    """Return what became of a document, from the job's result and how the document stands now.

    Raises:
        InvalidRequest: If the job has no result to explain.
    """
    result = _result_of(job)
    passages = sorted(
        (p for p in (*result.kept, *result.dropped) if p.document_id == document_id), key=lambda p: p.rank
    )
    loss = next((loss for loss in result.lost_in_fusion if loss.document_id == document_id), None)
    if passages:
        fate, sentence, hint = _judged(passages, result, job.query.choices)
    elif any(unread.document_id == document_id for unread in result.unscored):
        fate, sentence, hint = _unscored(document_id, result)
    elif loss is not None:
        fate, sentence, hint = _lost(loss, job.query.choices)
    else:
        fate, sentence, hint = _absent(job, result, standing)
    return Explanation(
        job_id=job.job_id,
        collection=result.collection,
        document_id=document_id,
        fate=fate,
        sentence=sentence,
        hint=hint,
        floor=result.floor,
        passages=tuple(passages),
        loss=loss,
        chunks=standing.chunks or None,
        changed_since=_changed_since(job, standing.record),
    )


Finding = tuple[Fate, str, str]


def _result_of(job: Job) -> QueryResult:
    if job.result is None:
        reason = f": {job.error.message}" if job.error else ""
        raise InvalidRequest(
            f"job {job.job_id} is {job.state} and has no result to explain{reason}",
            hint="Wait for the job, or ask again." if not job.is_terminal else "Ask again.",
        )
    return job.result


def _judged(passages: Sequence[Passage], result: QueryResult, choices: QueryDefaults) -> Finding:
    furthest = min((p.decision for p in passages), key=_FURTHEST.index)
    best = next(p for p in passages if p.decision is furthest)
    place = f"rank {best.rank} of {result.candidates}, relevance {best.relevance:.2f}, floor {result.floor:.2f}"
    match furthest:
        case Decision.KEPT:
            over = sum(p.decision is Decision.OVER_DOCUMENT_CAP for p in passages)
            more = f"; {over} more over the cap of {choices.chunks_per_document} a document" if over else ""
            return Fate.KEPT, f"Kept: {place}{more}.", ""
        case Decision.OVER_DOCUMENT_CAP:
            cap = choices.chunks_per_document
            return Fate.OVER_DOCUMENT_CAP, f"Over the cap of {cap} a document: {place}.", "Raise chunks_per_document."
        case Decision.OVER_TOP_K:
            return Fate.OVER_TOP_K, f"Over top k ({choices.top_k}): {place}.", "Raise top_k."
        case Decision.QUERY_BELOW_FLOOR:
            return (
                Fate.QUERY_BELOW_FLOOR,
                f"Cleared the floor, but the query did not: {place}. {result.sentence}",
                "Lower the floor only if passages like this one answer the query.",
            )
        case Decision.BELOW_FLOOR:
            best = max(passages, key=lambda p: p.relevance)
            short = result.floor - best.relevance
            sentence = (
                f"Below the floor: best relevance {best.relevance:.3f}, floor {result.floor:.3f} ({short:.3f} short); "
                f"rank {best.rank} of {result.candidates}."
            )
            return Fate.BELOW_FLOOR, sentence, "Lower the floor only if passages like this one answer the query."
        case Decision.UNSCORED:
            raise InternalError(f"chunk {best.chunk_id} was judged though nobody read it")


def _unscored(document_id: str, result: QueryResult) -> Finding:
    first = next(one for one in result.unscored if one.document_id == document_id)
    if not result.reranked:
        sentence = f"Not judged: fused rank {first.fused_rank}, and no second opinion could be had for this query."
        return Fate.UNSCORED, sentence, "Ask again once the reranker answers: opinion doctor"
    if first.error is not None:
        sentence = f"Not scored: fused rank {first.fused_rank}, and the reranker failed on it: {first.error.message}"
        return Fate.UNSCORED, sentence, first.error.hint
    sentence = (
        f"Not read: fused rank {first.fused_rank}, and {result.scored} of {result.candidates} candidates were read "
        "before the deadline."
    )
    return Fate.UNSCORED, sentence, "Allow more time (--deadline-ms), or lower candidates."


def _lost(loss: FusionLoss, choices: QueryDefaults) -> Finding:
    sentence = (
        f"Lost in fusion: fused rank {loss.fused_rank}, and {choices.candidates} candidates are judged "
        f"(BM25 {_rank(loss.bm25_rank)}, kNN {_rank(loss.knn_rank)})."
    )
    return Fate.LOST_IN_FUSION, sentence, f"Raise candidates to {loss.fused_rank} or more."


def _absent(job: Job, result: QueryResult, standing: Standing) -> Finding:
    if standing.chunks == 0:
        return _not_indexed(standing.record)
    if standing.first is None:
        return Fate.NOT_INDEXED, "Not indexed: it is committed, but its chunks are missing.", "Ingest it again."
    failing = first_failing(job.query.filters, standing.first.metadata)
    if failing is not None:
        found = _metadata_of(failing, standing.first.metadata)
        return Fate.FILTERED_OUT, f"Filtered out: asked for {describe(failing)}, but {found}.", "Change the filter."
    sentence = f"Not retrieved: not among the first {result.depth} of {_lists(job.query.choices)}"
    if _changed_since(job, standing.record):
        return Fate.NOT_RETRIEVED, f"{sentence}; it changed after the query was answered.", "Ask again."
    if result.stale_dropped:
        sentence += f"; {result.stale_dropped} hits were left out because their documents changed meanwhile"
        return Fate.NOT_RETRIEVED, f"{sentence}.", "Ask again."
    return Fate.NOT_RETRIEVED, f"{sentence}.", "Ask in the document's words, or raise candidates."


def _not_indexed(record: DocumentRecord | None) -> Finding:
    if record is None:
        return Fate.NOT_INDEXED, "Not indexed: the collection has no such document.", "Ingest it, or check its id."
    if record.state is DocumentState.DELETED:
        return Fate.NOT_INDEXED, "Not indexed: it was deleted.", "Ingest it again if it is wanted."
    if record.error is not None:
        failed = f"Not indexed: {record.error.message} (attempt {record.attempts})."
        return Fate.NOT_INDEXED, failed, record.error.hint
    waits = f"Not indexed yet: it was accepted and waits for an index worker (attempts {record.attempts})."
    return Fate.NOT_INDEXED, waits, "Wait until it is searchable: opinion document status"


def _changed_since(job: Job, record: DocumentRecord | None) -> bool:
    return record is not None and job.finished_at is not None and record.updated_at > job.finished_at


def _metadata_of(failing: Filter, metadata: Metadata) -> str:
    value = metadata.get(failing.field)
    if value is None or value == []:
        return f"it has no {failing.field}"
    shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"its {failing.field} is {shown}"


def _lists(choices: QueryDefaults) -> str:
    if choices.bm25_weight == 0.0:
        return "the kNN list (BM25 has weight 0)"
    if choices.knn_weight == 0.0:
        return "the BM25 list (kNN has weight 0)"
    return "the BM25 or the kNN list"


def _rank(rank: int | None) -> str:
    return "no rank" if rank is None else f"rank {rank}"
