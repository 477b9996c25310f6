"""A whole system on the doubles: servers, processes of every role, and a supervisor that starts them again."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from second_opinion.pipeline.company import Company
from second_opinion.pipeline.extraction import Extractors, PlainTextExtractor
from second_opinion.pipeline.ingest import (
    Acceptance,
    Extraction,
    GroupCommitter,
    Indexing,
    Maker,
    Makers,
    Policy,
    Reconciler,
    Stores,
    Sweeper,
)
from second_opinion.pipeline.ports import Guard, Vectors, no_guard
from second_opinion.schemas.collection import DEFAULT_COLLECTION, IndexFingerprint
from second_opinion.schemas.errors import BrokerUnavailable, DeadlineExceeded, OpinionError, TextUnreadable
from second_opinion.schemas.messages import ExtractDocument, IndexDocuments
from second_opinion.testing.broker import BrokerQueue, MemoryBroker
from second_opinion.testing.chunking import ParagraphChunker
from second_opinion.testing.chunks import MemoryChunks
from second_opinion.testing.collections import MemoryCollections
from second_opinion.testing.documents import MemoryContents, MemoryDocuments
from second_opinion.testing.ingest import CountingIds
from second_opinion.testing.jobs import MemoryCandidates, MemoryJobs
from second_opinion.testing.models import WordEmbedder
from second_opinion.testing.simulation.boundary import Boundary, Sea
from second_opinion.testing.simulation.ledger import DEADLY, UNREADABLE, Ledger
from second_opinion.testing.simulation.scheduler import NEVER, ActorCondition, Crash, Process, ProcessClock

POLICY: Final = Policy(
    lease_seconds=10.0,
    max_attempts=4,
    backoff_seconds=1.0,
    commit_documents=3,
    commit_seconds=2.0,
    slice_chunks=2,
    group_bytes=200,
    message_documents=3,
    grace_seconds=25.0,
    tombstone_seconds=1e9,
    patience_seconds=60.0,
)
"""Short patience, so that leases, grace times and backoffs end within a run; small groups, so that there are many."""
RESULT_SECONDS: Final = 86_400.0
VISIBILITY_SECONDS: Final = (120.0, 3_600.0)
KEEPS_HANDS_SHARE: Final = 0.5
"""In the other runs workers lose what they have taken and not recorded, as an older version's do."""
LISTING_LAG: Final = 1.0
RECONCILE_SECONDS: Final = 5.0
SWEEP_SECONDS: Final = 10.0
TASK_LIMIT_SECONDS: Final = 90.0
RESTART_SECONDS: Final = 3.0
SKEW_SECONDS: Final = 1.0

Serve = Callable[[dict[str, Any]], object]


class MoodyEmbedder(WordEmbedder):
    """An embedder that fails for good on some texts, and ends its worker on others, until somebody mends it."""

    def __init__(self, process: Process | None = None) -> None:
        super().__init__(dims=8)
        self.mended = False
        self._process = process
        self._whole: MoodyEmbedder = self

    def of(self, process: Process) -> "MoodyEmbedder":
        """Return the embedder as it runs in a process."""
        mine = MoodyEmbedder(process)
        mine._whole = self
        return mine

    def embed_passages(self, texts: Sequence[str], *, guard: Guard = no_guard) -> Vectors:
        """Return the passages' vectors, shape (len(texts), dims), if they can be read."""
        if not self._whole.mended:
            if any(DEADLY in text for text in texts) and self._process is not None:
                self._process.dead = True
                raise Crash(self._process.name)
            if any(UNREADABLE in text for text in texts):
                raise TextUnreadable("this text cannot be read")
        return super().embed_passages(texts, guard=guard)


@dataclass
class World:
    """Servers, processes, and what is known of them.

    Attributes:
        living: The processes that should run, by name, with how to start each again.
        retired: Names of those that stay as they are when they end.
        redis: How often Redis lost everything.
    """

    seed: int
    sea: Sea
    embedder: "MoodyEmbedder" = field(init=False)
    fingerprint: IndexFingerprint = field(init=False)
    living: dict[str, tuple[Process, Callable[[Process], None]]] = field(default_factory=dict)
    retired: set[str] = field(default_factory=set)
    restarts: int = 0
    redis: int = 0

    def __post_init__(self) -> None:
        """Put up the servers and an empty collection."""
        scheduler = self.sea.scheduler
        self.rng = random.Random(f"world {self.seed}")  # noqa: S311 - has to be repeatable
        self.embedder = MoodyEmbedder()
        self.clock = ProcessClock(scheduler, Process("servers"))
        self.broker = MemoryBroker(
            clock=self.clock,
            visibility_timeout=self.rng.choice(VISIBILITY_SECONDS),
            keeps_hands=self.rng.random() < KEEPS_HANDS_SHARE,
        )
        self.jobs = MemoryJobs(clock=self.clock, result_ttl=RESULT_SECONDS)
        self.candidates = MemoryCandidates()
        spec = self.embedder.spec
        self.fingerprint = IndexFingerprint(
            embedding_model=spec.model,
            embedding_revision=spec.revision,
            dims=spec.dims,
            chunker=ParagraphChunker.name,
        )
        self.stores = Stores(
            documents=MemoryDocuments(clock=self.clock, lag=LISTING_LAG),
            contents=MemoryContents(),
            chunks=MemoryChunks(),
            collections=MemoryCollections(self.fingerprint),
            queue=BrokerQueue(self.broker),
            clock=self.clock,
            ids=CountingIds(),
        )
        index = self.stores.collections.ensure(DEFAULT_COLLECTION).index
        self.ledger = Ledger(self.stores, index)
        self.sea.after.append(self._watch)

    def _watch(self, name: str, args: tuple[Any, ...], _: dict[str, Any], answer: Any) -> None:
        if name == "documents.swap":
            for seen in answer:
                if seen is not None:
                    self.ledger.on_record(seen.record, self.sea.scheduler.now)
        elif name == "chunks.delete":
            self.ledger.on_delete(args[1])

    def seen_by(self, process: Process) -> Stores:
        """Return the stores as one process reaches them."""

        def reach(name: str, port: Any) -> Any:
            return Boundary(self.sea, process, name, port)

        return replace(
            self.stores,
            documents=reach("documents", self.stores.documents),
            contents=reach("contents", self.stores.contents),
            chunks=reach("chunks", self.stores.chunks),
            collections=reach("collections", self.stores.collections),
            queue=Boundary(self.sea, process, "queue", self.stores.queue, error=BrokerUnavailable, server="redis"),
            clock=ProcessClock(self.sea.scheduler, process),
        )

    def start(self, name: str, role: str, begin: Callable[[Process], None]) -> None:
        """Start a process, and have it started again whenever it has ended."""
        process = Process(name, role, skew=self.rng.uniform(-SKEW_SECONDS, SKEW_SECONDS))
        self.living[name] = (process, begin)
        begin(process)

    def supervise(self) -> None:
        """Start again what has ended; to be run by an actor."""
        while True:
            self.sea.scheduler.sleep(RESTART_SECONDS)
            for name, (process, begin) in list(self.living.items()):
                if process.dead and name not in self.retired:
                    self.restarts += 1
                    self.sea.tell(f"{name} is started again")
                    self.start(name, process.role, begin)

    def consume(self, process: Process, queue: str, serve: Serve, *, threads: int = 1) -> None:
        """Let threads of a process work off a queue as Celery does: late acknowledgement, nothing prefetched."""
        for number in range(threads):
            self.sea.scheduler.spawn(f"{process.name}.{number}", process, lambda: self._consume(process, queue, serve))

    def _consume(self, process: Process, queue: str, serve: Serve) -> None:
        scheduler, broker = self.sea.scheduler, self.broker
        while True:
            scheduler.wait(lambda: broker.due(queue))
            delivery = broker.take(queue, process)
            if delivery is None:
                continue
            scheduler.point()
            broker.record(delivery, process)
            self.sea.tell(f"begins message {delivery.number} of {queue}")
            try:
                serve(dict(delivery.body))
            except OpinionError as problem:
                self.sea.tell(f"message {delivery.number}: {problem.code}")
            scheduler.point()
            broker.acknowledge(delivery, process)

    def _give_back(self) -> None:
        now = self.sea.scheduler.now
        heard = {process for process, _ in self.living.values() if not process.dead and process.frozen_until <= now}
        self.broker.give_back(heard)

    def begin_index(self, process: Process) -> None:
        """Begin an index worker of three threads that commit together."""
        stores = self.seen_by(process)
        condition = ActorCondition(self.sea.scheduler)
        committer = GroupCommitter(stores, POLICY, changed=condition, monotonic=stores.clock.now)
        embedder = Boundary(self.sea, process, "embedder", self.embedder.of(process), server="model")
        makers = Makers(stores.collections, {self.fingerprint: Maker(ParagraphChunker(), embedder)})
        indexing = Indexing(
            stores,
            POLICY,
            ParagraphChunker(),
            embedder,
            committer,
            makers=makers,
            company=Company(changed=ActorCondition(self.sea.scheduler)),
        )

        def serve(body: dict[str, Any]) -> None:
            message = IndexDocuments.model_validate(body)
            indexing.index(message.documents, self.time_guard(process))

        self.consume(process, "index", serve, threads=3)

    def begin_extract(self, process: Process) -> None:
        """Begin an extract worker."""
        extraction = Extraction(self.seen_by(process), POLICY, Extractors([PlainTextExtractor()]))
        self.consume(process, "extract", lambda body: extraction.extract(ExtractDocument.model_validate(body).document))

    def begin_maintenance(self, process: Process) -> None:
        """Begin a maintenance worker with a beat of its own."""
        stores = self.seen_by(process)
        reconciler, sweeper = Reconciler(stores, POLICY), Sweeper(stores, POLICY)
        scheduler = self.sea.scheduler

        def every(seconds: float, work: Callable[[], object]) -> Callable[[], None]:
            def beat() -> None:
                while True:
                    scheduler.sleep(seconds)
                    try:
                        work()
                    except OpinionError as problem:
                        self.sea.tell(f"tick: {problem.code}")

            return beat

        scheduler.spawn(f"{process.name}.reconcile", process, every(RECONCILE_SECONDS, reconciler.reconcile))
        scheduler.spawn(f"{process.name}.sweep", process, every(SWEEP_SECONDS, sweeper.sweep))
        scheduler.spawn(f"{process.name}.restore", process, every(RECONCILE_SECONDS, self.broker.restore))
        scheduler.spawn(f"{process.name}.give_back", process, every(RECONCILE_SECONDS, self._give_back))

    def time_guard(self, process: Process) -> Guard:
        """Return a guard that ends a task after its limit."""
        clock = ProcessClock(self.sea.scheduler, process)
        until = clock.now() + TASK_LIMIT_SECONDS

        def check() -> None:
            if clock.now() > until:
                raise DeadlineExceeded(f"the work was not done within {TASK_LIMIT_SECONDS:g} seconds")

        return check

    def acceptance(self, process: Process) -> Acceptance:
        """Return what takes in documents, as one process has it."""
        return Acceptance(self.seen_by(process), POLICY)

    def is_settled(self) -> bool:
        """Tell whether nothing is left to be done."""
        received = self.stores.documents.listed(DEFAULT_COLLECTION, state="received", after=None, limit=1)
        return not (received or self.broker.waiting() or self._unfinished())

    def _unfinished(self) -> list[str]:
        return self.jobs.unfinished(submitted_before=NEVER, limit=9)

    def unsettled(self) -> str:
        """Say what is left to be done."""
        received = self.stores.documents.listed(DEFAULT_COLLECTION, state="received", after=None, limit=9)
        documents = [f"{one.document_id}@{one.target} attempt {one.attempts}" for one in received]
        messages = f"{len(self.broker.waiting())} messages, {len(self.broker.held())} held"
        return f"documents {documents}, queries {self._unfinished()}, {messages}"

    def lose_redis(self) -> None:
        """Lose everything that Redis keeps."""
        self.redis += 1
        self.broker.clear()
        self.jobs.clear()
        self.candidates.clear()
