"""One seeded scheduler: actors are greenlets of which exactly one runs, until its next call to the outside.

Code under simulation stays as it is, synchronous and unaware. The same seed gives them their turns in the same order.
Time is virtual: a step takes two milliseconds, and when all wait the clock jumps to whoever is due next.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from greenlet import getcurrent, greenlet

EPOCH: Final = 1_700_000_000.0
STEP_SECONDS: Final = 0.002
NEVER: Final = float("inf")


class Crash(BaseException):
    """The process of this actor has ended; whatever its code still tries to do outside raises this again."""


@dataclass(eq=False, slots=True)
class Process:
    """What dies and stands still as one.

    Attributes:
        skew: Seconds by which its clock is ahead.
        frozen_until: It does nothing before this moment.
    """

    name: str
    role: str = ""
    skew: float = 0.0
    dead: bool = False
    frozen_until: float = 0.0


@dataclass(eq=False, slots=True)
class Actor:
    """One thread of a process."""

    name: str
    process: Process
    body: Callable[[], object]
    wake_at: float = 0.0
    ready: Callable[[], bool] | None = None
    greenlet: greenlet = field(init=False)


class Scheduler:
    """Runs actors one at a time.

    Args:
        seed: Decides who is next, always.
        stickiness: Chance that an actor goes on without a pause when it could.

    Attributes:
        defects: What actors raised that nobody caught.
    """

    def __init__(self, seed: int, *, stickiness: float = 0.0) -> None:
        self._rng = random.Random(f"schedule {seed}")  # noqa: S311 - has to be repeatable
        self._stickiness = stickiness
        self._actors: list[Actor] = []
        self._current: Actor | None = None
        self._main = getcurrent()
        self._until = 0.0
        self._now = EPOCH
        self.steps = 0
        self.defects: list[tuple[str, BaseException]] = []

    @property
    def now(self) -> float:
        """Unix seconds, virtual."""
        return self._now

    @property
    def actor(self) -> str:
        """Name of who runs now."""
        return self._current.name if self._current else "main"

    def spawn(self, name: str, process: Process, body: Callable[[], object]) -> Actor:
        """Make an actor; it runs when the scheduler first picks it."""
        actor = Actor(name, process, body)
        actor.greenlet = greenlet(lambda *_: self._live(actor), parent=self._main)
        self._actors.append(actor)
        return actor

    def run(self, seconds: float) -> None:
        """Let actors run for some virtual time, or until none is left; to be called from outside of them."""
        self._main = getcurrent()
        self._until = self._now + seconds
        self._hand(self._choose())

    def close(self) -> None:
        """End all actors."""
        for actor in self._actors:
            actor.process.dead = True
        self.run(NEVER)

    def point(self) -> None:
        """Let others run.

        Raises:
            Crash: If the actor's process has ended.
        """
        actor = self._running()
        self._check(actor)
        self.steps += 1
        self._now += STEP_SECONDS
        self._give_way(actor)

    def sleep(self, seconds: float) -> None:
        """Stand still for some virtual time.

        Raises:
            Crash: If the actor's process has ended.
        """
        self.wait(None, seconds)

    def wait(self, ready: Callable[[], bool] | None, timeout: float | None = None) -> None:
        """Stand still until `ready()` or until the time is over.

        Raises:
            Crash: If the actor's process has ended.
        """
        actor = self._running()
        self._check(actor)
        actor.ready = ready
        actor.wake_at = NEVER if timeout is None else self._now + max(0.0, timeout)
        self.steps += 1
        try:
            self._give_way(actor)
        finally:
            actor.ready, actor.wake_at = None, 0.0

    def _give_way(self, actor: Actor) -> None:
        following = self._choose()
        if following is not actor:
            self._hand(following)
        self._check(actor)

    def _running(self) -> Actor:
        if self._current is None or getcurrent() is not self._current.greenlet:
            raise RuntimeError("a simulated call from outside of the simulation's actors")
        return self._current

    @staticmethod
    def _check(actor: Actor) -> None:
        if actor.process.dead:
            raise Crash(actor.process.name)

    def _choose(self) -> Actor | None:
        """Return who runs next; None when the time is over or nobody ever will."""
        while self._now < self._until and self._actors:
            now = self._now
            able = [
                actor
                for actor in self._actors
                if (process := actor.process).dead
                or (
                    process.frozen_until <= now
                    and (actor.wake_at <= now or ((ready := actor.ready) is not None and ready()))
                )
            ]
            if able:
                if self._current in able and self._rng.random() < self._stickiness:
                    return self._current
                return able[self._rng.randrange(len(able))]
            self._now = min(self._until, *(max(a.wake_at, a.process.frozen_until) for a in self._actors))
        return None

    def _hand(self, following: Actor | None) -> None:
        self._current = following
        target = self._main if following is None else following.greenlet
        if target is not getcurrent():
            target.switch()

    def _live(self, actor: Actor) -> None:
        try:
            self._check(actor)
            actor.body()
        except Crash:
            pass
        except BaseException as defect:  # noqa: BLE001 - whoever runs the simulation hears of it
            self.defects.append((actor.name, defect))
        self._actors.remove(actor)
        self._current = None
        following = self._choose()
        self._current = following
        # A greenlet that ends goes on in its parent.
        actor.greenlet.parent = self._main if following is None else following.greenlet


class ProcessClock:
    """A `Clock` as one process has it."""

    def __init__(self, scheduler: Scheduler, process: Process) -> None:
        self._scheduler = scheduler
        self._process = process

    def now(self) -> float:
        """Return Unix seconds, virtual and a little wrong."""
        return self._scheduler.now + self._process.skew

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        self._scheduler.sleep(seconds)


class ActorCondition:
    """A `threading.Condition` for the actors of one process: they are never inside it at once."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._notified = 0

    def __enter__(self) -> bool:
        return True

    def __exit__(self, *_: object) -> None:
        return

    def wait(self, timeout: float | None = None) -> bool:
        """Stand still until somebody notifies, or until the time is over."""
        before = self._notified
        self._scheduler.wait(lambda: self._notified > before, timeout)
        return self._notified > before

    def notify_all(self) -> None:
        """Wake who waits."""
        self._notified += 1
