"""Whether a worker has stopped to take messages: its process lives, its queue fills, and nothing is worked on."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

ASK_SECONDS: Final = 2.0


class _Lasting(ABC):
    """Notices what has lasted for longer than `limit` seconds, as far as looking now and then can tell."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._since: float | None = None
        self._ask_at = 0.0

    def __call__(self, now: float) -> bool:
        """Look, now and then, at `now` (monotonic seconds)."""
        if now < self._ask_at:
            return False
        self._ask_at = now + ASK_SECONDS
        if not self._seen():
            self._since = None
        elif self._since is None:
            self._since = now
        return self._since is not None and now - self._since > self._limit

    @abstractmethod
    def _seen(self) -> bool:
        """Return whether it is so at this moment."""


class Deafness(_Lasting):
    """Notices a deaf worker. A worker whose queue is empty, that works, or that cannot ask its broker is none.

    With several workers on a queue each hears of messages in its turn, so an idle one that hears of none for so long,
    while some wait, is deaf.

    Args:
        limit: Seconds for which messages wait beside this idle worker before it counts as deaf.
        waiting: How many messages wait in its queue; may raise.
        taken: How many messages it has taken so far.
        working: How many it works on now.
    """

    def __init__(
        self,
        limit: float,
        *,
        waiting: Callable[[], int],
        taken: Callable[[], int],
        working: Callable[[], int],
    ) -> None:
        super().__init__(limit)
        self._waiting = waiting
        self._taken = taken
        self._working = working
        self._taken_before = -1

    def _seen(self) -> bool:
        taken = self._taken()
        moved, self._taken_before = taken != self._taken_before, taken
        if moved or self._working():
            return False
        try:
            return self._waiting() > 0
        except Exception:  # noqa: BLE001 - whatever keeps us from asking is no deafness
            return False


class Absence(_Lasting):
    """Notices a worker that has lost its broker and does not come back to it, although the broker answers.

    Celery tries again after ever longer pauses, of half a minute at most; so what stays away for longer never comes.

    Args:
        limit: Seconds for which the broker answers a worker that has not come back.
        answers: Asks the broker; raises when it does not answer.
    """

    def __init__(self, limit: float, answers: Callable[[], object]) -> None:
        super().__init__(limit)
        self._answers = answers

    def _seen(self) -> bool:
        try:
            self._answers()
        except Exception:  # noqa: BLE001 - whatever keeps it from answering keeps the worker away
            return False
        return True
