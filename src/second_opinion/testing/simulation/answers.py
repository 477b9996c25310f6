"""What askers were told, and what of it breaks a promise: every query ends, once, and shows what was there."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from second_opinion.pipeline.calibration import NoCalibration
from second_opinion.schemas.errors import ErrorInfo, OpinionError, UnknownJob
from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.query import QueryRequest
from second_opinion.schemas.verdict import Decision, FoundPassage, Outcome, QueryResult
from second_opinion.testing.models import WordReranker
from second_opinion.testing.simulation.ledger import LABEL
from second_opinion.testing.simulation.world import World

LATE_SECONDS: Final = 1.0
PATIENT_SECONDS: Final = 600.0
FAIR: Final = frozenset({"broker_unavailable", "rerank_unavailable", "attempts_exhausted"})
"""What a query may fail of that had all the time it wanted: nobody took its message, nobody judges, or it ends workers.
"""


@dataclass(slots=True)
class Asked:
    """One question as its asker knows it.

    Attributes:
        moment: What was committed when it was first asked, as the documents' ledger counts.
        taken: The Redis (counted) that took it last; None before.
    """

    request: QueryRequest
    cancelled: bool
    moment: int
    taken: int | None = None


@dataclass(slots=True)
class Answers:
    """Knows how each query ended, and what must hold of it."""

    world: World
    asked: dict[str, Asked] = field(default_factory=dict)
    ended: dict[tuple[int, str], tuple[JobState, QueryResult | None, ErrorInfo | None]] = field(default_factory=dict)
    states: dict[str, int] = field(default_factory=dict)

    def will_ask(self, request: QueryRequest, *, cancelled: bool) -> None:
        """Note a question before it is asked."""
        job_id = str(request.job_id)
        if job_id not in self.asked:
            self.asked[job_id] = Asked(request, cancelled, self.world.ledger.moment)

    def was_taken(self, job: Job, redis: int) -> None:
        """Note that somebody promised to answer, who was asked when Redis had lost everything so many times."""
        self.asked[job.job_id].taken = redis

    def was_refused(self, request: QueryRequest, problem: OpinionError) -> None:
        """Note that nobody took a question; only servers that are away are a reason."""
        if not problem.transient:
            self._broken(f"query {request.job_id} was refused: {problem.code}")

    def may_be_unknown(self, job_id: str) -> bool:
        """Note that a job is not known: true only of one that went with a former Redis."""
        if self.asked[job_id].taken == self.world.redis:
            self._broken(f"query {job_id} was taken and is not known")
            return False
        return True

    def watch(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], answer: Any) -> None:
        """Watch a call to the jobs that had its effect."""
        if name == "jobs.finish" and answer:
            self._on_end(args[0], args[1], kwargs.get("result"), kwargs.get("error"), again=True)
        elif name.startswith("jobs.") and isinstance(answer, Job):
            self._on_seen(answer)

    def check(self) -> None:
        """Check that every query that was taken has ended, as it should."""
        for job_id, asked in sorted(self.asked.items()):
            if asked.taken != self.world.redis:
                continue
            try:
                job = self.world.jobs.get(job_id)
            except UnknownJob:
                self._broken(f"query {job_id} was taken and is not known")
                continue
            self._on_seen(job)
            self.states[job.state] = self.states.get(job.state, 0) + 1
            if not job.is_terminal:
                self._broken(f"query {job_id} is still {job.state}")

    def _on_seen(self, job: Job) -> None:
        if job.is_terminal:
            self._on_end(job.job_id, job.state, job.result, job.error, again=False)
            return
        if (self.world.redis, job.job_id) in self.ended:
            self._broken(f"query {job.job_id} had ended, and is {job.state}")
        late = self.world.sea.scheduler.now - job.expires_at
        if late > LATE_SECONDS:
            self._broken(f"query {job.job_id} is {job.state} {late:.0f} s after its time")

    def _on_end(
        self, job_id: str, state: JobState, result: QueryResult | None, error: ErrorInfo | None, *, again: bool
    ) -> None:
        place, ending = (self.world.redis, job_id), (state, result, error)
        if place in self.ended:
            if again or self.ended[place] != ending:
                self._broken(f"query {job_id} had ended as {self.ended[place][0]}, and ends as {state}")
            return
        self.ended[place] = ending
        asked = self.asked[job_id]
        if result is not None:
            self._check_result(asked, result)
        elif state is JobState.FAILED and error is not None:
            self._check_failure(asked, error)

    def _check_failure(self, asked: Asked, error: ErrorInfo) -> None:
        hurried = asked.request.timeout_s < PATIENT_SECONDS or asked.request.deadline_ms is not None
        if error.code not in FAIR and not (hurried and error.transient):
            self._broken(f"query {asked.request.job_id} failed: {error.code} {error.message}")

    def _check_result(self, asked: Asked, result: QueryResult) -> None:
        name = f"query {result.job_id}"
        if result.floor != asked.request.floor:
            self._broken(f"{name} asked for a floor of {asked.request.floor} and got {result.floor}")
        if (result.outcome is Outcome.ANSWERED) != bool(result.kept):
            self._broken(f"{name} is {result.outcome} with {len(result.kept)} kept")
        if asked.request.top_k is not None and len(result.kept) > asked.request.top_k:
            self._broken(f"{name} keeps {len(result.kept)}")
        for kept in result.kept:
            self._check_kept(name, asked, result, kept)
        for dropped in result.dropped:
            if dropped.decision is Decision.BELOW_FLOOR and dropped.relevance >= result.floor:
                self._broken(f"{name} drops {dropped.relevance} as below {result.floor}")
        self._check_sets(name, asked, result)

    def _check_kept(self, name: str, asked: Asked, result: QueryResult, kept: Any) -> None:
        (raw,) = WordReranker().score(asked.request.text, [kept.text])
        (relevance,) = NoCalibration("logit").relevance([raw])
        if not kept.relevance >= result.floor or kept.decision is not Decision.KEPT or kept.relevance != relevance:
            self._broken(f"{name} keeps a passage of {kept.relevance} ({relevance}) over a floor of {result.floor}")
        found, label = LABEL.search(kept.text), self.world.ledger.label_of_set(kept.chunk_id.split("@")[1])
        if found is None or found[1] != label:
            self._broken(f"{name} shows {kept.text!r} for {label}")

    def _check_sets(self, name: str, asked: Asked, result: QueryResult) -> None:
        """Each document is there in one version that was committed meanwhile; one that stood still is there."""
        ledger, shown = self.world.ledger, _sets((*result.kept, *result.dropped, *result.unscored))
        for key, sets in shown.items():
            held = {one.write_set for one in ledger.held_between(key, asked.moment, ledger.moment) if one}
            document = ledger.names.get(key, key)
            if len(sets) > 1:
                self._broken(f"{name} shows {document} in {sorted(sets)}")
            if not sets <= held:
                self._broken(f"{name} shows {document} in {sorted(sets - held)}, not committed meanwhile")
        if result.stale_dropped or result.candidates >= 100:  # noqa: PLR2004 - as many as are read
            return
        for key, document in ledger.names.items():
            held_all = ledger.held_between(key, asked.moment, ledger.moment)
            if all(held_all) and key not in shown:
                self._broken(f"{name} does not know of {document}, committed all the while")

    def _broken(self, sentence: str) -> None:
        self.world.ledger.broken(sentence)


def _sets(passages: Iterable[FoundPassage]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for passage in passages:
        key, write_set, _ = passage.chunk_id.split("@")
        found.setdefault(key, set()).add(write_set)
    return found
