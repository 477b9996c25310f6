"""The calibrations of collections, as a rerank worker holds them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from second_opinion.pipeline.answer import JudgementParts, judge_candidates
from second_opinion.pipeline.calibration import (
    CalibrationArtefact,
    CalibrationKey,
    Canary,
    CollectionCalibrations,
    FitReport,
    NoCalibration,
    PlattCurve,
    named,
)
from second_opinion.pipeline.ports import Guard, no_guard
from second_opinion.schemas.errors import CalibrationMismatch
from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.verdict import CalibrationSource, Decision, Outcome, RefusalReason
from second_opinion.testing.builders import a_fused, a_handover, a_query
from second_opinion.testing.calibrations import MemoryCalibrations
from second_opinion.testing.clock import ManualClock
from second_opinion.testing.models import WordReranker

PAIR = ("one tablet", "take one tablet")


class CountingReranker(WordReranker):
    """Counts how often it is asked."""

    asked = 0

    def score(self, query: str, passages: Sequence[str], *, guard: Guard = no_guard) -> list[float]:
        """Score, and count."""
        self.asked += 1
        return super().score(query, passages, guard=guard)


def an_artefact(
    *, revision: str = "1", drift: float = 0.0, query_level: PlattCurve | None = None, **curve: float
) -> CalibrationArtefact:
    reranker = WordReranker()
    (raw,) = reranker.score(PAIR[0], [PAIR[1]])
    return named(
        CalibrationArtefact(
            id="unnamed",
            key=CalibrationKey.of(replace(reranker.spec, revision=revision)),
            curve=PlattCurve(**{"slope": 0.5, "intercept": 0.0, **curve}),
            query_level=query_level,
            fitted_on=FitReport(pairs=100, relevant_pairs=10, queries=10),
            canaries=(Canary(query=PAIR[0], passage=PAIR[1], raw_score=raw + drift),),
        )
    )


def a_job() -> Job:
    query = a_query("take one tablet")
    return Job(job_id="job-1", state=JobState.RERANKING, query=query, submitted_at=0.0, expires_at=9e9)


def test_a_calibration_is_fetched_and_checked_once() -> None:
    """However many queries ask at once, the store is read and the canaries are scored one time."""
    store, reranker = MemoryCalibrations(), CountingReranker()
    artefact = an_artefact()
    store.write(artefact)
    held = CollectionCalibrations(reranker, store)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: held.get(artefact.id, collection="leaflets"), range(64)))
    assert {id(one) for one in found} == {id(found[0])}
    assert (store.reads, reranker.asked) == (1, 1)
    assert (found[0].id, found[0].source) == (artefact.id, CalibrationSource.COLLECTION)


def test_no_more_are_held_than_there_is_room_for() -> None:
    """The one asked for longest ago goes, and is fetched again when it is wanted."""
    store, held_ids = MemoryCalibrations(), []
    for place in range(3):
        artefact = an_artefact(intercept=float(place))
        store.write(artefact)
        held_ids.append(artefact.id)
    held = CollectionCalibrations(WordReranker(), store, room=2)
    for wanted in [0, 1, 0, 2, 0]:
        held.get(held_ids[wanted], collection="leaflets")
    assert store.reads == 3
    held.get(held_ids[1], collection="leaflets")
    assert store.reads == 4


@pytest.mark.parametrize(
    ("artefact", "sentence"),
    [(an_artefact(revision="2"), "belongs to another model: revision"), (an_artefact(drift=3.0), "does not hold here")],
)
def test_one_that_does_not_fit_fails_its_queries_and_says_what_to_do(
    artefact: CalibrationArtefact, sentence: str
) -> None:
    """Every query, not only the first; the hint names both ways out, and the store is read once."""
    store = MemoryCalibrations()
    store.write(artefact)
    held = CollectionCalibrations(WordReranker(), store)
    for _ in range(3):
        with pytest.raises(CalibrationMismatch, match=sentence) as refused:
            held.get(artefact.id, collection="leaflets")
        assert "opinion calibrate -c leaflets" in refused.value.hint
        assert "opinion collections set leaflets --calibration none" in refused.value.hint
    assert store.reads == 1


def test_one_that_is_not_in_the_store_is_looked_for_again() -> None:
    """It may be on its way."""
    store, artefact = MemoryCalibrations(), an_artefact()
    held = CollectionCalibrations(WordReranker(), store)
    with pytest.raises(CalibrationMismatch, match="not in the store"):
        held.get(artefact.id, collection="leaflets")
    store.write(artefact)
    assert held.get(artefact.id, collection="leaflets").id == artefact.id


def test_a_collections_own_calibration_is_applied_and_named() -> None:
    """The same candidates have other relevances by it, and the result says which one it was."""
    store, artefact, reranker = MemoryCalibrations(), an_artefact(intercept=-3.0), WordReranker()
    store.write(artefact)
    parts = JudgementParts(reranker, NoCalibration("logit"), CollectionCalibrations(reranker, store))
    handover = a_handover(a_fused(1), a_fused(2))
    shipped = judge_candidates(a_job(), handover, parts, clock=ManualClock())
    own = handover.model_copy(update={"calibration_id": artefact.id})
    result = judge_candidates(a_job(), own, parts, clock=ManualClock())
    assert (shipped.calibration, result.calibration) == (CalibrationSource.NONE, CalibrationSource.COLLECTION)
    assert result.calibration_id == artefact.id
    assert (result.best_relevance or 0.0) < (shipped.best_relevance or 0.0)


def test_without_a_way_to_fetch_it_a_collections_calibration_is_an_error() -> None:
    """Never silently the shipped one: relevance would mean something else."""
    parts = JudgementParts(WordReranker(), NoCalibration("logit"))
    handover = a_handover(a_fused(1)).model_copy(update={"calibration_id": "platt-1"})
    with pytest.raises(CalibrationMismatch, match="platt-1"):
        judge_candidates(a_job(), handover, parts, clock=ManualClock())


def test_a_query_level_refuses_what_single_passages_would_answer() -> None:
    """The pair keeps its relevance; the query's is in the result with a reason and a sentence of its own."""
    store, reranker = MemoryCalibrations(), WordReranker()
    artefact = an_artefact(query_level=PlattCurve(slope=0.1, intercept=-3.0))
    store.write(artefact)
    parts = JudgementParts(reranker, NoCalibration("logit"), CollectionCalibrations(reranker, store))
    handover = a_handover(a_fused(1), a_fused(2)).model_copy(update={"calibration_id": artefact.id})
    result = judge_candidates(a_job(), handover, parts, clock=ManualClock())
    raw = [one.raw_score for one in result.dropped]
    assert artefact.query_level is not None
    assert result.query_relevance == artefact.query_level.relevance(max(raw))
    assert (result.outcome, result.reason) == (Outcome.REFUSED, RefusalReason.QUERY_BELOW_FLOOR)
    assert {one.decision for one in result.dropped} == {Decision.QUERY_BELOW_FLOOR}
    assert [one.relevance for one in result.dropped] == [artefact.curve.relevance(value) for value in raw]
    assert f"as the best of 2 the chance that any of them answers is {result.query_relevance:.2f}" in result.sentence


def test_a_collection_has_a_calibration_for_each_reranker() -> None:
    """A fallback is judged by its own, one without by what came with its model, and never by another's."""
    store, artefact = MemoryCalibrations(), an_artefact()
    store.write(artefact)
    near = JudgementParts(WordReranker(), NoCalibration("logit"), CollectionCalibrations(WordReranker(), store))
    far = OtherReranker()
    other = JudgementParts(far, NoCalibration("logit"), CollectionCalibrations(far, store))
    handover = a_handover(a_fused(1)).model_copy(
        update={"calibration_id": artefact.id, "calibrations": {artefact.key.model: artefact.id}}
    )
    own = judge_candidates(a_job(), handover, near, clock=ManualClock())
    assert (own.calibration, own.calibration_id) == (CalibrationSource.COLLECTION, artefact.id)
    without = judge_candidates(a_job(), handover, other, clock=ManualClock())
    assert (without.calibration, without.calibration_id) == (CalibrationSource.NONE, None)
    assert (without.kept[0].relevance, own.kept[0].relevance) == (
        other.calibration.relevance([without.kept[0].raw_score])[0],
        artefact.curve.relevance(own.kept[0].raw_score),
    )


class OtherReranker(WordReranker):
    """Scores as the double does, under another name."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = replace(self.spec, model="other-reranker")
