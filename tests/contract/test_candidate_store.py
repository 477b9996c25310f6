"""What every candidate store does: the double and Redis."""

from collections.abc import Iterator

import pytest

from second_opinion.pipeline.adapters.redis.candidates import RedisCandidates
from second_opinion.pipeline.adapters.redis.connection import connect
from second_opinion.pipeline.ports import CandidateStore
from second_opinion.schemas.candidate import FusedCandidate
from second_opinion.testing.builders import a_candidate, a_fused, a_handover, a_hit
from second_opinion.testing.jobs import MemoryCandidates


@pytest.fixture(params=["double", pytest.param("redis", marks=pytest.mark.stack)])
def candidates(request: pytest.FixtureRequest) -> Iterator[CandidateStore]:
    """A store of either kind."""
    if request.param == "double":
        yield MemoryCandidates()
        return
    client = connect(request.getfixturevalue("redis_url"), timeout=5.0, decode=False)
    yield RedisCandidates(client, ttl=60.0, namespace=request.getfixturevalue("namespace"))
    client.close()


def test_a_handover_comes_back_as_it_was(candidates: CandidateStore) -> None:
    """Every number keeps its last digit, and every text its characters and its metadata its types."""
    chunk = a_hit(
        "héllo/✓",
        text="מינון لكل طفل 💊 e\u0301",
        metadata={"year": 2020, "weight": 0.1 + 0.2, "open": True, "tags": ["a", "b"]},
    )
    candidate = a_candidate(bm25=7).model_copy(update={"chunk": chunk, "bm25_score": 1.0 / 3.0})
    handover = a_handover(FusedCandidate(candidate=candidate, fused_rank=1, fused_score=1.0 / 67.0), a_fused(2))
    candidates.put("job-1", handover)
    assert candidates.get("job-1") == handover
    assert candidates.get("job-2") is None


def test_each_owner_has_a_handover_of_its_own(candidates: CandidateStore) -> None:
    """A worker that was frozen and thaws replaces nothing that its rescuer left; both go together."""
    candidates.put("job-1", a_handover(a_fused(1)), owner="rescuer")
    candidates.put("job-1", a_handover(), owner="frozen")
    assert candidates.get("job-1", owner="rescuer") == a_handover(a_fused(1))
    assert candidates.get("job-1", owner="nobody") is None
    candidates.delete("job-1")
    assert candidates.get("job-1", owner="rescuer") is None


def test_the_last_handover_of_a_job_counts(candidates: CandidateStore) -> None:
    """A second delivery of the retrieval replaces the first one's."""
    candidates.put("job-1", a_handover(a_fused(1)))
    candidates.put("job-1", a_handover())
    assert candidates.get("job-1") == a_handover()


def test_a_deleted_handover_is_gone(candidates: CandidateStore) -> None:
    """Deleting twice is no error."""
    candidates.put("job-1", a_handover(a_fused(1)))
    candidates.delete("job-1")
    candidates.delete("job-1")
    assert candidates.get("job-1") is None
