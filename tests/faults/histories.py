"""What callers were told of each document and what readers saw of it, by the clock; and whether the two agree.

Each thing that is done to a document has a number, and the numbers grow: a document is sent with its number as
`source_version`, and every one of its chunks names it; a deletion has one too. What a reader has seen, or a caller was
told of a deletion, holds from that moment on for every read that begins later, whoever makes it.
"""

import heapq
import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

NEVER: Final = float("inf")
SHOWN_LINES: Final = 20


@dataclass(slots=True)
class Act:
    """A document was sent, or deleted: begun at one moment, acknowledged at another (monotonic seconds)."""

    number: int
    deletes: bool
    begun: float
    acknowledged: float = NEVER


@dataclass(frozen=True, slots=True)
class Sight:
    """What one read told of one document.

    Attributes:
        number: The version that was shown; of a deletion that a status names, its number; None when nothing was shown.
        deleted: The read told of a deletion.
    """

    begun: float
    ended: float
    number: int | None
    deleted: bool = False


class Histories:
    """All acts and sights, by document. For many threads; each document has one writer.

    Attributes:
        reads: How many reads of each kind there were.
        torn: What a single read showed that must not be, by kind: no history is needed to tell.
    """

    def __init__(self) -> None:
        self.reads: Counter[str] = Counter()
        self.torn: dict[str, list[str]] = defaultdict(list)
        self._acts: dict[int, list[Act]] = defaultdict(list)
        self._sights: dict[int, list[Sight]] = defaultdict(list)
        self._lock = threading.Lock()

    def begin(self, document: int, number: int, *, deletes: bool, at: float) -> Act:
        """Note that something is about to be sent."""
        act = Act(number, deletes, at)
        self._acts[document].append(act)
        return act

    def saw(self, document: int, sight: Sight) -> None:
        """Note what a read told of a document."""
        with self._lock:
            self._sights[document].append(sight)

    def tear(self, kind: str, line: str) -> None:
        """Note what a single read showed that must not be."""
        with self._lock:
            self.torn[kind].append(line)

    def count(self, kind: str, times: int = 1) -> None:
        """Count reads."""
        with self._lock:
            self.reads[kind] += times

    @property
    def acts(self) -> int:
        """How many documents and deletions were acknowledged."""
        return sum(act.acknowledged < NEVER for acts in self._acts.values() for act in acts)

    @property
    def sights(self) -> int:
        """How often a read told of a document."""
        return sum(map(len, self._sights.values()))

    def last(self, document: int) -> Act | None:
        """Return what was done to a document last."""
        acts = self._acts.get(document)
        return acts[-1] if acts else None

    def check(self) -> "Faults":
        """Return all that readers saw and must not have seen."""
        found = Faults()
        for kind, lines in self.torn.items():
            getattr(found, kind).extend(lines)
        for document, sights in self._sights.items():
            _check(found, document, self._acts[document], sights)
        return found


@dataclass(slots=True)
class Faults:
    """What readers must not see, each with a line that names it.

    Attributes:
        mixed: One result showed chunks of two versions of a document.
        partial: A read of a whole document showed only some of its chunks.
        resurrected: A version was shown after its deletion was acknowledged or observed.
        backward: An older version was shown after a newer one.
        vanished: A live document was in neither version.
        invented: What was shown had not been sent.
        lost: At the end, the last version is not what is shown.
    """

    mixed: list[str] = field(default_factory=list)
    partial: list[str] = field(default_factory=list)
    resurrected: list[str] = field(default_factory=list)
    backward: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Return how many of each there are."""
        return {name: len(getattr(self, name)) for name in self.__slots__}

    def wrong(self) -> dict[str, list[str]]:
        """Return what there is, by kind, with the first lines of each."""
        return {name: lines[:SHOWN_LINES] for name in self.__slots__ if (lines := getattr(self, name))}


def _check(found: Faults, document: int, acts: Sequence[Act], sights: Sequence[Sight]) -> None:
    """Hold each sight against all that was known when its read began."""
    known = [(act.acknowledged, act.number) for act in acts if act.deletes and act.acknowledged < NEVER]
    heapq.heapify(known)
    by_number, at_least = {act.number: act for act in acts}, 0
    for sight in sorted(sights, key=lambda one: one.begun):
        while known and known[0][0] < sight.begun:
            at_least = max(at_least, heapq.heappop(known)[1])
        told = f"document {document}: {_what(sight)} after {_name(by_number, at_least)}"
        if sight.number is None:
            seen = _deletion_behind(acts, at_least, sight, by_number)
            if seen is None and at_least and not by_number[at_least].deletes:
                found.vanished.append(told)
        else:
            seen = sight.number
            act = by_number.get(seen)
            if act is None or act.deletes is not sight.deleted or act.begun > sight.ended:
                found.invented.append(told)
                continue
            if seen < at_least:
                gone = any(one.deletes and seen < one.number <= at_least for one in acts)
                (found.resurrected if gone and not sight.deleted else found.backward).append(told)
        if seen is not None:
            heapq.heappush(known, (sight.ended, seen))


def _deletion_behind(acts: Sequence[Act], at_least: int, sight: Sight, by_number: dict[int, Act]) -> int | None:
    """Return the first deletion that can be why nothing was shown; None when there is none, or none is needed."""
    if at_least == 0 or by_number[at_least].deletes:
        return None
    return next((one.number for one in acts if one.deletes and one.number > at_least and one.begun < sight.ended), None)


def _what(sight: Sight) -> str:
    if sight.number is None:
        return "nothing"
    return f"deletion {sight.number}" if sight.deleted else f"version {sight.number}"


def _name(by_number: dict[int, Act], number: int) -> str:
    if number == 0:
        return "nothing"
    return f"{'deletion' if by_number[number].deletes else 'version'} {number}"
