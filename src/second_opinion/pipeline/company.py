"""Company: pieces of work of one process that run beside each other, or one that runs alone.

When a worker ends, everything that it had in its hands is suspect, and one culprit makes many. So what was lost before
runs alone: if the process ends again, only that one was there.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Condition
from typing import Any, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class Company:
    """Lets many in together, or one alone. Whoever wants to be alone goes before those who come later.

    Args:
        changed: A `threading.Condition`, or what takes its place in a simulation.
    """

    def __init__(self, *, changed: Any = None) -> None:
        self._changed = Condition() if changed is None else changed
        self._together = 0
        self._is_alone = False
        self._want_alone = 0

    def work_off(
        self, others: Sequence[ItemT], suspects: Sequence[ItemT], work: Callable[[Sequence[ItemT], bool], ResultT]
    ) -> list[ResultT]:
        """Do some work with others around, at once, and each suspect alone; `work` hears which it is."""
        results: list[ResultT] = []
        if others:
            with self.together():
                results.append(work(others, False))  # noqa: FBT003 - as it is declared
        for suspect in suspects:
            with self.alone():
                results.append(work([suspect], True))  # noqa: FBT003 - likewise
        return results

    @contextmanager
    def together(self) -> Iterator[None]:
        """Run the body beside others, but not beside one that is alone."""
        with self._changed:
            while self._is_alone or self._want_alone:
                self._changed.wait()
            self._together += 1
        try:
            yield
        finally:
            with self._changed:
                self._together -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Run the body while nothing else runs."""
        with self._changed:
            self._want_alone += 1
            try:
                while self._is_alone or self._together:
                    self._changed.wait()
                self._is_alone = True
            finally:
                self._want_alone -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._is_alone = False
                self._changed.notify_all()
