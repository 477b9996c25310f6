"""Raw scores in Redis, so that no pair is read twice. Without Redis every pair is read, as if there were no cache.

Scores are kept under hashes of all that they depend on: the reranker with its model file, runtime and processor, the
query's very characters, and those of the passage. Calibrations come afterwards and are not among them.
"""

import struct
from collections.abc import Sequence
from dataclasses import astuple
from hashlib import blake2b
from importlib.resources import files
from typing import Final, cast

import structlog
from redis import Redis

from second_opinion.pipeline.adapters.redis.connection import redis_errors
from second_opinion.pipeline.adapters.redis.keys import Keys
from second_opinion.pipeline.ports import Clock, RerankerSpec
from second_opinion.schemas.errors import OpinionError

log = structlog.get_logger(__name__)

LEAVE_ALONE_SECONDS: Final = 10.0
"""How long Redis is left alone after it could not be had: a query must not wait for a cache again and again."""
KEY_BYTES: Final = 16
PASSAGE_BYTES: Final = 12
_NUMBER: Final = struct.Struct("<d")


class RedisScores:
    """Implements `ScoreCache` for one reranker.

    Args:
        client: Must not decode its replies; its timeout should be short, since every query waits for it.
        spec: Whose scores these are.
        ttl: Seconds for which scores are kept.
        limit: Most scores that all rerankers of this namespace keep together; the oldest queries are forgotten first.
    """

    def __init__(  # noqa: PLR0913 - all but two by name
        self, client: Redis, spec: RerankerSpec, *, clock: Clock, ttl: float, limit: int, namespace: str = "opinion"
    ) -> None:
        self._client = client
        self._model = _digest("\x00".join(map(str, astuple(spec))), KEY_BYTES).hex()
        self._clock = clock
        self._args = [round(ttl * 1_000), limit]
        self._keys = Keys(namespace)
        self._put = client.register_script((files(__package__) / "scores_put.lua").read_text(encoding="utf-8"))
        self._leave_alone_until = 0.0

    def get(self, query: str, passages: Sequence[str]) -> list[float | None]:
        """Return the score of each passage, or None for those that are not known."""
        unknown: list[float | None] = [None] * len(passages)
        if not passages or self._clock.now() < self._leave_alone_until:
            return unknown
        try:
            with redis_errors():
                found = cast("list[bytes | None]", self._client.hmget(self._key(query), _fields(passages)))
        except OpinionError as problem:
            self._missed(problem)
            return unknown
        return [None if packed is None else _unpacked(packed) for packed in found]

    def put(self, query: str, passages: Sequence[str], scores: Sequence[float]) -> None:
        """Keep the score of each passage."""
        if not passages or self._clock.now() < self._leave_alone_until:
            return
        pairs = [part for pair in zip(_fields(passages), map(_NUMBER.pack, scores), strict=True) for part in pair]
        try:
            with redis_errors():
                self._put(
                    keys=[self._key(query), self._keys.recent_scores, self._keys.score_sizes],
                    args=[*self._args, *pairs],
                )
        except OpinionError as problem:
            self._missed(problem)

    def _key(self, query: str) -> str:
        return self._keys.scores(self._model, _digest(query, KEY_BYTES).hex())

    def _missed(self, problem: OpinionError) -> None:
        self._leave_alone_until = self._clock.now() + LEAVE_ALONE_SECONDS
        log.warning("score_cache_left_alone", seconds=LEAVE_ALONE_SECONDS, code=problem.code, problem=problem.message)


def _fields(passages: Sequence[str]) -> list[bytes]:
    return [_digest(passage, PASSAGE_BYTES) for passage in passages]


def _digest(text: str, size: int) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()


def _unpacked(packed: bytes) -> float | None:
    return float(_NUMBER.unpack(packed)[0]) if len(packed) == _NUMBER.size else None
