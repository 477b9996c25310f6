"""Callers with questions: each is submitted until somebody takes it, then looked at until it has ended."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from second_opinion.schemas.errors import JobCancelled, OpinionError, UnknownJob
from second_opinion.schemas.job import JobState
from second_opinion.schemas.query import QueryRequest
from second_opinion.testing.simulation.answers import Answers
from second_opinion.testing.simulation.ledger import DEADLY
from second_opinion.testing.simulation.query_side import QuerySide
from second_opinion.testing.simulation.scheduler import Process
from second_opinion.testing.simulation.world import World

QUESTIONS: Final = (2, 6)
FLOORS: Final = (0.0, 0.4, 0.9, 1.0)
TIMEOUTS: Final = (6.0, 40.0, 3_000.0, 3_000.0)
DEADLINES_MS: Final = (1_000, 3_000, 9_000)
HURRY_SHARE: Final = 0.25
CANCEL_SHARE: Final = 0.15
AGAIN_SHARE: Final = 0.3
DEADLY_SHARE: Final = 0.08
PAUSES: Final = (4.0, 20.0)
LONGEST_LOOK: Final = 4.0
TRIES: Final = 12
LABELS: Final = 20


@dataclass(frozen=True, slots=True)
class Question:
    """One question, and whether its asker loses patience."""

    request: QueryRequest
    cancelled: bool = False


def questions(rng: random.Random, name: str) -> list[Question]:
    """Return the questions of one asker: about some content, with choices of every kind."""
    return [_question(rng, f"{name}-{number}") for number in range(rng.choice(QUESTIONS))]


def _question(rng: random.Random, job_id: str) -> Question:
    deadly = rng.random() < DEADLY_SHARE
    request = QueryRequest(
        text=f"label n{rng.randrange(LABELS)}{f' {DEADLY}' if deadly else ''} part",
        job_id=job_id,
        floor=rng.choice(FLOORS),
        top_k=rng.choice((1, 3, 10)),
        chunks_per_document=rng.choice((1, 3)),
        on_unavailable=rng.choice(("fail", "wait", "fused")),
        timeout_s=rng.choice(TIMEOUTS),
        deadline_ms=rng.choice(DEADLINES_MS) if rng.random() < HURRY_SHARE else None,
    )
    return Question(request, cancelled=rng.random() < CANCEL_SHARE)


class Asker:
    """A caller that asks its questions one after the other. Started again, it goes on with the one it was at."""

    def __init__(
        self, world: World, side: QuerySide, answers: Answers, asked: Sequence[Question], rng: random.Random
    ) -> None:
        self._world = world
        self._side = side
        self._answers = answers
        self._asked = list(asked)
        self._rng = rng
        self._longest_pause = rng.choice(PAUSES)
        self._place = 0

    def begin(self, process: Process) -> None:
        """Go on in a new process."""
        self._world.sea.scheduler.spawn(process.name, process, lambda: self._run(process))

    def _run(self, process: Process) -> None:
        scheduler, jobs = self._world.sea.scheduler, self._side.jobs(process)
        while self._place < len(self._asked):
            scheduler.sleep(self._rng.uniform(0.0, self._longest_pause))
            question = self._asked[self._place]
            if self._submit(question, process):
                self._watch(question, jobs, process)
            self._place += 1
        self._world.retired.add(process.name)

    def _submit(self, question: Question, process: Process) -> bool:
        """Submit until it is taken; now and then twice, as a caller does that did not hear the answer."""
        desk = self._side.desk(process)
        self._answers.will_ask(question.request, cancelled=question.cancelled)
        taken = False
        for _ in range(TRIES):
            redis = self._world.redis
            try:
                job = desk.submit(question.request)
            except OpinionError as problem:
                self._world.sea.tell(f"asker hears {question.request.job_id}: {problem.code}")
                self._answers.was_refused(question.request, problem)
                self._pause()
                continue
            self._answers.was_taken(job, redis)
            taken = True
            if self._rng.random() >= AGAIN_SHARE:
                break
        return taken

    def _watch(self, question: Question, jobs: Any, process: Process) -> None:
        job_id = str(question.request.job_id)
        looks = 0
        while True:
            self._pause()
            looks += 1
            try:
                if question.cancelled and looks == 1:
                    error = JobCancelled(f"job {job_id} was cancelled").info()
                    jobs.finish(job_id, JobState.CANCELLED, at=self._world.sea.scheduler.now, error=error)
                job = jobs.get(job_id)
            except UnknownJob:
                if self._answers.may_be_unknown(job_id):
                    self._submit(question, process)
                continue
            except OpinionError:
                continue
            self._world.sea.tell(f"asker hears {job_id}: {job.state}")
            if job.is_terminal and self._rng.random() < 0.5:  # noqa: PLR2004 - who has an answer may look again
                return

    def _pause(self) -> None:
        self._world.sea.scheduler.sleep(self._rng.uniform(0.2, LONGEST_LOOK))
