"""The second half of a query: score, calibrate, judge, the terminal state, and then the trace."""

import random
from functools import partial

from second_opinion.pipeline.metering import Ledger
from second_opinion.pipeline.panel import NOT_TO_BE_HAD, judge_by_panel, unjudged
from second_opinion.pipeline.ports import Guard
from second_opinion.pipeline.tracing import trace
from second_opinion.schemas.candidate import Handover
from second_opinion.schemas.errors import DeadlineExceeded, LeaseLost, ProviderAnswerInvalid, RerankUnavailable
from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.messages import RerankCandidates
from second_opinion.schemas.verdict import QueryResult
from second_opinion.workers.parts import RerankParts
from second_opinion.workers.retry import GiveUp, wait_for_reranker
from second_opinion.workers.runner import Facts
from second_opinion.workers.tasks.sending import send


def rerank_candidates(message: RerankCandidates, parts: RerankParts) -> Facts:
    """Judge a job's candidates and finish the job."""
    ledger = Ledger(message.usage)

    def stage(job: Job, guard: Guard) -> Facts:
        handover = parts.candidates.get(job.job_id, owner=job.handed_over_by)
        if handover is None:
            # Redis lost what retrieve left there; asking for it again costs a search, not the answer.
            if parts.jobs.release(job.job_id, owner=job.owner, next_step="retrieving"):
                send(parts.queue.retrieve, job.job_id)
            return {"handover": "missing, asked for again"}
        try:
            result = judge_by_panel(job, handover, parts.panel, clock=parts.clock, guard=guard, ledger=ledger)
        except (*NOT_TO_BE_HAD, DeadlineExceeded) as problem:
            choice = job.query.choices.on_unavailable
            if choice == "fused" and parts.clock.now() < job.expires_at:
                found = unjudged(job, handover, problem, clock=parts.clock, ledger=ledger)
                return _finish(job, handover, found, parts)
            if choice == "wait" and isinstance(problem, RerankUnavailable):
                return _put_back(job, problem, message.waits, parts, ledger)
            raise
        return _finish(job, handover, result, parts)

    return parts.work.run(message.job_id, JobState.RERANKING, stage)


def _finish(job: Job, handover: Handover, result: QueryResult, parts: RerankParts) -> Facts:
    if not parts.jobs.finish(job.job_id, JobState.DONE, at=parts.clock.now(), result=result, owner=job.owner):
        raise LeaseLost(f"job {job.job_id} was taken over, or ended, by another")
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
        "unavailable": result.unavailable_because,
        "usage": [one.model_dump(exclude_defaults=True) for one in result.usage],
        "total_milliseconds": result.milliseconds["total"],
    }


def _put_back(job: Job, problem: RerankUnavailable, waits: int, parts: RerankParts, ledger: Ledger) -> Facts:
    """Let the job wait in the queue, not on this thread.

    Raises:
        ProviderAnswerInvalid: If what comes back cannot be used: waiting is no remedy for that.
        DeadlineExceeded: If there is no time left to wait, with the problem in its sentence.
    """
    seconds_left = job.expires_at - parts.clock.now()
    decision = wait_for_reranker(
        problem,
        waits=waits,
        seconds_left=seconds_left,
        jitter=random.random(),  # noqa: S311 - spreads tries, keeps no secret
        asked=problem.retry_after or 0.0,
    )
    if isinstance(decision, GiveUp):
        if isinstance(problem, ProviderAnswerInvalid):
            raise problem
        raise DeadlineExceeded(f"no reranker could be had in time: {problem.message}", hint=problem.hint)
    # Back to `queued`: a job that waits has not been tried in vain, so no attempt is counted.
    due = parts.clock.now() + decision.seconds
    if parts.jobs.release(job.job_id, owner=job.owner, next_step="reranking", due=due):
        send(parts.queue.rerank, job.job_id, waits=waits + 1, delay=decision.seconds, usage=ledger.usage)
    return {"waits_for": problem.code, "waits": waits + 1, "seconds": round(decision.seconds, 2)}
