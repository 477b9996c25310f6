"""The second half of a query: score, calibrate, judge, the terminal state, and then the trace."""

import random
from functools import partial

from second_opinion.pipeline.panel import NOT_TO_BE_HAD, judge_by_panel, unjudged
from second_opinion.pipeline.ports import Guard
from second_opinion.pipeline.tracing import trace
from second_opinion.schemas.candidate import Handover
from second_opinion.schemas.errors import DeadlineExceeded, RerankUnavailable
from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.messages import RerankCandidates
from second_opinion.schemas.verdict import QueryResult
from second_opinion.workers.bootstrap import RerankParts
from second_opinion.workers.retry import GiveUp, wait_for_reranker
from second_opinion.workers.runner import Facts


def rerank_candidates(message: RerankCandidates, parts: RerankParts) -> Facts:
    """Judge a job's candidates and finish the job."""

    def stage(job: Job, guard: Guard) -> Facts:
        handover = parts.candidates.get(job.job_id)
        if handover is None:
            # Redis lost what retrieve left there; asking for it again costs a search, not the answer.
            parts.queue.retrieve(job.job_id)
            return {"handover": "missing, asked for again"}
        try:
            result = judge_by_panel(job, handover, parts.panel, clock=parts.clock, guard=guard)
        except (*NOT_TO_BE_HAD, DeadlineExceeded) as problem:
            choice = job.query.choices.on_unavailable
            if choice == "fused" and parts.clock.now() < job.expires_at:
                return _finish(job, handover, unjudged(job, handover, problem, clock=parts.clock), parts)
            if choice == "wait" and isinstance(problem, RerankUnavailable):
                return _put_back(job, problem, message.waits, parts)
            raise
        return _finish(job, handover, result, parts)

    return parts.work.run(message.job_id, JobState.RERANKING, stage)


def _finish(job: Job, handover: Handover, result: QueryResult, parts: RerankParts) -> Facts:
    parts.jobs.finish(job.job_id, JobState.DONE, at=parts.clock.now(), result=result)
    parts.candidates.delete(job.job_id)
    # What nobody judged says nothing of a floor.
    if parts.traces is not None and result.reranked:
        at, candidates = parts.clock.now(), handover.fusion.candidates
        parts.traces.offer(partial(trace, job, result, candidates, at=at, with_query=parts.trace_query_text))
    return {
        "outcome": result.outcome.value,
        "kept": len(result.kept),
        "candidates": result.candidates,
        "scored": result.scored,
        "cached": result.cached,
        "best_relevance": result.best_relevance,
        "judged_by": result.judged_by,
        "unavailable": list(result.unavailable),
        "total_milliseconds": result.milliseconds["total"],
    }


def _put_back(job: Job, problem: RerankUnavailable, waits: int, parts: RerankParts) -> Facts:
    """Let the job wait in the queue, not on this thread.

    Raises:
        RerankUnavailable: The problem, when nothing is left to wait for.
    """
    decision = wait_for_reranker(
        problem,
        waits=waits,
        seconds_left=job.expires_at - parts.clock.now(),
        jitter=random.random(),  # noqa: S311 - spreads tries, keeps no secret
        asked=problem.retry_after or 0.0,
    )
    if isinstance(decision, GiveUp):
        raise problem
    # Back to `queued`: a job that waits has not been tried in vain, so no attempt is counted.
    parts.jobs.advance(job.job_id, JobState.QUEUED)
    parts.queue.rerank(job.job_id, waits=waits + 1, delay=decision.seconds)
    return {"waits_for": problem.code, "waits": waits + 1, "seconds": round(decision.seconds, 2)}
