"""Bugs of the query side that somebody shipped, here or elsewhere, each put back by a patch of one place."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from second_opinion.pipeline import answer, reranking, rescue, retrieval, submission
from second_opinion.pipeline.job_lease import JobLease
from second_opinion.schemas.candidate import Fusion, Handover
from second_opinion.schemas.collection import QueryDefaults, QueryOverrides
from second_opinion.schemas.errors import JobStoreUnavailable, OpinionError, RerankUnavailable
from second_opinion.schemas.job import TERMINAL_STATES, Job, JobState
from second_opinion.schemas.query import Query, QueryRequest
from second_opinion.schemas.verdict import QueryResult
from second_opinion.testing.jobs import MemoryCandidates, MemoryJobs
from second_opinion.testing.models import WordReranker
from second_opinion.workers import jobs as job_work
from second_opinion.workers.tasks import rerank as rerank_task

Bug = Callable[[pytest.MonkeyPatch], None]


def floor_before_rerank(patch: pytest.MonkeyPatch) -> None:
    """The floor meets fused scores, which are below any floor."""
    honest = answer.fuse

    def floored(candidates: Sequence[Any], choices: QueryDefaults) -> Fusion:
        fusion = honest(candidates, choices)
        return fusion.model_copy(
            update={"candidates": tuple(one for one in fusion.candidates if one.fused_score >= choices.floor)}
        )

    patch.setattr(answer, "fuse", floored)


def floor_of_zero_means_none(patch: pytest.MonkeyPatch) -> None:
    """A floor of 0.0 is taken for one that was not given."""

    def over(self: QueryOverrides, defaults: QueryDefaults) -> QueryDefaults:
        said = {name: getattr(self, name) for name in QueryDefaults.model_fields if getattr(self, name)}
        return defaults.model_copy(update=said)

    patch.setattr(QueryOverrides, "over", over)


def unread_passages_pass(patch: pytest.MonkeyPatch) -> None:
    """What was not read in time counts as relevant."""
    honest = reranking._Scorer.score

    def open_handed(self: Any, query: str, passages: Sequence[str]) -> list[Any]:
        return [9.0 if score is None else score for score in honest(self, query, passages)]

    patch.setattr(reranking._Scorer, "score", open_handed)


def missing_reranker_is_a_refusal(patch: pytest.MonkeyPatch) -> None:
    """A reranker that cannot be had is taken for one that found nothing."""
    honest = rerank_task.judge_by_panel

    def resigned(job: Job, handover: Handover, *given: Any, **options: Any) -> QueryResult:
        try:
            return honest(job, handover, *given, **options)
        except RerankUnavailable:
            empty = handover.model_copy(update={"fusion": Fusion(candidates=())})
            return honest(job, empty, *given, **options)

    patch.setattr(rerank_task, "judge_by_panel", resigned)


def lost_candidates_are_a_refusal(patch: pytest.MonkeyPatch) -> None:
    """Candidates that Redis has lost are taken for none found."""
    honest = MemoryCandidates.get

    def resigned(self: MemoryCandidates, job_id: str, *, owner: str = "") -> Handover:
        nothing = Handover(
            fusion=Fusion(candidates=()), stale_dropped=0, rounds=1, depth=150, embedder="", handed_over_at=0.0
        )
        return honest(self, job_id, owner=owner) or nothing

    patch.setattr(MemoryCandidates, "get", resigned)


def ending_is_overwritten(patch: pytest.MonkeyPatch) -> None:
    """The last to finish a job wins, whatever it had ended as."""

    def finish(
        self: MemoryJobs,
        job_id: str,
        state: JobState,
        *,
        at: float,
        result: Any = None,
        error: Any = None,
        owner: Any = None,
    ) -> bool:
        job = self._stored(job_id)
        update = {"state": state, "finished_at": at, "result": result, "error": error, "owner": "", "lease_until": 0.0}
        self._jobs[job_id] = job.model_copy(update=update)
        return True

    patch.setattr(MemoryJobs, "finish", finish)


def ended_job_is_begun_again(patch: pytest.MonkeyPatch) -> None:
    """A message that comes late begins work on a job that has ended."""
    honest = MemoryJobs.begin

    def eager(self: MemoryJobs, job_id: str, state: JobState, **options: Any) -> Job:
        job = self._jobs.get(job_id)
        if job is not None and job.state in TERMINAL_STATES:
            self._jobs[job_id] = job.model_copy(update={"state": state})
        return honest(self, job_id, state, **options)

    patch.setattr(MemoryJobs, "begin", eager)


def query_acknowledged_before_recorded(patch: pytest.MonkeyPatch) -> None:
    """A query is taken although its job could not be stored."""
    honest = submission.QueryDesk.submit

    def hasty(self: submission.QueryDesk, request: QueryRequest) -> Job:
        try:
            return honest(self, request)
        except JobStoreUnavailable:
            query = Query(job_id=str(request.job_id), text=request.text, collection=request.collection)
            return Job(
                job_id=query.job_id, state=JobState.QUEUED, query=query, submitted_at=0.0, expires_at=float("inf")
            )

    patch.setattr(submission.QueryDesk, "submit", hasty)


def abandoned_queries_not_looked_for(patch: pytest.MonkeyPatch) -> None:
    """Nobody looks for queries whose worker is gone."""
    patch.setattr(MemoryJobs, "lapsed", lambda _, **__: [])


def lost_query_messages_not_looked_for(patch: pytest.MonkeyPatch) -> None:
    """The rescue trusts that what was put into a queue is still there."""
    patch.setattr(MemoryJobs, "waiting", lambda _, **__: [])


def deadly_query_tried_for_ever(patch: pytest.MonkeyPatch) -> None:
    """A query that ends its workers is given to the next one, again and again."""
    for module in (rescue, job_work):
        patch.setattr(module, "begun_too_often", lambda *_: None)


def uncommitted_sets_are_shown(patch: pytest.MonkeyPatch) -> None:
    """What searches find is shown, committed or not: old beside new, deleted, and half-written."""
    patch.setattr(retrieval._List, "current", lambda self, _: list(self.hits.values()))


def changed_documents_are_dropped(patch: pytest.MonkeyPatch) -> None:
    """A document of which a search shows another version is left out, and nobody is told."""
    patch.setattr(retrieval, "MAX_RESOLVING_SEARCHES", 0)
    patch.setattr(retrieval, "_unresolved_hits", lambda *_: 0)


def deadline_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    """A query without an answer in time stays as it is."""
    patch.setattr(MemoryJobs, "_look", MemoryJobs._stored)
    patch.setattr(JobLease, "__call__", lambda _: None)


def scores_mixed_up(patch: pytest.MonkeyPatch) -> None:
    """Raw scores come back sorted and are taken to be in the order of the passages."""
    honest = WordReranker.score_in_time

    def sorted_scores(self: WordReranker, query: str, passages: Sequence[str], **options: Any) -> list[Any]:
        scores = honest(self, query, passages, **options)
        return sorted(scores, key=lambda one: (one is None, -(one or 0.0)))

    patch.setattr(WordReranker, "score_in_time", sorted_scores)


def transient_error_is_for_good(patch: pytest.MonkeyPatch) -> None:
    """A server that is away for a moment fails the query."""

    def hasty(error: OpinionError, **_: Any) -> job_work.GiveUp:
        return job_work.GiveUp()

    patch.setattr(job_work, "decide", hasty)


QUERY_BUGS: list[Bug] = [
    floor_before_rerank,
    floor_of_zero_means_none,
    unread_passages_pass,
    missing_reranker_is_a_refusal,
    lost_candidates_are_a_refusal,
    ending_is_overwritten,
    ended_job_is_begun_again,
    query_acknowledged_before_recorded,
    abandoned_queries_not_looked_for,
    lost_query_messages_not_looked_for,
    deadly_query_tried_for_ever,
    uncommitted_sets_are_shown,
    changed_documents_are_dropped,
    deadline_not_looked_at,
    scores_mixed_up,
    transient_error_is_for_good,
]
