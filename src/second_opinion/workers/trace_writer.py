"""Writing traces beside the work: a bounded buffer and one thread, which never slow or fail a query."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog

from second_opinion.pipeline.ports import TraceStore
from second_opinion.schemas.errors import OpinionError
from second_opinion.schemas.trace import Trace

log = structlog.get_logger(__name__)

ROOM: Final = 256
FLUSH_SECONDS: Final = 1.0
CLOSE_SECONDS: Final = 5.0

MakeTrace = Callable[[], Trace]
"""Makes a trace when the writer gets to it: its hashes are computed off the path of the answers, too."""


class TraceWriter:
    """Takes traces at once and writes them in bulk, every second and when it is closed.

    What cannot be written for now is tried again with the next bulk. What finds no room, or is refused for good, is
    dropped: counted in `dropped` and logged, once a bulk.

    Args:
        store: Where traces go.
        room: How many traces may wait; when Elasticsearch is away, the oldest are dropped first.
        flush_seconds: How often they are written.
    """

    def __init__(self, store: TraceStore, *, room: int = ROOM, flush_seconds: float = FLUSH_SECONDS) -> None:
        self.dropped = 0
        self._store = store
        self._room = room
        self._flush_seconds = flush_seconds
        self._waiting: deque[MakeTrace] = deque()
        self._crowded_out = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def offer(self, make: MakeTrace) -> None:
        """Take a trace to be made and written soon; never waits and never raises."""
        with self._lock:
            self._waiting.append(make)
            self._keep_to_room()
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._run, name="trace-writer", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Write what waits and end; gives up after a few seconds."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while not self._closing.wait(self._flush_seconds):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        with self._lock:
            makes, self._waiting = self._waiting, deque()
            lost, self._crowded_out = self._crowded_out, 0
        reason = "no room" if lost else ""
        try:
            again, refused, why = self._write(makes)
            lost += refused
            reason = why or reason
        except Exception as problem:
            log.exception("traces_broke")
            again, lost, reason = [], lost + len(makes), type(problem).__name__
        with self._lock:
            self._waiting.extendleft(reversed(again))
            self._keep_to_room()
        if lost:
            self.dropped += lost
            log.warning("traces_dropped", count=lost, in_all=self.dropped, reason=reason)

    def _write(self, makes: deque[MakeTrace]) -> tuple[list[MakeTrace], int, str]:
        """Write traces; return those to try again, how many were refused for good, and why."""
        if not makes:
            return [], 0, ""
        try:
            errors = self._store.write([make() for make in makes])
        except OpinionError as problem:
            return (list(makes), 0, "") if problem.transient else ([], len(makes), problem.code)
        again = [make for make, error in zip(makes, errors, strict=True) if error is not None and error.transient]
        codes = [error.code for error in errors if error is not None and not error.transient]
        return again, len(codes), codes[0] if codes else ""

    def _keep_to_room(self) -> None:
        while len(self._waiting) > self._room:
            self._waiting.popleft()
            self._crowded_out += 1
