"""A reranker behind a circuit breaker, and the limit on its calls: for providers, which many workers call at once."""

from collections.abc import Sequence
from typing import Final

import structlog

from second_opinion.pipeline.ports import (
    Breaker,
    Clock,
    Guard,
    Meter,
    MeteredReranker,
    RateLimit,
    Reranker,
    UsageBook,
    no_guard,
    no_meter,
)
from second_opinion.schemas.errors import (
    ProviderAnswerInvalid,
    ProviderRefused,
    RerankRateLimited,
    RerankUnavailable,
)
from second_opinion.schemas.usage import RerankUsage

log = structlog.get_logger(__name__)

LONGEST_WAIT_SECONDS: Final = 2.0
"""How long a call waits for the rate limit on its thread; beyond it the reranker counts as one that cannot be had."""
LOOK_SECONDS: Final = 0.05


class GuardedReranker:
    """Implements `MeteredReranker`: asks the breaker before each call, and tells it how the call went.

    Only what may pass by itself counts as a failure. A refusal is remembered and logged, for operators to see to. A
    call that was given up by its caller counts as nothing.

    Args:
        reranker: What is called.
        name: Its name in the settings, under which all workers share the breaker.
        book: Where its cost is kept by day; without it only the caller hears of it.
    """

    def __init__(self, reranker: Reranker, name: str, breaker: Breaker, book: UsageBook | None = None) -> None:
        self.spec = reranker.spec
        self._reranker = reranker
        self._name = name
        self._breaker = breaker
        self._book = book

    def score(self, query: str, passages: Sequence[str], *, guard: Guard = no_guard) -> list[float]:
        """Return what the reranker returns.

        Raises:
            OpinionError: As `score_metered` does.
        """
        return self.score_metered(query, passages, meter=no_meter, guard=guard)

    def score_metered(
        self, query: str, passages: Sequence[str], *, meter: Meter, guard: Guard = no_guard
    ) -> list[float]:
        """Return what the reranker returns; the meter, and the book of the day, hear what each answer cost.

        Raises:
            RerankUnavailable: If it is left alone because it failed again and again, or if it fails now.
            ProviderRefused: If it refuses.
        """
        guard()
        seconds = self._breaker.ask(self._name)
        if seconds > 0.0:
            raise RerankUnavailable(
                f"{self._name} failed again and again and is left alone for {seconds:.0f} s", retry_after=seconds
            )

        def count(usage: RerankUsage) -> None:
            if self._book is not None:
                self._book.add(self._name, usage)
            meter(usage)

        try:
            scores = self._call(query, passages, count, guard)
        except RerankRateLimited:
            raise
        except RerankUnavailable as problem:
            if isinstance(problem, ProviderAnswerInvalid):
                count(RerankUsage(unusable=1))
            self._breaker.failed(self._name)
            raise
        except ProviderRefused as problem:
            self._breaker.refused(self._name, problem.message)
            log.error("provider_refused", reranker=self._name, error=problem.message, hint=problem.hint)  # noqa: TRY400 - its frames hold what was sent
            raise
        self._breaker.succeeded(self._name)
        return scores

    def _call(self, query: str, passages: Sequence[str], meter: Meter, guard: Guard) -> list[float]:
        if isinstance(self._reranker, MeteredReranker):
            return self._reranker.score_metered(query, passages, meter=meter, guard=guard)
        return self._reranker.score(query, passages, guard=guard)


class RateAdmission:
    """Lets requests to a provider go as fast as its settings allow; called before each, with the guard.

    Args:
        name: Under which all workers share the limit.
        per_minute: How many requests.
    """

    def __init__(self, limit: RateLimit, name: str, per_minute: float, *, clock: Clock) -> None:
        self._limit = limit
        self._name = name
        self._per_minute = per_minute
        self._clock = clock

    def __call__(self, guard: Guard) -> None:
        """Return when a request may be sent.

        Raises:
            RerankRateLimited: If that would take too long.
            OpinionError: What the guard raises.
        """
        waited = 0.0
        while (seconds := self._limit.take(self._name, self._per_minute)) > 0.0:
            if waited + seconds > LONGEST_WAIT_SECONDS:
                raise RerankRateLimited(
                    f"all {self._per_minute:g} requests a minute to {self._name} are used up", retry_after=seconds
                )
            until = self._clock.now() + seconds
            while (left := until - self._clock.now()) > 0.0:
                guard()
                self._clock.sleep(min(left, LOOK_SECONDS))
            waited += seconds
