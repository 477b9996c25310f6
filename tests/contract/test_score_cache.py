"""What every cache of raw scores does: the double and Redis."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from second_opinion.pipeline.adapters.redis.connection import connect
from second_opinion.pipeline.adapters.redis.keys import Keys
from second_opinion.pipeline.adapters.redis.scores import RedisScores
from second_opinion.pipeline.ports import RerankerSpec, ScoreCache
from second_opinion.testing.clock import ManualClock
from second_opinion.testing.models import WordReranker
from second_opinion.testing.scores import MemoryScores
from second_opinion.workers.clock import SystemClock

SPEC = WordReranker().spec
Open = Callable[..., RedisScores]


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    """A client that leaves bytes as they are."""
    client = connect(redis_url, timeout=5.0, decode=False)
    yield client
    client.close()


@pytest.fixture
def opened(client: Redis, namespace: str) -> Open:
    """Opens a cache in Redis, under this test's own keys."""

    def make(*, ttl: float = 60.0, limit: int = 1_000, spec: RerankerSpec = SPEC) -> RedisScores:
        return RedisScores(client, spec, clock=SystemClock(), ttl=ttl, limit=limit, namespace=namespace)

    return make


@pytest.fixture(params=["double", pytest.param("redis", marks=pytest.mark.stack)])
def scores(request: pytest.FixtureRequest) -> ScoreCache:
    """A cache of either kind."""
    if request.param == "double":
        return MemoryScores()
    found: RedisScores = request.getfixturevalue("opened")()
    return found


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False), min_size=1), st.text())
def test_a_score_comes_back_to_the_last_bit(scores: ScoreCache, known: dict[str, float], query: str) -> None:
    """Whatever the texts and the numbers are; minus zero stays minus zero."""
    scores.put(query, list(known), list(known.values()))
    found = scores.get(query, list(known))
    assert found == list(known.values())
    assert [math.copysign(1.0, one) for one in found if one is not None] == [
        math.copysign(1.0, one) for one in known.values()
    ]


def test_only_this_very_pair_is_known(scores: ScoreCache) -> None:
    """Another query, or another passage, is another pair, however little differs."""
    scores.put("a question", ["one", "two"], [1.0, 2.0])
    assert scores.get("a question", ["two", "three", "one"]) == [2.0, None, 1.0]
    assert scores.get("a question ", ["one"]) == [None]
    assert scores.get("A question", ["one"]) == [None]
    assert scores.get("a question", []) == []


@pytest.mark.stack
@pytest.mark.parametrize(
    "change", [{"revision": "2"}, {"file_hash": "f"}, {"kernel": "avx2"}, {"runtime": "r"}, {"max_tokens": 7}]
)
def test_another_model_knows_nothing_of_it(opened: Open, change: dict[str, object]) -> None:
    """What a score depends on is part of its key: weights, file, processor, runtime and window."""
    opened().put("q", ["passage"], [1.0])
    assert opened().get("q", ["passage"]) == [1.0]
    assert opened(spec=replace(SPEC, **change)).get("q", ["passage"]) == [None]  # type: ignore[arg-type]


@pytest.mark.stack
def test_the_oldest_queries_are_forgotten_first(opened: Open, client: Redis, namespace: str) -> None:
    """There are never more scores than may be kept, of all rerankers together, and no key without a time to live."""
    one, other = opened(limit=10), opened(limit=10, spec=replace(SPEC, revision="2"))
    for number in range(20):
        (one if number % 2 else other).put(f"query {number}", ["a", "b", "c"], [0.0, 1.0, 2.0])
        time.sleep(0.002)
    known = [number for number in range(20) if (one if number % 2 else other).get(f"query {number}", ["a"]) == [0.0]]
    assert known == [17, 18, 19]
    keys = list(client.scan_iter(match=f"{namespace}:*"))
    assert len(keys) == len(known) + 2
    assert all(client.pttl(key) > 0 for key in keys)
    assert client.hget(Keys(namespace).score_sizes, "total") == b"9"


@pytest.mark.stack
def test_a_query_with_more_passages_than_may_be_kept_keeps_none(opened: Open, client: Redis, namespace: str) -> None:
    """The bound holds for a single query as well."""
    opened(limit=5).put("q", [f"passage {number}" for number in range(8)], [0.0] * 8)
    assert client.hget(Keys(namespace).score_sizes, "total") == b"0"
    assert client.zcard(Keys(namespace).recent_scores) == 0


@pytest.mark.stack
def test_scores_are_gone_after_their_time(opened: Open, client: Redis, namespace: str) -> None:
    """They live from the first score of their query, and the next query's puts clear the books of them."""
    scores = opened(ttl=0.2)
    scores.put("q", ["a"], [1.0])
    time.sleep(0.12)
    scores.put("q", ["b"], [2.0])
    time.sleep(0.12)
    assert scores.get("q", ["a", "b"]) == [None, None]
    scores.put("other", ["a"], [1.0])
    assert client.hget(Keys(namespace).score_sizes, "total") == b"1"
    assert client.zcard(Keys(namespace).recent_scores) == 1


@pytest.mark.stack
def test_books_that_redis_evicted_are_begun_anew(opened: Open, client: Redis, namespace: str) -> None:
    """A cache database may lose any key at any time; the bound then holds again after a while."""
    scores, keys = opened(limit=4), Keys(namespace)
    scores.put("one", ["a", "b", "c"], [1.0, 2.0, 3.0])
    client.delete(keys.recent_scores)
    scores.put("two", ["a", "b"], [1.0, 2.0])
    scores.put("three", ["a", "b"], [1.0, 2.0])
    assert scores.get("three", ["a", "b"]) == [1.0, 2.0]
    client.delete(keys.score_sizes)
    scores.put("four", ["a"], [4.0])
    assert scores.get("four", ["a"]) == [4.0]


@pytest.mark.alone
def test_without_redis_nothing_is_known_and_nothing_fails() -> None:
    """A query waits for a cache that is away once, and not again within the next seconds."""
    clock = ManualClock()
    nobody = connect("redis://127.0.0.1:1/0", timeout=0.2, decode=False)
    scores = RedisScores(nobody, SPEC, clock=clock, ttl=60.0, limit=10)
    scores.put("q", ["a"], [1.0])
    begun = time.perf_counter()
    assert [scores.get("q", ["a"]) for _ in range(1_000)] == [[None]] * 1_000
    assert time.perf_counter() - begun < 0.2
    clock.advance(11.0)
    assert scores.get("q", ["a"]) == [None]
