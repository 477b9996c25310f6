"""Calls to a provider of rerank scores: bounded in time, watched by the guard, tried again when that may help.

Each request runs on a thread of its own while the caller's thread asks the guard, so a job that is cancelled or out of
time leaves at once, whatever the provider does. What is left behind ends by the timeouts of its connection.
"""

import contextvars
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import count
from random import SystemRandom
from typing import Final, Generic, TypeVar

from second_opinion.pipeline.ports import Admission, Guard
from second_opinion.schemas.errors import InternalError, OpinionError, ProviderAnswerInvalid, RerankUnavailable

GUARD_SECONDS: Final = 0.05
AnswerT = TypeVar("AnswerT")

_random: Final = SystemRandom()


def admit_at_once(guard: Guard) -> None:
    """Let every request go."""


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """How patient to be with a provider.

    Attributes:
        timeout: Seconds for one request, until its answer has been read whole.
        retries: Most tries after the first one.
        patience: Seconds for all requests of one query, tries and pauses included.
        base: Seconds that the first pause is at most; each further pause may be twice as long.
        cap: Seconds that no pause of our own exceeds; one that the provider asks for may.
        most_at_once: Requests under way in this process, above which a new one is refused.
    """

    timeout: float = 10.0
    retries: int = 2
    patience: float = 30.0
    base: float = 0.5
    cap: float = 8.0
    most_at_once: int = 64


class ProviderCalls:
    """Makes the calls to one provider. Any number of threads may use it.

    Args:
        provider: How sentences name it.
        policy: How patient to be.
        admit: Called before each request.
    """

    def __init__(self, provider: str, policy: CallPolicy, *, admit: Admission = admit_at_once) -> None:
        self.provider = provider
        self.policy = policy
        self._admit = admit
        self._lock = threading.Lock()
        self._running = 0

    def patience(self) -> float:
        """Return the moment, of the monotonic clock, at which a query that begins now has waited long enough."""
        return time.monotonic() + self.policy.patience

    def call(self, request: Callable[[], AnswerT], *, until: float, guard: Guard) -> AnswerT:
        """Return what `request` returns, trying again after a `RerankUnavailable` while there is time.

        An answer that cannot be used is not asked for again: it was paid for, and the next one would be like it.

        Args:
            request: Sends one request and reads its answer; raises only errors of ours.
            until: The moment at which to give up, as `patience` returns it.
            guard: Called before each request, about every 50 ms while it lasts, and during pauses.

        Raises:
            OpinionError: What the last try raised, or what the guard raises.
        """
        for attempt in count(1):
            guard()
            self._admit(guard)
            try:
                return self._watched(request, until=until, guard=guard)
            except ProviderAnswerInvalid:
                raise
            except RerankUnavailable as problem:
                pause = pause_before_retry(attempt, problem.retry_after, self.policy, jitter=_random.random())
                if attempt > self.policy.retries or time.monotonic() + pause >= until:
                    raise
            _wait(pause, guard)
        raise InternalError("counting came to an end")

    def _watched(self, request: Callable[[], AnswerT], *, until: float, guard: Guard) -> AnswerT:
        allowed = min(self.policy.timeout, max(0.0, until - time.monotonic()))
        task = _Task(request, self.provider, self._ended)
        with self._lock:
            if self._running >= self.policy.most_at_once:
                raise RerankUnavailable(f"{self._running} requests are still waiting for {self.provider}")
            self._running += 1
        task.start()
        over = time.monotonic() + allowed
        while not task.done.wait(min(GUARD_SECONDS, max(0.0, over - time.monotonic()))):
            guard()
            if time.monotonic() >= over:
                raise RerankUnavailable(f"{self.provider} does not answer within {allowed:.3g} s")
        return task.result()

    def _ended(self) -> None:
        with self._lock:
            self._running -= 1


class _Task(Generic[AnswerT]):
    """One request on its thread."""

    def __init__(self, request: Callable[[], AnswerT], provider: str, ended: Callable[[], None]) -> None:
        self._request = request
        self._provider = provider
        self._ended = ended
        self._answers: list[AnswerT] = []
        self._problem: OpinionError = InternalError("a request ended without an outcome")
        self.done = threading.Event()

    def start(self) -> None:
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._run,), name="rerank-request", daemon=True).start()

    def result(self) -> AnswerT:
        if self._answers:
            return self._answers[0]
        raise self._problem

    def _run(self) -> None:
        try:
            self._answers.append(self._request())
        except OpinionError as problem:
            # The frames and causes behind it hold the request's headers, and so the key.
            self._problem = problem.with_traceback(None)
            problem.__cause__ = problem.__context__ = None
        except BaseException as problem:  # noqa: BLE001 - the caller has to hear of it
            self._problem = InternalError(f"asking {self._provider} failed: {type(problem).__name__}")
        finally:
            self._ended()
            self.done.set()


def pause_before_retry(attempt: int, asked: float | None, policy: CallPolicy, *, jitter: float) -> float:
    """Return the seconds to wait after the `attempt`-th try (from 1).

    Args:
        attempt: How many tries there were.
        asked: Seconds that the provider asks us to wait; None when it does not say.
        policy: How patient to be.
        jitter: A random number in [0, 1), so that workers do not come back in step.
    """
    own = jitter * min(policy.cap, policy.base * 2.0 ** (attempt - 1))
    return own if asked is None else asked + jitter * policy.base


def retry_after(value: str | None, *, now: float | None = None) -> float | None:
    """Return the seconds that a `Retry-After` header asks for: a number of seconds or an HTTP date.

    Args:
        value: The header; None when there is none.
        now: Unix seconds; the present when left out.

    Returns:
        Seconds, never negative; None when nothing is asked or it cannot be read.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    present = datetime.fromtimestamp(time.time() if now is None else now, UTC)
    return max(0.0, (moment - present).total_seconds())


def _wait(seconds: float, guard: Guard) -> None:
    over = time.monotonic() + seconds
    while (left := over - time.monotonic()) > 0.0:
        guard()
        time.sleep(min(GUARD_SECONDS, left))
