"""The query side of a simulated system: the workers of both halves, and the rescue of queries."""

from collections.abc import Sequence
from typing import Any, Final

from second_opinion.pipeline.answer import JudgementParts
from second_opinion.pipeline.calibration import NoCalibration
from second_opinion.pipeline.company import Company
from second_opinion.pipeline.panel import Panel
from second_opinion.pipeline.ports import Guard, TimeIsOver, no_guard
from second_opinion.pipeline.rescue import QueryRescue
from second_opinion.pipeline.retrieval import RetrievalParts
from second_opinion.pipeline.submission import QueryDesk
from second_opinion.schemas.collection import QueryDefaults
from second_opinion.schemas.errors import JobStoreUnavailable, OpinionError, RerankUnavailable
from second_opinion.schemas.messages import RerankCandidates, RunQuery
from second_opinion.testing.models import WordReranker
from second_opinion.testing.simulation.boundary import Boundary
from second_opinion.testing.simulation.ledger import DEADLY
from second_opinion.testing.simulation.scheduler import ActorCondition, Crash, Process
from second_opinion.testing.simulation.world import World
from second_opinion.workers.jobs import JobWork
from second_opinion.workers.parts import RerankParts, RetrieveParts
from second_opinion.workers.tasks import rerank, retrieve

MAX_ATTEMPTS: Final = 3
LEASE_SECONDS: Final = 10.0
RESCUE_SECONDS: Final = 5.0
READ_SECONDS: Final = 0.3


class MoodyReranker(WordReranker):
    """A reranker that ends its worker on some questions, and that may not answer.

    It takes some tenths of a second for a passage when there is a hurry, and no time when there is none.
    """

    def __init__(self, world: World, process: Process) -> None:
        super().__init__()
        self._process = process
        self._scheduler = world.sea.scheduler
        self._there = Boundary(
            world.sea, process, "reranker", WordReranker(), error=RerankUnavailable, server="reranker"
        )

    def score_in_time(
        self, query: str, passages: Sequence[str], *, is_over: TimeIsOver | None = None, guard: Guard = no_guard
    ) -> Any:
        """Return one raw score for each passage, in order; None for those not read in time."""
        if DEADLY in query:
            self._process.dead = True
            raise Crash(self._process.name)

        def takes_time() -> bool:
            self._scheduler.sleep(READ_SECONDS)
            return is_over is not None and is_over()

        in_time = None if is_over is None else takes_time
        return self._there.score_in_time(query, passages, is_over=in_time, guard=guard)


class QuerySide:
    """Begins the processes that take, work off and rescue queries.

    Args:
        world: The servers and what else runs.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def jobs(self, process: Process) -> Any:
        """Return the jobs as one process reaches them."""
        return self._redis(process, "jobs", self._world.jobs)

    def desk(self, process: Process) -> QueryDesk:
        """Return what takes queries, as one process has it."""
        stores = self._world.seen_by(process)
        return QueryDesk(
            collections=stores.collections,
            jobs=self.jobs(process),
            queue=stores.queue,
            ids=stores.ids,
            clock=stores.clock,
            defaults=QueryDefaults(),
        )

    def begin_retrieve(self, process: Process) -> None:
        """Begin a retrieve worker of two threads."""
        world, stores = self._world, self._world.seen_by(process)
        embedder: Any = Boundary(world.sea, process, "embedder", world.embedder, server="model")
        parts = RetrieveParts(
            work=self._work(process),
            jobs=self.jobs(process),
            retrieval=RetrievalParts(stores.collections, stores.documents, stores.chunks, embedder),
            candidates=self._redis(process, "candidates", world.candidates),
            queue=stores.queue,  # type: ignore[arg-type]
            clock=stores.clock,  # type: ignore[arg-type]
        )
        world.consume(
            process, "retrieve", lambda body: retrieve.run_query(RunQuery.model_validate(body), parts), threads=2
        )

    def begin_rerank(self, process: Process) -> None:
        """Begin a rerank worker of two threads."""
        world, stores = self._world, self._world.seen_by(process)
        judgement = JudgementParts(reranker=MoodyReranker(world, process), calibration=NoCalibration("logit"))
        parts = RerankParts(
            work=self._work(process),
            panel=Panel({"default": judgement}),
            candidates=self._redis(process, "candidates", world.candidates),
            jobs=self.jobs(process),
            queue=stores.queue,  # type: ignore[arg-type]
            clock=stores.clock,  # type: ignore[arg-type]
        )

        def serve(body: dict[str, Any]) -> None:
            rerank.rerank_candidates(RerankCandidates.model_validate(body), parts)

        world.consume(process, "rerank", serve, threads=2)

    def begin_rescue(self, process: Process) -> None:
        """Begin the rescue of queries in a maintenance worker."""
        world, stores = self._world, self._world.seen_by(process)
        rescue = QueryRescue(self.jobs(process), stores.queue, stores.clock, max_attempts=MAX_ATTEMPTS)

        def beat() -> None:
            while True:
                world.sea.scheduler.sleep(RESCUE_SECONDS)
                try:
                    rescue.rescue()
                except OpinionError as problem:
                    world.sea.tell(f"rescue: {problem.code}")

        world.sea.scheduler.spawn(f"{process.name}.rescue", process, beat)

    def _redis(self, process: Process, name: str, port: Any) -> Any:
        return Boundary(self._world.sea, process, name, port, error=JobStoreUnavailable, server="redis")

    def _work(self, process: Process) -> JobWork:
        stores = self._world.seen_by(process)
        return JobWork(
            self.jobs(process),
            stores.clock,
            max_attempts=MAX_ATTEMPTS,
            lease_seconds=LEASE_SECONDS,
            ids=stores.ids,
            company=Company(changed=ActorCondition(self._world.sea.scheduler)),
        )
