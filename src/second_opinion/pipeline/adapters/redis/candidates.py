"""Candidates on their way from retrieve to rerank, in Redis."""

import zlib
from typing import Final, cast

from pydantic import ValidationError
from redis import Redis

from second_opinion.pipeline.adapters.redis.connection import redis_errors
from second_opinion.pipeline.adapters.redis.keys import Keys
from second_opinion.pipeline.ports import CandidateStore
from second_opinion.schemas.candidate import Handover
from second_opinion.schemas.errors import InternalError

CANDIDATES_TTL: Final = 2 * 3_600.0
"""Above the longest time that a query may allow itself, so that a backlog does not outlast its candidates."""


class RedisCandidates(CandidateStore):
    """Keeps handovers in Redis, deflated (about 40 kB instead of 130 for 100 candidates).

    Args:
        client: Must not decode its replies.
        ttl: Seconds a handover lives if its job never becomes terminal.
    """

    def __init__(self, client: Redis, *, ttl: float = CANDIDATES_TTL, namespace: str = "opinion") -> None:
        self._client = client
        self._ttl = ttl
        self._keys = Keys(namespace)

    def put(self, job_id: str, handover: Handover, *, owner: str = "") -> None:
        """Keep the handover that `owner` made of a job, beside those that others made."""
        packed = zlib.compress(handover.model_dump_json().encode(), level=1)
        key = self._keys.candidates(job_id)
        with redis_errors(), self._client.pipeline(transaction=True) as both:
            both.hset(key, owner, packed)
            both.pexpire(key, round(self._ttl * 1_000))
            both.execute()

    def get(self, job_id: str, *, owner: str = "") -> Handover | None:
        """Return the handover that `owner` made of a job, or None when there is none.

        Raises:
            InternalError: If what is there cannot be read.
        """
        with redis_errors():
            packed = cast("bytes | None", self._client.hget(self._keys.candidates(job_id), owner))
        if packed is None:
            return None
        try:
            return Handover.model_validate_json(zlib.decompress(packed))
        except (zlib.error, ValidationError) as problem:
            raise InternalError(f"the candidates of job {job_id} cannot be read: {problem}") from problem

    def delete(self, job_id: str) -> None:
        """Forget the handovers of a job."""
        with redis_errors():
            self._client.delete(self._keys.candidates(job_id))
