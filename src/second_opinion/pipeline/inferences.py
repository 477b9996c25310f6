"""How long inferences have been running: native code that hangs shows in nothing else."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final


class Inferences:
    """The inferences of this process that are running now. For many threads."""

    def __init__(self) -> None:
        self._begun: dict[int, float] = {}

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the body as one inference of this thread."""
        thread = threading.get_ident()
        self._begun[thread] = time.monotonic()
        try:
            yield
        finally:
            self._begun.pop(thread, None)

    def longest(self, now: float) -> float:
        """Return for how many seconds the longest one has been running at `now` (monotonic); 0 when none is."""
        return max((now - begun for begun in list(self._begun.values())), default=0.0)


INFERENCES: Final = Inferences()
