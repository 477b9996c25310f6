"""Why a document is not in an answer: every stage that can lose one is told apart, with its numbers."""

from typing import Any

import pytest

from second_opinion.pipeline.floor import judge
from second_opinion.pipeline.ports import Swap
from second_opinion.pipeline.why import Standing, WhyParts, explain, explain_document
from second_opinion.schemas.candidate import FusionLoss, ScoredCandidate
from second_opinion.schemas.chunk import IndexedChunk
from second_opinion.schemas.collection import DEFAULT_COLLECTION, IndexFingerprint
from second_opinion.schemas.document import DocumentRecord, DocumentState, WriteSet, document_key
from second_opinion.schemas.errors import InvalidRequest, JobCancelled, NoTextFound
from second_opinion.schemas.explanation import Fate
from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.query import ExistsFilter, Filter, RangeFilter, TermFilter
from second_opinion.schemas.verdict import Decision, Passage
from second_opinion.testing.builders import a_hit, a_query, a_result, a_scored
from second_opinion.testing.chunks import MemoryChunks
from second_opinion.testing.collections import MemoryCollections
from second_opinion.testing.documents import MemoryDocuments

ANSWERED_AT = 1_700_000_010.0
SCORED = (
    a_scored(1, raw_score=5.0, relevance=0.97, document_id="refunds", ordinal=0),
    a_scored(2, raw_score=4.0, relevance=0.95, document_id="refunds", ordinal=1),
    a_scored(3, raw_score=3.0, relevance=0.91, document_id="finance"),
    a_scored(4, raw_score=2.0, relevance=0.80, document_id="returns"),
    a_scored(5, raw_score=1.0, relevance=0.36, document_id="window", ordinal=0),
    a_scored(6, raw_score=0.5, relevance=0.21, document_id="window", ordinal=1),
)


def answered(*scored: ScoredCandidate, filters: tuple[Filter, ...] = (), stale_dropped: int = 0, **choices: Any) -> Job:
    """Return a job whose result is what the floor made of the candidates."""
    query = a_query(filters=filters, **choices)
    passages = [Passage.of(one) for one in judge(scored, query.choices).judged]
    result = a_result().model_copy(
        update={
            "kept": tuple(p for p in passages if p.decision is Decision.KEPT),
            "dropped": tuple(p for p in passages if p.decision is not Decision.KEPT),
            "lost_in_fusion": (FusionLoss(document_id="late", fused_rank=131, bm25_rank=80),),
            "candidates": len(passages),
            "floor": query.choices.floor,
            "depth": 150,
            "stale_dropped": stale_dropped,
        }
    )
    return Job(
        job_id="job-1",
        state=JobState.DONE,
        query=query,
        submitted_at=ANSWERED_AT - 1.0,
        expires_at=ANSWERED_AT + 60.0,
        finished_at=ANSWERED_AT,
        result=result,
    )


def a_record(**fields: Any) -> DocumentRecord:
    """Return the record of a document that was accepted before the query."""
    return DocumentRecord.model_validate(
        {
            "key": document_key(DEFAULT_COLLECTION, "leaflet"),
            "collection": DEFAULT_COLLECTION,
            "document_id": "leaflet",
            "content_hash": "h",
            "target": "g",
            "state": DocumentState.RECEIVED,
            "accepted_at": ANSWERED_AT - 100.0,
            "updated_at": ANSWERED_AT - 90.0,
            **fields,
        }
    )


def indexed(updated_at: float = ANSWERED_AT - 90.0, **metadata: Any) -> Standing:
    """Return the standing of a document that readers see."""
    record = a_record(state=DocumentState.INDEXED, updated_at=updated_at)
    return Standing(record=record, chunks=4, first=a_hit(metadata=metadata))


@pytest.mark.parametrize(
    ("document_id", "fate", "sentence"),
    [
        ("refunds", Fate.KEPT, "Kept: rank 1 of 6, relevance 0.97, floor 0.40; 1 more over the cap of 1 a document."),
        ("finance", Fate.KEPT, "Kept: rank 3 of 6, relevance 0.91, floor 0.40."),
        ("returns", Fate.OVER_TOP_K, "Over top k (2): rank 4 of 6, relevance 0.80, floor 0.40."),
        ("window", Fate.BELOW_FLOOR, "Below the floor: best relevance 0.360, floor 0.400 (0.040 short); rank 5 of 6."),
        (
            "late",
            Fate.LOST_IN_FUSION,
            "Lost in fusion: fused rank 131, and 100 candidates are judged (BM25 rank 80, kNN no rank).",
        ),
        ("never", Fate.NOT_RETRIEVED, "Not retrieved: not among the first 150 of the BM25 or the kNN list."),
    ],
)
def test_each_fate_has_its_numbers(document_id: str, fate: Fate, sentence: str) -> None:
    """The first stage that a document did not pass is named, with what it would have taken."""
    explanation = explain(answered(*SCORED, top_k=2, chunks_per_document=1), document_id, indexed())
    assert (explanation.fate, explanation.sentence) == (fate, sentence)
    assert bool(explanation.hint) == (fate is not Fate.KEPT)
    assert [p.document_id for p in explanation.passages] == [
        document_id for one in SCORED if one.fused.candidate.chunk.document_id == document_id
    ]


@pytest.mark.parametrize(
    ("one", "sentence"),
    [
        (TermFilter(field="lang", values=["de", "fr"]), "asked for lang = de or fr, but its lang is en"),
        (
            RangeFilter(field="year", gte=2020.0, lt=2022.0),
            "asked for year >= 2020 and year < 2022, but its year is 2019",
        ),
        (ExistsFilter(field="owner"), "asked for has owner, but it has no owner"),
        (ExistsFilter(field="lang", exists=False), "asked for has no lang, but its lang is en"),
    ],
)
def test_a_filter_that_kept_it_out_is_named(one: Filter, sentence: str) -> None:
    """What was asked for and what the document has stand side by side."""
    passing = TermFilter(field="lang", values=["en"])
    explanation = explain(answered(filters=(passing, one)), "leaflet", indexed(lang="en", year=2019))
    assert (explanation.fate, explanation.sentence) == (Fate.FILTERED_OUT, f"Filtered out: {sentence}.")


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (Standing(), "no such document"),
        (Standing(a_record(state=DocumentState.DELETED)), "deleted"),
        (Standing(a_record(attempts=2)), "waits for an index worker (attempts 2)"),
        (
            Standing(a_record(state=DocumentState.FAILED, attempts=3, error=NoTextFound("no text layer").info())),
            "layer",
        ),
        (Standing(a_record(state=DocumentState.INDEXED), chunks=3), "chunks are missing"),
    ],
)
def test_what_is_not_indexed_says_how_far_it_got(standing: Standing, words: str) -> None:
    """Unknown, deleted, waiting, failed and damaged documents are told apart."""
    explanation = explain(answered(), "leaflet", standing)
    assert explanation.fate is Fate.NOT_INDEXED
    assert words in explanation.sentence


def test_a_document_that_changed_after_the_answer_is_said_to_have() -> None:
    """The explanation does not blame retrieval for a version that it could not know."""
    explanation = explain(answered(), "leaflet", indexed(updated_at=ANSWERED_AT + 5.0))
    assert explanation.changed_since
    assert "changed after the query was answered" in explanation.sentence


def test_hits_dropped_as_stale_are_mentioned() -> None:
    """Where documents changed while they were read, that may be the reason."""
    assert "2 hits were left out" in explain(answered(stale_dropped=2), "leaflet", indexed()).sentence


@pytest.mark.parametrize(("weights", "words"), [((0.0, 1.0), "the kNN list"), ((1.0, 0.0), "the BM25 list")])
def test_a_list_without_weight_was_not_asked(weights: tuple[float, float], words: str) -> None:
    """A list that was left out is not named as one that had no such document."""
    job = answered(bm25_weight=weights[0], knn_weight=weights[1])
    assert words in explain(job, "leaflet", indexed()).sentence


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.CANCELLED])
def test_a_job_without_a_result_explains_nothing(state: JobState) -> None:
    """An unfinished or failed job is no answer that a document could be missing from."""
    error = JobCancelled("cancelled by the caller").info() if state is JobState.CANCELLED else None
    job = answered().model_copy(update={"state": state, "result": None, "error": error})
    with pytest.raises(InvalidRequest, match="no result to explain"):
        explain(job, "leaflet", Standing())


def test_the_standing_is_looked_up() -> None:
    """Record, committed set and first chunk are read from the stores, by the document's id alone."""
    collections = MemoryCollections(IndexFingerprint(embedding_model="m", embedding_revision="1", dims=2, chunker="c"))
    documents, chunks = MemoryDocuments(), MemoryChunks()
    index = collections.ensure(DEFAULT_COLLECTION).index
    parts = WhyParts(collections=collections, documents=documents, chunks=chunks)
    job = answered(filters=(TermFilter(field="lang", values=["de"]),))
    assert explain_document(job, "leaflet", parts).fate is Fate.NOT_INDEXED

    committed = {index: WriteSet(write_set="g.1", chunks=1)}
    documents.swap([Swap(a_record(state=DocumentState.INDEXED, committed=committed), None)])
    assert "missing" in explain_document(job, "leaflet", parts).sentence
    hit = a_hit(metadata={"lang": "en"})
    chunks.write(index, [IndexedChunk(**hit.model_dump(), vector=(1.0, 0.0), written_at=1.0)])
    explanation = explain_document(job, "leaflet", parts)
    assert (explanation.fate, explanation.chunks) == (Fate.FILTERED_OUT, 1)


def test_a_passage_above_the_floor_of_a_query_below_it_is_told_apart() -> None:
    """It cleared the floor itself; the sentence has the query's number too."""
    job = answered(*SCORED)
    verdict = judge(SCORED, job.query.choices, 0.25)
    passages = tuple(Passage.of(one) for one in verdict.judged)
    assert job.result is not None
    refused = job.result.model_copy(
        update={"kept": (), "dropped": passages, "sentence": verdict.sentence, "query_relevance": 0.25}
    )
    found = explain(job.model_copy(update={"result": refused}), "finance", Standing())
    assert found.fate is Fate.QUERY_BELOW_FLOOR
    assert found.sentence.startswith(
        "Cleared the floor, but the query did not: rank 3 of 6, relevance 0.91, floor 0.40."
    )
    assert "the chance that any of them answers is 0.25, below 0.40" in found.sentence
    assert explain(job.model_copy(update={"result": refused}), "window", Standing()).fate is Fate.BELOW_FLOOR
