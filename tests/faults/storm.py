"""A storm: a whole system, callers at work, and SIGKILLs at random moments; afterwards everything is counted."""

import math
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from second_opinion import Client
from second_opinion.workers.routing import ROLES, Role
from second_opinion.workers.stores import open_connection
from tests.faults import shelf
from tests.faults.checker import Findings, check
from tests.faults.ledger import Ledger, read
from tests.faults.observe import Observer
from tests.faults.own_system import OwnSystem
from tests.faults.rescue import RescueWatch
from tests.faults.shelf import Works
from tests.faults.traffic import Asker, Backlog, Caller, Writer
from tests.faults.victims import OwnElasticsearch

REDIS: Final = "redis"
ELASTICSEARCH: Final = "elasticsearch"
SETTLE_SECONDS: Final = 120.0
QUICK: Final = {
    "lease_seconds": "4",
    "job_lease_seconds": "3",
    "reconcile_seconds": "1",
    "sweep_seconds": "3",
    "sweep_grace_seconds": "8",
    "deaf_seconds": "5",
}
"""Times of a storm that has to be over soon."""
USUAL: Final = {"sweep_seconds": "10", "sweep_grace_seconds": "45"}
"""Times as they are set by default, but for the sweeper's, which would have to be waited for."""

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens in a storm; the same seed kills the same things after the same pauses.

    Attributes:
        kills: How many SIGKILLs; each role and Redis get their turn before any gets the next.
        seconds: After so many there are no more kills.
        pause: Seconds between two kills, at least and at most.
        room: Most works that may wait to be indexed before the writer waits.
        patience: Seconds a query may take.
        resting: Seconds between an answer and the same asker's next question.
        times: Settings of leases, reconciler and sweeper.
        redis_forgets: Redis loses its file with each kill.
        gently: Workers are asked to stop, with SIGTERM, instead.
        sweeping: Seconds that a sweeper may pause: fifty times as long as it takes to look at all that is stored.
    """

    works: Works
    kills: int
    seed: int = 0
    pause: tuple[float, float] = (1.0, 4.0)
    room: int = 200
    askers: int = 2
    patience: float = 60.0
    resting: float = 0.0
    times: dict[str, str] = field(default_factory=lambda: dict(QUICK))
    redis_forgets: bool = False
    gently: bool = False
    sweeping: float = 90.0
    victims: tuple[str, ...] = (*ROLES, REDIS)
    seconds: float = math.inf

    def order(self) -> Iterator[tuple[str, float]]:
        """Yield what is killed next, and how many seconds after the one before."""
        chance = random.Random(self.seed)  # noqa: S311 - the storm is the same for the same seed
        turn: list[str] = []
        for _ in range(self.kills):
            if not turn:
                turn = list(self.victims)
                chance.shuffle(turn)
            yield turn.pop(), chance.uniform(*self.pause)


@dataclass(slots=True)
class Outcome:
    """What a storm came to.

    Attributes:
        problems: What callers saw that must not be.
        noticed: Seconds until abandoned work was sent again.
        rescues: Seconds until it was taken up again, behind what was sent before it; where Redis forgets, until that
            happened to each document that was not searchable yet.
        unrescued: What never was.
        written: How many works were sent at least once.
    """

    findings: Findings
    problems: list[str]
    killed: dict[str, int]
    counts: dict[str, int]
    queries: dict[str, int]
    noticed: list[float]
    rescues: list[float]
    unrescued: list[str]
    exits: dict[str, list[int]]
    written: int
    acknowledged: int
    chunks: int
    seconds: dict[str, float]

    def figures(self) -> dict[str, Any]:
        """Return all of it as numbers."""
        return {
            "kills": self.killed,
            "written": self.written,
            "acknowledged": self.acknowledged,
            "callers": self.counts,
            "queries": self.queries,
            "found": self.findings.counts(),
            "wrong": self.findings.wrong(),
            "failed": self.findings.failed[:20],
            "problems": self.problems,
            "chunks": self.chunks,
            "sent_again": spread(self.noticed),
            "rescued": spread(self.rescues),
            "never_rescued": self.unrescued,
            "workers_that_ended_by_themselves": self.exits,
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
        }


class Storm:
    """One system under a plan.

    Args:
        elasticsearch_url: A server that lives on, unless the plan kills it; everything else is the storm's own.
        elasticsearch: That server, where the plan kills it.
    """

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        elasticsearch_url: str,
        say: Say = lambda _: None,
        *,
        elasticsearch: OwnElasticsearch | None = None,
    ) -> None:
        self._plan = plan
        self._say = say
        self._system = OwnSystem(folder, elasticsearch_url, told=plan.times, name="storm")
        self._redis = self._system.redis
        self._elasticsearch = elasticsearch
        self.settings = self._system.settings
        self.workers = self._system.workers
        self._ledger_file = folder / "ledger.jsonl"
        self._killed: Counter[str] = Counter()

    def run(self) -> Outcome:
        """Live through the storm, let everything settle, and count."""
        begun = time.monotonic()
        with self.system() as (client, observer), self._callers(observer) as callers:
            watch = RescueWatch(client, observer)
            watch.start()
            raging = time.monotonic()
            self._rage(watch, callers)
            calm = time.monotonic()
            self._let_write([one for one in callers if isinstance(one, Writer)])
            for one in callers:
                one.stop()
            self._settle(observer, watch)
            account = read(self._ledger_file)
            self._let_sweep(observer)
            seen = observer.everything(client, account.asked)
            writers = [one.counts for one in callers if isinstance(one, Writer)]
            askers = [one.counts for one in callers if isinstance(one, Asker)]
            return Outcome(
                findings=check(account, seen, self._plan.works.text, jobs_may_vanish=self._plan.redis_forgets),
                problems=[problem for one in callers for problem in one.problems],
                killed=dict(self._killed),
                counts=dict(sum(writers, Counter[str]())),
                queries=dict(sum(askers, Counter[str]())),
                noticed=watch.noticed,
                rescues=watch.seconds,
                unrescued=watch.stop(),
                exits={role: worker.exits for role, worker in self.workers.items() if worker.exits},
                written=len(account.editions),
                acknowledged=account.acknowledged,
                chunks=len(seen.chunks),
                seconds={
                    "start": raging - begun,
                    "kills": calm - raging,
                    "settling": time.monotonic() - calm,
                },
            )

    @contextmanager
    def system(self) -> Iterator[tuple[Client, Observer]]:
        """Run the servers and one worker of each role; remove all that they made behind it."""
        connection = open_connection(self.settings)
        try:
            with self._system.running() as client:
                yield client, Observer(connection, self.settings.index_prefix)
        finally:
            connection.close()

    @contextmanager
    def _callers(self, observer: Observer) -> Iterator[list[Caller]]:
        plan, ledger = self._plan, Ledger(self._ledger_file)
        # What is sent by name is waited for; whatever else is sent does not wait for that.
        shares = [
            [one for one in range(len(plan.works)) if shelf.sent_by_name(one) is by_name] for by_name in (False, True)
        ]
        backlog = Backlog(observer)
        writers = [Writer(self.settings, plan.works, ledger, plan.seed, own, backlog, plan.room) for own in shares]
        askers = [
            Asker(self.settings, plan.works, ledger, plan.seed + 1 + number, writers, plan.patience, plan.resting)
            for number in range(plan.askers)
        ]
        callers: list[Caller] = [*writers, *askers]
        for one in callers:
            one.start()
        try:
            yield callers
        finally:
            for one in callers:
                one.stop()
            ledger.close()

    def _rage(self, watch: RescueWatch, callers: list[Caller]) -> None:
        until = time.monotonic() + self._plan.seconds
        for place, (victim, pause) in enumerate(self._plan.order(), start=1):
            if time.monotonic() > until:
                return
            self._sleep(pause)
            if victim in {REDIS, ELASTICSEARCH}:
                held = self._kill_server(victim, watch)
            else:
                held = self._kill_worker(victim, watch, callers)
            self._killed[victim] += 1
            self._say(f"{place}/{self._plan.kills} killed {victim}, which held {held}")

    def _kill_worker(self, role: Role, watch: RescueWatch, callers: list[Caller]) -> int:
        worker = self.workers[role]
        worker.wait_ready()
        if self._plan.gently:
            worker.stop()
        else:
            worker.kill()
        held = watch.killed(role, [one.waits_for for one in callers if isinstance(one, Asker) and one.waits_for])
        worker.start()
        return held

    def _kill_server(self, server: str, watch: RescueWatch) -> int:
        if server == ELASTICSEARCH:
            assert self._elasticsearch is not None, "this storm was given no Elasticsearch to kill"
            self._elasticsearch.kill()
            return 0
        self._redis.kill()
        held = 0
        if self._plan.redis_forgets:
            self._redis.lose_everything()
            held = watch.forgotten()
        self._redis.start()
        return held

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(0.25, left))
            for worker in self.workers.values():
                worker.tend()

    def _let_write(self, writers: list[Writer]) -> None:
        """Wait until as much was written as there are works: on a slow machine the kills may be over sooner."""
        until = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < until:
            if sum(one.counts["editions"] for one in writers) >= len(self._plan.works):
                return
            self._sleep(0.5)

    def _settle(self, observer: Observer, watch: RescueWatch) -> None:
        """Wait until nothing moves any more, as long as something does."""
        waiting, patience = observer.waiting() + watch.pending, time.monotonic() + SETTLE_SECONDS
        while waiting and time.monotonic() < patience:
            self._sleep(0.5)
            now = observer.waiting() + watch.pending
            if now < waiting:
                waiting, patience = now, time.monotonic() + SETTLE_SECONDS
            waiting = min(waiting, now)

    def _let_sweep(self, observer: Observer) -> None:
        """Wait until the sweeper has had its turn, twice, on all that may be removed."""
        settings = self.settings
        until = time.monotonic() + settings.sweep_grace_seconds + 2 * settings.sweep_seconds + self._plan.sweeping
        while observer.loose() and time.monotonic() < until:
            self._sleep(0.5)


def spread(seconds: list[float]) -> dict[str, float]:
    """Return count, median, 95th percentile and maximum."""
    if not seconds:
        return {"count": 0}
    cuts = statistics.quantiles([*seconds, *seconds], n=20, method="inclusive")
    found = {"p50": cuts[9], "p95": cuts[18], "max": max(seconds)}
    return {"count": len(seconds), **{name: round(value, 2) for name, value in found.items()}}
