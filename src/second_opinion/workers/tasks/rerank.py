"""The second half of a query: score, calibrate, judge, the terminal state, and then the trace."""

from functools import partial

from second_opinion.pipeline.answer import judge_candidates
from second_opinion.pipeline.ports import Guard
from second_opinion.pipeline.tracing import trace
from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.messages import RerankCandidates
from second_opinion.workers.bootstrap import RerankParts
from second_opinion.workers.runner import Facts


def rerank_candidates(message: RerankCandidates, parts: RerankParts) -> Facts:
    """Judge a job's candidates and finish the job."""

    def stage(job: Job, guard: Guard) -> Facts:
        handover = parts.candidates.get(job.job_id)
        if handover is None:
            # Redis lost what retrieve left there; asking for it again costs a search, not the answer.
            parts.queue.retrieve(job.job_id)
            return {"handover": "missing, asked for again"}
        result = judge_candidates(job, handover, parts.judgement, clock=parts.clock, guard=guard)
        parts.jobs.finish(job.job_id, JobState.DONE, at=parts.clock.now(), result=result)
        parts.candidates.delete(job.job_id)
        if parts.traces is not None:
            at, candidates = parts.clock.now(), handover.fusion.candidates
            parts.traces.offer(partial(trace, job, result, candidates, at=at, with_query=parts.trace_query_text))
        return {
            "outcome": result.outcome.value,
            "kept": len(result.kept),
            "candidates": result.candidates,
            "best_relevance": result.best_relevance,
            "total_milliseconds": result.milliseconds["total"],
        }

    return parts.work.run(message.job_id, JobState.RERANKING, stage)
