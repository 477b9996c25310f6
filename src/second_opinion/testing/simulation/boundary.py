"""Where a process meets the outside: each call to a port lets others run first, and may go wrong."""

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from second_opinion.pipeline.ports import SearchHits
from second_opinion.schemas.errors import ErrorInfo, OpinionError, StoreUnavailable
from second_opinion.testing.simulation.faults import Fault, FaultSource, NoFaults
from second_opinion.testing.simulation.scheduler import Crash, Process, Scheduler

LATE_SECONDS: Final = 8.0
DOWN_SECONDS: Final = 0.5
SLUGGISH_SECONDS: Final = 6.0
SLOW_SECONDS: Final = 1.5
VERY_SLOW_SECONDS: Final = 14.0
VERY_SLOW_FROM: Final = 0.8

Watch = Callable[[str, tuple[Any, ...], dict[str, Any], Any], None]

BATCHES: Final = frozenset(
    {"documents.swap", "documents.get", "chunks.write", "chunks.delete", "contents.create", "contents.get"}
)
"""Calls whose last argument is a list of items that take effect one after the other, with others coming in between."""


@dataclass(slots=True)
class Sea:
    """What all boundaries share: the scheduler, the faults, what was called, and who watches.

    Attributes:
        trace: One line for each call; None when none are kept.
        struck: Number and description of every fault; events of whole servers have negative numbers.
        spared: Numbers of faults that do not happen, though drawn: for finding out which of them a failure needs.
        drawn: How many faults were drawn, those that were spared included.
        down: Until when (Unix seconds) each server answers nobody.
        pace: Seconds that a call takes at the most.
        sluggish: The one call whose answers take seconds more.
        after: Told of each call that had its effect: its name, arguments, named arguments and answer.
    """

    scheduler: Scheduler
    faults: FaultSource = field(default_factory=NoFaults)
    calls: int = 0
    trace: list[str] | None = None
    digest: Any = None
    struck: dict[int, str] = field(default_factory=dict)
    spared: Collection[int] = ()
    drawn: int = 0
    down: dict[str, float] = field(default_factory=dict)
    pace: float = 0.0
    sluggish: str = ""
    paces: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311 - has to be repeatable
    after: list[Watch] = field(default_factory=list)

    def strikes(self, number: int, told: str) -> bool:
        """Note a fault that was drawn; False when it is to be spared."""
        self.drawn += 1
        if number in self.spared:
            return False
        self.struck[number] = told
        self.tell(f"! {told}")
        return True

    def tell(self, line: str) -> None:
        """Add a line to the trace."""
        text = f"{self.scheduler.now:.3f} {self.scheduler.actor}: {line}"
        if self.digest is not None:
            self.digest.update(text.encode())
        if self.trace is not None:
            self.trace.append(text)


class Boundary:
    """A port as one process reaches it.

    Args:
        sea: What all boundaries share.
        process: Whose calls they are.
        name: What the port is called in traces.
        port: The double behind it.
        error: What a server that does not answer raises here.
        server: The server that it needs.
    """

    def __init__(  # noqa: PLR0913 - two by name
        self,
        sea: Sea,
        process: Process,
        name: str,
        port: Any,
        *,
        error: type[OpinionError] = StoreUnavailable,
        server: str = "elasticsearch",
    ) -> None:
        self._sea = sea
        self._process = process
        self._name = name
        self._port = port
        self._error = error
        self._server = server

    def __getattr__(self, method: str) -> Any:
        reached = getattr(self._port, method)
        if not callable(reached):
            return reached
        call = _Call(self._sea, self._process, f"{self._name}.{method}", reached, self._error, self._server)
        return call.make


@dataclass(frozen=True, slots=True)
class _Call:
    sea: Sea
    process: Process
    name: str
    reached: Callable[..., Any]
    error: type[OpinionError]
    server: str

    def make(self, *args: Any, **kwargs: Any) -> Any:
        sea = self.sea
        sea.scheduler.point()
        sea.calls += 1
        number = sea.calls
        fault = sea.faults.at(number, self.name)
        if sea.pace:
            sea.scheduler.sleep(sea.pace * sea.paces.random())
        if sea.down.get(self.server, 0.0) > sea.scheduler.now:
            sea.tell(f"{self.name}: {self.server} is down")
            sea.scheduler.sleep(DOWN_SECONDS)
            raise self.error(f"{self.server} is down")
        sea.tell(f"{self.name}({_shown(args)})")
        if fault is None or not sea.strikes(number, f"{fault.kind} at {self.name} of {sea.scheduler.actor}"):
            answer = self._effect(args, kwargs)
            if self.name == sea.sluggish:
                sea.scheduler.sleep(SLUGGISH_SECONDS * sea.paces.random())
            return answer
        return self._strike(fault, args, kwargs)

    def _strike(self, fault: Fault, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if fault.kind == "crash":
            self._crash()
        if fault.kind == "slow":
            self.sea.scheduler.sleep(_slowness(fault))
            return self._effect(args, kwargs)
        if fault.kind == "late":
            self.sea.scheduler.spawn(f"late {self.name}", Process("network"), lambda: self._late(fault, args, kwargs))
        elif fault.kind == "turned away" and self.name == "chunks.write":
            return self._turn_away(fault, args)
        elif fault.kind == "partial" and self.name in BATCHES:
            self._effect((*args[:-1], _first_part(args[-1], fault.share)), kwargs)
        elif fault.kind in {"timed out", "crash after"}:
            self._effect(args, kwargs)
        if fault.kind == "crash after":
            self._crash()
        raise self.error(f"{self.name} did not answer in time")

    def _crash(self) -> None:
        self.process.dead = True
        raise Crash(self.process.name)

    def _late(self, fault: Fault, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.sea.scheduler.sleep(LATE_SECONDS * fault.share)
        self.sea.tell(f"{self.name}({_shown(args)}) arrives late")
        try:
            self._apply(args, kwargs)
        except OpinionError:
            return

    def _turn_away(self, fault: Fault, args: tuple[Any, ...]) -> list[ErrorInfo | None]:
        index, chunks = args
        kept = _first_part(chunks, fault.share)
        self._effect((index, kept), {})
        problem = self.error("the server has no room for this item").info()
        return [None] * len(kept) + [problem] * (len(chunks) - len(kept))

    def _effect(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Have the effect; the items of a batch in two parts, between which others may come."""
        if self.name == "chunks.search":
            return self._search(args[0])
        if self.name not in BATCHES or len(args[-1]) < 2:  # noqa: PLR2004 - one item cannot be divided
            return self._apply(args, kwargs)
        middle = len(args[-1]) // 2
        first = self._apply((*args[:-1], args[-1][:middle]), kwargs)
        try:
            self.sea.scheduler.point()
        finally:
            # The server has the whole request, whether or not its sender still lives.
            second = self._apply((*args[:-1], args[-1][middle:]), kwargs)
        return _joined(first, second)

    def _search(self, request: Any) -> SearchHits:
        """Search the two lists one after the other: a refresh may come in between."""
        bm25 = self._apply((replace(request, knn=False),), {})
        self.sea.scheduler.point()
        knn = self._apply((replace(request, bm25=False),), {})
        return SearchHits(bm25.bm25, knn.knn, bm25_full=bm25.bm25_full, knn_full=knn.knn_full)

    def _apply(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        answer = self.reached(*args, **kwargs)
        for watch in self.sea.after:
            watch(self.name, args, kwargs, answer)
        return answer


def _first_part(items: Sequence[Any], share: float) -> Sequence[Any]:
    return items[: int(len(items) * share)]


def _joined(first: Any, second: Any) -> Any:
    if isinstance(first, dict):
        return {**first, **second}
    return None if first is None else [*first, *second]


def _slowness(fault: Fault) -> float:
    return VERY_SLOW_SECONDS * fault.share if fault.share >= VERY_SLOW_FROM else SLOW_SECONDS * fault.share


def _shown(args: tuple[Any, ...]) -> str:
    """Name what a call is about: keys, targets and ids, never times that a run measured."""
    return ", ".join(filter(None, map(_named, args)))


def _named(value: Any) -> str:
    if isinstance(value, str):
        return _short(value)
    if isinstance(value, list | tuple):
        return "[" + " ".join(filter(None, map(_named, value))) + "]"
    if hasattr(value, "key") and hasattr(value, "target"):
        state = f" {value.state} {value.attempts}" if hasattr(value, "state") else ""
        return f"{_short(value.key)}@{value.target}{state}"
    for part in ("record", "chunk_id", "job_id"):
        if hasattr(value, part):
            return _named(getattr(value, part))
    return ""


def _short(text: str) -> str:
    """Return an id that is told apart by its beginning, and a chunk's by what follows the key as well."""
    key, at, rest = text.partition("@")
    return (key[:6] if len(key) == 40 else key[:24]) + (at + rest)  # noqa: PLR2004 - a document's key
