"""What every store of judgements does: the double and Elasticsearch."""

import pytest

from second_opinion.pipeline.adapters.elasticsearch import ElasticsearchJudgements
from second_opinion.pipeline.ports import JudgementStore
from second_opinion.schemas.trace import Judgement, query_hash, text_hash
from second_opinion.testing.traces import MemoryJudgements


@pytest.fixture(params=["double", pytest.param("elasticsearch", marks=pytest.mark.stack)])
def judgements(request: pytest.FixtureRequest) -> JudgementStore:
    """A store of either kind."""
    if request.param == "double":
        return MemoryJudgements()
    return ElasticsearchJudgements(request.getfixturevalue("elasticsearch"), request.getfixturevalue("names"))


def a_judgement(question: str = "how many?", *, relevant: bool = True, **fields: object) -> Judgement:
    """Return a judgement of a passage."""
    told = {
        "collection": "default",
        "query_hash": query_hash(question),
        "query": question,
        "document_id": "leaflet",
        "text_hash": text_hash("Take one tablet."),
        "relevant": relevant,
        "chunk_id": "k@g.1@0",
        "job_id": "job-1",
        "judged_at": 1_700_000_000.0,
    }
    return Judgement.model_validate({**told, **fields})


def test_before_the_first_judgement_there_are_none(judgements: JudgementStore) -> None:
    """Nothing fails because nobody judged yet."""
    judgements.write([])
    assert judgements.listed(None, after=None, limit=10) == []


def test_a_judgement_comes_back_at_once(judgements: JudgementStore) -> None:
    """What was judged is seen by the next look."""
    judgements.write([a_judgement()])
    assert judgements.listed(None, after=None, limit=10) == [a_judgement()]


def test_judgements_are_found_by_their_pair(judgements: JudgementStore) -> None:
    """Those of other pairs are left out, before the first one too."""
    known, unknown = a_judgement("how many?"), a_judgement("how few?")
    assert judgements.get([known.key]) == {}
    judgements.write([known])
    assert judgements.get([known.key, unknown.key, known.key]) == {known.key: known}
    assert judgements.get([]) == {}


def test_a_later_judgement_takes_the_place_of_an_earlier_one(judgements: JudgementStore) -> None:
    """Also when the passage's chunk has another id by now, and the question other spacing."""
    judgements.write([a_judgement("how many?", relevant=True, chunk_id="k@g.1@0")])
    later = a_judgement("How  many?", relevant=False, chunk_id="k@g.2@7", job_id="job-2")
    judgements.write([later])
    assert judgements.listed(None, after=None, limit=10) == [later]


def test_judgements_are_read_by_collection_and_page(judgements: JudgementStore) -> None:
    """Every judgement of a collection comes exactly once."""
    mine = [a_judgement(f"question {number}") for number in range(7)]
    judgements.write([*mine, a_judgement(collection="elsewhere")])
    found: list[Judgement] = []
    while page := judgements.listed("default", after=found[-1].key if found else None, limit=3):
        found += page
    assert sorted(one.key for one in found) == sorted(one.key for one in mine)
    assert len(judgements.listed(None, after=None, limit=10)) == 8


def test_the_judgements_of_one_collection_are_forgotten(judgements: JudgementStore) -> None:
    """More of them than one read brings; those of another collection stay; before the first one nothing fails."""
    judgements.forget("default")
    judgements.write([a_judgement(f"question {number}") for number in range(1_100)])
    other = a_judgement(collection="elsewhere")
    judgements.write([other])
    judgements.forget("default")
    assert judgements.listed(None, after=None, limit=10) == [other]
