"""What every job store does: the double and Redis."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from second_opinion.schemas.errors import DeadlineExceeded, InternalError, RerankUnavailable, UnknownJob
from second_opinion.schemas.job import TERMINAL_STATES, JobState
from second_opinion.schemas.query import ExistsFilter, Query, RangeFilter, TermFilter
from second_opinion.testing.builders import a_query, a_result
from tests.contract.kept_jobs import RESULT_TTL, START, Kept


def test_a_new_job_waits_in_the_queue(kept: Kept) -> None:
    """What was asked comes back as it was, with every filter of its own type."""
    filters = (
        TermFilter(field="year", values=[2020.0, 2021.0]),
        TermFilter(field="lang", values=["2020", "en"]),
        TermFilter(field="public", values=[True]),
        RangeFilter(field="day", gte="2024-01-01", lt="2025-01-01"),
        ExistsFilter(field="source", exists=False),
    )
    query: Query = a_query("¿cuántas tabletas? 💊", filters=filters, floor=0.0, top_k=3)
    created = kept.jobs.create(query, submitted_at=START + 0.1, expires_at=START + 60.3)
    assert created.state is JobState.QUEUED
    assert created.query == query
    assert (created.submitted_at, created.expires_at) == (START + 0.1, START + 60.3)
    assert kept.jobs.get("job-1") == created


def test_the_same_id_asks_once(kept: Kept) -> None:
    """A second submission under the same id changes nothing, whatever state the job is in."""
    first = kept.submit()
    again = kept.jobs.create(a_query("something else"), submitted_at=START + 5, expires_at=START + 90)
    assert again == first
    kept.complete()
    assert kept.submit().state is JobState.DONE


def test_an_unknown_id_is_not_a_pending_job(kept: Kept) -> None:
    """Each call says that there is no such job; none of them makes one."""
    for call in (
        lambda: kept.jobs.get("nobody"),
        lambda: kept.jobs.begin("nobody", JobState.RETRIEVING, owner="w", seconds=15.0),
        lambda: kept.complete("nobody"),
        lambda: kept.jobs.wait("nobody", 5.0),
        lambda: asyncio.run(kept.jobs.wait_async("nobody", 5.0)),
        lambda: kept.jobs.get("nobody"),
    ):
        with pytest.raises(UnknownJob, match="nobody"):
            call()


def test_a_job_advances_and_counts_its_attempts(kept: Kept) -> None:
    """Entering a state counts from 1; entering it again counts on."""
    kept.submit()
    states = [JobState.RETRIEVING, JobState.RETRIEVING, JobState.RERANKING, JobState.RETRIEVING]
    seen = [kept.jobs.begin("job-1", state, owner="w", seconds=15.0) for state in states]
    assert [(job.state, job.attempts) for job in seen] == list(zip(states, [1, 2, 1, 1], strict=True))


def test_a_lease_keeps_others_away_until_it_runs_out(kept: Kept) -> None:
    """Who comes second gets the job as it is, unchanged; after the lease, or its renewal, it is there to be taken."""
    kept.submit()
    assert kept.begin("first").owner == "first"
    held = kept.begin("second")
    assert (held.owner, held.attempts, held.lease_until) == ("first", 1, START + 10.0)
    kept.clock.advance(6.0)
    assert kept.jobs.renew("job-1", owner="first", seconds=10.0).lease_until == START + 16.0
    kept.clock.advance(9.0)
    assert kept.begin("second").owner == "first"
    kept.clock.advance(1.0)
    taken = kept.begin("second")
    assert (taken.owner, taken.attempts, taken.losses, taken.lone_losses) == ("second", 2, 1, 0)
    assert kept.jobs.renew("job-1", owner="first", seconds=99.0) == taken


def test_who_lost_the_lease_changes_nothing(kept: Kept) -> None:
    """A worker that was frozen meanwhile neither hands over, nor finishes, nor gives back."""
    kept.submit()
    kept.begin("frozen")
    kept.clock.advance(11.0)
    rescued = kept.begin("rescuer")
    assert not kept.jobs.release("job-1", owner="frozen", next_step="reranking", hands_over=True)
    assert not kept.jobs.finish("job-1", JobState.DONE, at=kept.clock.now(), result=a_result(), owner="frozen")
    assert kept.jobs.get("job-1") == rescued
    assert kept.jobs.finish("job-1", JobState.DONE, at=kept.clock.now(), result=a_result(), owner="rescuer")
    assert kept.jobs.get("job-1").owner == ""


def test_a_lease_that_ran_out_is_still_good_if_nobody_took_over(kept: Kept) -> None:
    """A worker that was slow finishes its work, since it would only be done again."""
    kept.submit()
    kept.begin("slow")
    kept.clock.advance(11.0)
    assert kept.jobs.finish("job-1", JobState.DONE, at=kept.clock.now(), result=a_result(), owner="slow")


def test_a_job_that_is_handed_on_waits_for_its_next_step(kept: Kept) -> None:
    """Who made its candidates is known; put back, it is queued until its message is due."""
    kept.submit()
    kept.begin("retriever")
    assert kept.jobs.release("job-1", owner="retriever", next_step="reranking", hands_over=True)
    job = kept.jobs.get("job-1")
    assert (job.owner, job.state, job.next_step) == ("", JobState.RETRIEVING, "reranking")
    assert (job.handed_over_by, job.lease_until) == ("retriever", 0.0)
    assert kept.begin("judge", JobState.RERANKING).handed_over_by == "retriever"
    assert kept.jobs.release("job-1", owner="judge", next_step="reranking", due=START + 20.0)
    job = kept.jobs.get("job-1")
    assert (job.state, job.next_step, job.handed_over_by) == (JobState.QUEUED, "reranking", "retriever")
    assert kept.jobs.waiting(due_before=START + 20.0, limit=9) == []
    assert kept.jobs.waiting(due_before=START + 20.1, limit=9) == ["job-1"]
    assert not kept.jobs.release("job-1", owner="judge", next_step="reranking")


def test_jobs_are_listed_by_who_cares_for_them(kept: Kept) -> None:
    """Waiting ones by when they were due, leased ones only once the lease has run out, finished ones nowhere."""
    for number in range(4):
        kept.submit(f"job-{number}")
        kept.clock.advance(1.0)
    kept.complete("job-3")
    kept.begin("somebody")
    assert kept.jobs.waiting(due_before=START + 9.0, limit=9) == ["job-0", "job-2"]
    assert kept.jobs.waiting(due_before=START + 2.0, limit=9) == ["job-0"]
    assert (kept.jobs.count_waiting(), kept.jobs.lapsed(limit=9)) == (2, [])
    kept.clock.advance(10.0)
    assert kept.jobs.lapsed(limit=9) == ["job-1"]


def test_an_abandoned_job_is_requeued_once(kept: Kept) -> None:
    """Of many that find it one is told to send its message; a held or a freshly queued one is left alone."""
    kept.submit()
    kept.begin("dead", alone=True)
    assert kept.jobs.requeue("job-1", waiting_before=START + 99.0) is None
    kept.clock.advance(10.0)
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: kept.jobs.requeue("job-1", waiting_before=START), range(8)))
    (job,) = [one for one in told if one is not None]
    assert (job.owner, job.next_step, job.losses, job.lone_losses) == ("", "retrieving", 1, 1)
    assert kept.jobs.lapsed(limit=9) == []
    assert kept.jobs.requeue("job-1", waiting_before=START + 10.0) is None
    assert kept.jobs.requeue("job-1", waiting_before=START + 10.1) is not None
    kept.complete()
    assert kept.jobs.requeue("job-1", waiting_before=START + 99.0) is None


def test_a_result_comes_back_whole(kept: Kept) -> None:
    """A done job has its result and the moment it was finished."""
    kept.submit()
    assert kept.complete()
    job = kept.jobs.get("job-1")
    assert (job.state, job.result, job.error, job.finished_at) == (JobState.DONE, a_result(), None, START)


@pytest.mark.parametrize("first", sorted(TERMINAL_STATES))
def test_a_terminal_state_is_written_once(kept: Kept, first: JobState) -> None:
    """Neither a late answer nor a late failure, cancellation or beginning changes a finished job."""
    kept.submit()
    error = None if first is JobState.DONE else RerankUnavailable("first").info()
    result = a_result() if first is JobState.DONE else None
    assert kept.jobs.finish("job-1", first, at=START + 1, result=result, error=error)
    finished = kept.jobs.get("job-1")
    assert not kept.complete()
    assert not kept.cancel()
    assert kept.jobs.begin("job-1", JobState.RETRIEVING, owner="w", seconds=15.0) == finished
    assert kept.jobs.get("job-1") == finished


@pytest.mark.parametrize("state", sorted(JobState))
def test_a_state_comes_with_what_it_has_to_bring(kept: Kept, state: JobState) -> None:
    """`done` without a result, a failure without an error, or an end as `queued` is a defect that changes nothing."""
    before = kept.submit()
    with pytest.raises(InternalError, match="cannot finish"):
        kept.jobs.finish("job-1", state, at=START)
    if state in TERMINAL_STATES:
        with pytest.raises(InternalError, match="cannot begin"):
            kept.jobs.begin("job-1", state, owner="w", seconds=15.0)
    assert kept.jobs.get("job-1") == before


def test_racing_finishers_have_one_winner(kept: Kept) -> None:
    """Of many that finish at once exactly one is told that it did, and its state stays."""
    kept.submit()
    with ThreadPoolExecutor(16) as pool:
        finishers = [kept.complete if number % 2 else kept.cancel for number in range(32)]
        wins = list(pool.map(lambda finish: (finish == kept.complete, finish()), finishers))
    winners = [completes for completes, won in wins if won]
    assert len(winners) == 1
    assert kept.jobs.get("job-1").state is (JobState.DONE if winners[0] else JobState.CANCELLED)


def test_a_finished_job_lives_for_its_time_and_not_before(kept: Kept) -> None:
    """The time to live starts with the terminal state, so a backlog never turns into `unknown_job`."""
    kept.submit()
    kept.grow_old(2 * RESULT_TTL)
    assert kept.jobs.get("job-1").state is JobState.QUEUED
    kept.complete()
    assert kept.jobs.get("job-1").state is JobState.DONE
    kept.grow_old(RESULT_TTL + 0.05)
    with pytest.raises(UnknownJob):
        kept.jobs.get("job-1")


def test_a_job_past_its_deadline_expires_by_the_first_look(kept: Kept) -> None:
    """Whoever looks first sees `expired` with the reason, and a late answer is not taken."""
    kept.submit(timeout=30.0)
    kept.clock.advance(29.9)
    assert kept.jobs.get("job-1").state is JobState.QUEUED
    kept.clock.advance(0.1)
    job = kept.jobs.get("job-1")
    assert job.state is JobState.EXPIRED
    assert job.error is not None
    assert (job.error.code, "30 seconds" in job.error.message) == (DeadlineExceeded.code, True)
    assert not kept.complete()


def test_a_worker_that_comes_late_sees_expired(kept: Kept) -> None:
    """Beginning a job that is past its deadline does not start work on it."""
    kept.submit(timeout=1.0)
    kept.clock.advance(2.0)
    assert kept.jobs.begin("job-1", JobState.RETRIEVING, owner="w", seconds=15.0).state is JobState.EXPIRED


def test_unfinished_jobs_are_listed_oldest_first(kept: Kept) -> None:
    """Finished jobs are not listed, nor those submitted at or after the moment."""
    for number in range(5):
        kept.submit(f"job-{number}")
        kept.clock.advance(1.0)
    kept.complete("job-1")
    kept.cancel("job-2")
    assert kept.jobs.unfinished(submitted_before=START + 4.0, limit=10) == ["job-0", "job-3"]
    assert kept.jobs.unfinished(submitted_before=START + 9.0, limit=2) == ["job-0", "job-3"]


def test_overdue_jobs_are_expired_in_bulk(kept: Kept) -> None:
    """The reconciler expires what nobody looks at, earliest deadline first, at most as many as it asks for, once."""
    for number, timeout in enumerate([30.0, 10.0, 20.0, 90.0]):
        kept.submit(f"job-{number}", timeout=timeout)
    kept.complete("job-2")
    kept.clock.advance(40.0)
    assert kept.jobs.expire(limit=1) == ["job-1"]
    assert kept.jobs.expire(limit=10) == ["job-0"]
    assert kept.jobs.expire(limit=10) == []
    assert kept.jobs.get("job-3").state is JobState.QUEUED
