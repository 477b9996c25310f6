"""One effect: each message delivered five times, shuffled and at once, leaves what it leaves delivered once.

The long form is `./do bench one_effect`: 10,000 messages on the doubles.
"""

from dataclasses import replace

import pytest

from second_opinion.pipeline.adapters.elasticsearch import (
    Connection,
    ElasticsearchChunks,
    ElasticsearchCollections,
    ElasticsearchContents,
    ElasticsearchDocuments,
    IndexNames,
)
from second_opinion.pipeline.adapters.redis.candidates import RedisCandidates
from second_opinion.pipeline.adapters.redis.connection import connect
from second_opinion.pipeline.adapters.redis.jobs import RedisJobs
from second_opinion.pipeline.ingest import commit, leases
from second_opinion.schemas.job import JobState
from second_opinion.testing.ingest import IngestRig
from second_opinion.testing.jobs import MemoryCandidates, MemoryJobs
from second_opinion.workers.clock import SystemClock
from tests.faults.deliveries import ROUNDS, TIMES, memory_rig, operations, serially, shuffled
from tests.faults.repeated_queries import Answering, once, repeated

DOCUMENTS = 140
"""In four rounds with a tenth of deletions: some 500 messages."""
QUERIES = 60
SEED = 1


def real_rig(elasticsearch: Connection, names: IndexNames) -> IngestRig:
    """Return ingest on Elasticsearch, with the doubles' models."""
    rig = memory_rig()
    stores = replace(
        rig.stores,
        documents=ElasticsearchDocuments(elasticsearch, names),
        contents=ElasticsearchContents(elasticsearch, names),
        chunks=ElasticsearchChunks(elasticsearch),
        collections=ElasticsearchCollections(elasticsearch, names, rig.stores.collections.fingerprint()),
    )
    return IngestRig.on(stores, rig.chunker, rig.embedder, rig.policy)


@pytest.fixture(params=["memory", pytest.param("elasticsearch", marks=pytest.mark.stack)])
def rig(request: pytest.FixtureRequest) -> IngestRig:
    """Ingest of either kind."""
    if request.param == "memory":
        return memory_rig()
    return real_rig(request.getfixturevalue("elasticsearch"), request.getfixturevalue("names"))


def test_documents_delivered_five_times_are_there_once(rig: IngestRig) -> None:
    """The index is the serial model's, no set of chunks is left over, and every delivery is acknowledged."""
    rounds = operations(DOCUMENTS, SEED)
    effect = shuffled(rig, rounds, SEED)
    assert effect.problems == {}
    assert effect.deliveries == TIMES * effect.messages
    assert effect.messages > 0.8 * ROUNDS * DOCUMENTS
    assert effect.hash == serially(rounds)
    assert effect.orphans == []


def test_the_hash_tells_indices_apart() -> None:
    """One word more in one version of one document is another hash; so is one that was not delivered at all."""
    rounds = operations(20, SEED)
    whole = serially(rounds)
    place, one = next((place, one) for place, one in enumerate(rounds[-1]) if one.text is not None)
    other = [*rounds[:-1], [*rounds[-1]]]
    other[-1][place] = replace(one, text=f"{one.text} And more.")
    assert serially(other) != whole
    assert serially(rounds[:-1]) != whole


def test_known_bugs_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that is done again although its version is past, and sets that nobody removes: both show."""
    rounds = operations(60, SEED)
    model = serially(rounds)
    with monkeypatch.context() as patch:
        patch.setattr(leases, "_is_due", lambda record, *_, extraction: record.needs_extraction is extraction)
        assert shuffled(memory_rig(), rounds, SEED).hash != model
    with monkeypatch.context() as patch:
        patch.setattr(commit, "remove_leftovers", lambda *_: None)
        assert shuffled(memory_rig(), rounds, SEED).orphans


def test_queries_delivered_five_times_have_one_outcome() -> None:
    """On the doubles: no terminal result changes, and each is what one delivery gives."""
    rig, questions = filled(), questions_of(QUERIES)
    outcomes = repeated(Answering(rig, MemoryJobs(clock=SystemClock()), MemoryCandidates()), questions, SEED)
    assert outcomes.changed == []
    assert {job.state for job in outcomes.terminal.values()} == {JobState.DONE}
    assert outcomes.answers == once(Answering(rig, MemoryJobs(clock=SystemClock()), MemoryCandidates()), questions)


@pytest.mark.stack
def test_queries_on_a_real_redis_have_one_outcome(redis_url: str, namespace: str) -> None:
    """The same with the scripts of the real job store."""
    rig, questions = filled(), questions_of(QUERIES)
    jobs = RedisJobs(connect(redis_url, timeout=30.0), clock=SystemClock(), result_ttl=600.0, namespace=namespace)
    candidates = RedisCandidates(connect(redis_url, timeout=30.0, decode=False), namespace=namespace)
    outcomes = repeated(Answering(rig, jobs, candidates), questions, SEED)
    jobs.close()
    assert outcomes.changed == []
    assert {job.state for job in outcomes.terminal.values()} == {JobState.DONE}
    assert outcomes.answers == once(Answering(rig, MemoryJobs(clock=SystemClock()), MemoryCandidates()), questions)


def filled() -> IngestRig:
    """Return documents to ask for."""
    rig = memory_rig()
    for number in range(30):
        rig.put(f"d{number}", f"Note {number} tells of lamp {number % 7} and of door {number % 5}.")
    rig.drain()
    return rig


def questions_of(count: int) -> dict[str, str]:
    """Return questions by job; some have no answer."""
    return {f"job-{number}": f"Which note tells of lamp {number % 9} and door {number % 6}?" for number in range(count)}
