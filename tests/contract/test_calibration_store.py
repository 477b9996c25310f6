"""What every store of calibrations does: the double and Elasticsearch."""

import pytest

from second_opinion.pipeline.adapters.elasticsearch import Connection, ElasticsearchCalibrations, IndexNames
from second_opinion.pipeline.adapters.elasticsearch.calibrations import CALIBRATION_FIELDS
from second_opinion.pipeline.adapters.elasticsearch.system import SystemIndex
from second_opinion.pipeline.calibration import named
from second_opinion.pipeline.ports import CalibrationStore
from second_opinion.schemas.calibration import (
    CalibrationArtefact,
    CalibrationKey,
    Canary,
    FitReport,
    IsotonicCurve,
    PlattCurve,
    RerankerRecord,
)
from second_opinion.schemas.errors import ModelUnusable
from second_opinion.testing.calibrations import MemoryCalibrations
from second_opinion.testing.models import WordReranker

KEY = CalibrationKey.of(WordReranker().spec)
CANARIES = (Canary(query="one tablet", passage="take one tablet", raw_score=1.25),)
STEPS = IsotonicCurve(breakpoints=((-3.0, 0.01), (-1.5, 0.123456789012345), (2.0, 0.9)))


@pytest.fixture(params=["double", pytest.param("elasticsearch", marks=pytest.mark.stack)])
def store(request: pytest.FixtureRequest) -> CalibrationStore:
    """A store of either kind."""
    if request.param == "double":
        return MemoryCalibrations()
    connection: Connection = request.getfixturevalue("elasticsearch")
    names: IndexNames = request.getfixturevalue("names")
    return ElasticsearchCalibrations(connection, names)


def an_artefact(intercept: float = 0.5) -> CalibrationArtefact:
    report = FitReport(pairs=60, relevant_pairs=6, queries=6, log_losses={"platt": 0.25, "isotonic": 0.31})
    curve = PlattCurve(slope=0.7, intercept=intercept)
    return named(
        CalibrationArtefact(id="unnamed", key=KEY, curve=curve, query_level=STEPS, fitted_on=report, canaries=CANARIES)
    )


def test_an_artefact_comes_back_as_it_was_written(store: CalibrationStore) -> None:
    """Both curves to the last digit; an id that nobody wrote has none, before the first write too."""
    artefact = an_artefact()
    assert store.get(artefact.id) is None
    store.write(artefact)
    assert store.get(artefact.id) == artefact
    assert store.get("nobody's") is None


def test_an_artefact_is_written_once(store: CalibrationStore) -> None:
    """What an id stands for never changes; workers hold it for good."""
    first = an_artefact()
    store.write(first)
    store.write(first.model_copy(update={"fitted_on": FitReport(pairs=1, relevant_pairs=1, queries=1)}))
    assert store.get(first.id) == first
    assert an_artefact(0.6).id != first.id


def test_the_latest_reranker_is_told_first(store: CalibrationStore) -> None:
    """One record a model; a worker that starts again replaces what was said of the same model."""
    assert store.rerankers() == []
    other = KEY.model_copy(update={"revision": "2"})
    early = RerankerRecord(key=KEY, canaries=CANARIES, published_at=10.0)
    later = RerankerRecord(key=other, canaries=CANARIES, calibration=an_artefact(), published_at=20.0)
    for record in (later, early):
        store.publish(record)
    assert store.rerankers() == [later, early]
    again = early.model_copy(update={"published_at": 30.0})
    store.publish(again)
    assert store.rerankers() == [again, later]


@pytest.mark.stack
def test_a_record_that_is_no_calibration_is_named_with_its_field(elasticsearch: Connection, names: IndexNames) -> None:
    """Whoever wrote it: place and field are in the sentence."""
    index = SystemIndex(elasticsearch, names.calibrations, CALIBRATION_FIELDS).ready()
    broken = an_artefact().model_dump(mode="json")
    broken["curve"]["slope"] = -1.0
    elasticsearch.writes.index(index=index, id="broken", document=broken)
    with pytest.raises(ModelUnusable, match=r"calibration broken in .*curve\.slope"):
        ElasticsearchCalibrations(elasticsearch, names).get("broken")


def test_artefacts_are_removed_by_id(store: CalibrationStore) -> None:
    """The others stay; an id that nobody wrote is no error, before the first write neither."""
    first, second = an_artefact(), an_artefact(0.6)
    store.remove([first.id])
    store.write(first)
    store.write(second)
    store.remove([])
    store.remove([first.id, "nobody's"])
    assert store.get(first.id) is None
    assert store.get(second.id) == second
