"""One simulation: a seed, a system that everything happens to, and what of its promises is kept in the end."""

import hashlib
import random
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import structlog

from second_opinion.pipeline.ingest import Acceptance
from second_opinion.pipeline.ingest.retry import retry_failed
from second_opinion.schemas.collection import DEFAULT_COLLECTION
from second_opinion.schemas.document import DocumentState
from second_opinion.testing.simulation.answers import Answers
from second_opinion.testing.simulation.askers import Asker, questions
from second_opinion.testing.simulation.boundary import Sea
from second_opinion.testing.simulation.checks import check_documents, check_leftovers
from second_opinion.testing.simulation.clients import Client, scripts
from second_opinion.testing.simulation.fates import Fate
from second_opinion.testing.simulation.faults import Fates, FaultSource, NoFaults, SeededFaults
from second_opinion.testing.simulation.query_side import QuerySide
from second_opinion.testing.simulation.scheduler import Process, Scheduler
from second_opinion.testing.simulation.world import LISTING_LAG, POLICY, World

FAULTY_SECONDS: Final = 60.0
LEAST_FAULTS: Final = 20
LONGEST_SETTLING: Final = 900.0
LOOK_SECONDS: Final = 10.0
PACES: Final = (0.0, 0.0, 0.2, 1.0, 2.0, 3.0)
FAULT_RATES: Final = (0.005, 0.02, 0.05, 0.1)
FATE_PAUSES: Final = (6.0, 6.0, 20.0)
SLUGGISH: Final = (
    "",
    "",
    "chunks.search",
    "chunks.search",
    "documents.get",
    "chunks.write",
    "chunks.refresh",
    "contents.create",
    "documents.swap",
    "candidates.put",
    "reranker.score_in_time",
)
INDEX_WORKERS: Final = (1, 2, 2)
ASKERS: Final = (0, 1, 3)
STICKINESS: Final = (0.0, 0.5, 0.9)


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a simulation.

    Attributes:
        violations: Broken promises, as sentences; none is what is hoped for.
        faults: What went wrong on purpose, by number; events of whole servers have negative ones.
        trace: A line for each call, if asked for.
        digest: Hash of the trace: the same seed has the same.
        settled_after: Virtual seconds from the last fault until nothing was left to be done.
        parked: Documents that had been given up, visibly, and were brought back by hand in the end.
    """

    seed: int
    violations: tuple[str, ...]
    faults: dict[int, str]
    digest: str
    calls: int
    commits: int
    settled_after: float
    parked: int
    trace: tuple[str, ...] = ()


@dataclass
class Simulation:
    """One run.

    Args:
        seed: Decides everything.
        spared: Numbers of faults that do not happen, though drawn.
        traced: Keep the trace.
        chosen: Faults at chosen calls; then nothing else goes wrong, and nothing is slow.
    """

    seed: int
    spared: Collection[int] = ()
    traced: bool = False
    chosen: FaultSource | None = None
    world: World = field(init=False)

    def __post_init__(self) -> None:
        """Put up the system."""
        rng = random.Random(f"run {self.seed}")  # noqa: S311 - has to be repeatable
        scheduler = Scheduler(self.seed, stickiness=rng.choice(STICKINESS))
        faults: FaultSource = SeededFaults(self.seed, rng.choice(FAULT_RATES))
        trace: list[str] | None = [] if self.traced else None
        digest = hashlib.blake2b(digest_size=16)
        self._sea = Sea(
            scheduler,
            faults,
            trace=trace,
            digest=digest,
            pace=rng.choice(PACES),
            sluggish=rng.choice(SLUGGISH),
            spared=self.spared,
        )
        if self.chosen is not None:
            self._sea.faults, self._sea.pace, self._sea.sluggish = self.chosen, 0.0, ""
        self._rng = rng
        self._scheduler = scheduler
        self._faulty_seconds = FAULTY_SECONDS * (1.0 + self._sea.pace / 2)
        self.world = World(self.seed, self._sea)
        self._side = QuerySide(self.world)
        self.answers = Answers(self.world)
        self._sea.after.append(self.answers.watch)

    def run(self) -> Report:
        """Run to the end."""
        with _repeatable(self.seed):
            try:
                settled_after, parked = self._run()
            finally:
                self._scheduler.close()
        ledger = self.world.ledger
        for actor, defect in self._scheduler.defects:
            ledger.broken(f"{actor} broke: {type(defect).__name__}: {defect}")
        return Report(
            seed=self.seed,
            violations=tuple(ledger.violations),
            faults=dict(self._sea.struck),
            digest=self._sea.digest.hexdigest(),
            calls=self._sea.calls,
            commits=ledger.commits,
            settled_after=settled_after,
            parked=parked,
            trace=tuple(self._sea.trace or ()),
        )

    def _run(self) -> tuple[float, int]:
        world, scheduler = self.world, self._scheduler
        fate = self._begin()
        scheduler.run(self._faulty_seconds)
        while self.chosen is None and self._sea.drawn < LEAST_FAULTS:
            scheduler.run(LOOK_SECONDS)
        fate.stopped = True
        self._sea.faults = NoFaults()
        self._sea.down.clear()
        self._sea.pace, self._sea.sluggish = 0.0, ""
        settled_after = self._settle()
        world.embedder.mended = True
        parked = self._bring_back()
        if parked:
            self._settle()
        scheduler.run(POLICY.grace_seconds + 2 * LOOK_SECONDS + 20.0)
        self.answers.check()
        check_documents(world)
        check_leftovers(world)
        return settled_after, parked

    def _begin(self) -> Fate:
        world, scheduler = self.world, self._scheduler
        undying = Process("world")
        for number in range(self._rng.choice(INDEX_WORKERS)):
            world.start(f"index-{number}", "index", world.begin_index)
        for number in range(2):
            world.start(f"maintenance-{number}", "maintenance", self._begin_maintenance)
        world.start("extract-0", "extract", world.begin_extract)
        world.start("retrieve-0", "retrieve", self._side.begin_retrieve)
        world.start("rerank-0", "rerank", self._side.begin_rerank)
        for number, batches in enumerate(scripts(self._rng)):
            client = Client(world, batches, random.Random(f"client {number} {self.seed}"))  # noqa: S311 - repeatable
            world.start(f"client-{number}", "client", client.begin)
        for number in range(self._rng.choice(ASKERS)):
            name = f"asker-{number}"
            rng = random.Random(f"{name} {self.seed}")  # noqa: S311 - repeatable
            asker = Asker(world, self._side, self.answers, questions(rng, name), rng)
            world.start(name, "client", asker.begin)
        scheduler.spawn("supervisor", undying, world.supervise)
        fate = Fate(world, Fates(self.seed), longest_pause=self._rng.choice(FATE_PAUSES))
        if self.chosen is None:
            scheduler.spawn("fate", undying, fate.run)
        return fate

    def _begin_maintenance(self, process: Process) -> None:
        self.world.begin_maintenance(process)
        self._side.begin_rescue(process)

    def _settle(self) -> float:
        """Run until nothing is left to be done; return how long that took."""
        started = self._scheduler.now
        while self._scheduler.now < started + LONGEST_SETTLING:
            self._scheduler.run(LOOK_SECONDS)
            if self._scheduler.defects or self._nothing_is_left():
                # Listings lag, and whoever brings back what was given up finds it in one.
                self._scheduler.run(2 * LISTING_LAG)
                if self._scheduler.defects or self._nothing_is_left():
                    return self._scheduler.now - started
        self.world.ledger.broken(f"work is left after {LONGEST_SETTLING:g} quiet seconds: {self.world.unsettled()}")
        return LONGEST_SETTLING

    def _nothing_is_left(self) -> bool:
        return self._clients_are_done() and self.world.is_settled()

    def _clients_are_done(self) -> bool:
        world = self.world
        return all(process.role != "client" or name in world.retired for name, (process, _) in world.living.items())

    def _bring_back(self) -> int:
        """Try again what was given up, half as an operator does and half as a caller does: all must still be there."""
        stores, ledger = self.world.stores, self.world.ledger
        failed = stores.documents.listed(DEFAULT_COLLECTION, state=DocumentState.FAILED, after=None, limit=100)
        for record in failed:
            if record.error is None or record.error.code not in {"attempts_exhausted", "text_unreadable"}:
                ledger.broken(f"{record.document_id} failed with {record.error}")
        for place, record in enumerate(failed):
            content = stores.contents.get([record.ref]).get(record.ref)
            if content is None:
                ledger.broken(f"{record.document_id} failed, and what was sent is gone")
            elif place % 2 or content.text is None:
                retry_failed(stores, POLICY, DEFAULT_COLLECTION, [record.document_id])
            else:
                payload = {"id": record.document_id, "text": content.text, "source_version": record.source_version}
                Acceptance(stores, POLICY).accept([payload])
        return len(failed)


@contextmanager
def _repeatable(seed: int) -> Iterator[None]:
    """Give code that spreads its tries at random the same numbers each time, and keep its logs quiet."""
    state = random.getstate()
    random.seed(seed)
    try:
        with structlog.testing.capture_logs():
            yield
    finally:
        random.setstate(state)


def simulate(
    seed: int, *, spared: Collection[int] = (), traced: bool = False, chosen: FaultSource | None = None
) -> Report:
    """Run one simulation."""
    return Simulation(seed, spared, traced, chosen).run()
