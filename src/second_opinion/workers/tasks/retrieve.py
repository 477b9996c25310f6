"""The first half of a query: candidates of both lists, fused, into Redis."""

from second_opinion.pipeline.answer import retrieve_candidates
from second_opinion.pipeline.ports import Guard
from second_opinion.schemas.errors import LeaseLost
from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.messages import RunQuery
from second_opinion.workers.parts import RetrieveParts
from second_opinion.workers.runner import Facts
from second_opinion.workers.tasks.sending import send


def run_query(message: RunQuery, parts: RetrieveParts) -> Facts:
    """Retrieve a job's candidates and hand them to the rerank workers."""

    def stage(job: Job, guard: Guard) -> Facts:
        handover = retrieve_candidates(job, parts.retrieval, clock=parts.clock, guard=guard)
        parts.candidates.put(job.job_id, handover, owner=job.owner)
        found = len(handover.fusion.candidates)
        if not parts.jobs.release(
            job.job_id, owner=job.owner, next_step="reranking", hands_over=True, candidates=found
        ):
            raise LeaseLost(f"another worker has taken job {job.job_id} over")
        send(parts.queue.rerank, job.job_id)
        return {"candidates": found, "stale_dropped": handover.stale_dropped}

    return parts.work.run(message.job_id, JobState.RETRIEVING, stage)
