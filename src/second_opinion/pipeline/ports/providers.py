"""What stands between workers and a provider of scores: breaker, rate limit, and the book of what it cost."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from second_opinion.pipeline.ports.work import Guard
from second_opinion.schemas.usage import DailyUsage, RerankUsage

Admission = Callable[[Guard], None]
"""Called before each request to a provider, tries again included: the place of a rate limit. May wait, asking the
guard, or raise."""


@dataclass(frozen=True, slots=True)
class BreakerState:
    """How a circuit breaker stands: `half-open` lets one call through to see whether the reranker is back.

    Attributes:
        failures: How many calls have failed in a row.
        seconds_left: For how long no call will be let through.
        refusal: What the provider said when it refused the last call; empty when it did not.
    """

    state: Literal["closed", "open", "half-open"]
    failures: int = 0
    seconds_left: float = 0.0
    refusal: str = ""


class Breaker(Protocol):
    """Keeps all workers from calling a reranker that is known to fail. It never raises: in doubt it lets calls through.

    After some failures in a row it is open. When it has cooled down one call is let through as a probe, then the next
    one after another cool-down; a success closes it.
    """

    def ask(self, name: str) -> float:
        """Return 0.0 when a reranker may be called now, or the seconds until it may."""

    def failed(self, name: str) -> None:
        """Count a call that failed and may succeed later."""

    def refused(self, name: str, told: str) -> None:
        """Remember, for operators, that the provider refused a call and what it said; failures before it are forgotten.

        It does not open the breaker: whoever refuses answers at once, and costs no time.
        """

    def succeeded(self, name: str) -> None:
        """Forget the failures, and the refusal."""

    def state(self, name: str) -> BreakerState:
        """Return how the breaker of a reranker stands."""


class UsageBook(Protocol):
    """What rerankers cost, by day (in UTC), counted over all workers."""

    def add(self, name: str, usage: RerankUsage) -> None:
        """Add to what a reranker has cost today. It never raises: what cannot be counted is logged."""

    def read(self, days: int) -> list[DailyUsage]:
        """Return what each reranker cost on each of the last days, today included: by day, the latest first, and name.

        Raises:
            JobStoreUnavailable: If the book cannot be read.
        """


class RateLimit(Protocol):
    """Calls a minute, counted over all workers. It never raises: in doubt it lets calls through."""

    def take(self, name: str, per_minute: float) -> float:
        """Take one call and return 0.0, or return the seconds until one can be taken."""


class RequestBook(Protocol):
    """Requests of keys, counted over all gateways. It never raises."""

    def spend(self, used: Mapping[str, int], *, per_minute: float, room: float) -> dict[str, float]:
        """Take requests off the keys that made them, and return what is left of each.

        Args:
            used: Requests by key.
            per_minute: How fast what is left grows again.
            room: How far it grows. What is left may be below 0 when gateways let in more than there was.

        Returns:
            Nothing when it cannot be told.
        """

    def close(self) -> None:
        """Give the connections back."""
