"""Work on query jobs under a lease, and the rescue of what is abandoned."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from second_opinion.pipeline.ports import Guard
from second_opinion.pipeline.rescue import PATIENCE_SECONDS, SETTLING_SECONDS, QueryRescue, Rescued
from second_opinion.schemas.errors import (
    AttemptsExhausted,
    BrokerUnavailable,
    JobCancelled,
    LeaseLost,
    StoreUnavailable,
)
from second_opinion.schemas.job import Job, JobState
from second_opinion.testing.builders import a_query, a_result
from second_opinion.testing.clock import ManualClock
from second_opinion.testing.jobs import MemoryJobs
from second_opinion.testing.queue import MemoryQueue
from second_opinion.workers.jobs import JobWork, Stage
from second_opinion.workers.runner import Facts

START = 1_700_000_000.0
LEASE = 10.0


class Died(BaseException):
    """Stands for SIGKILL: nothing after it runs."""


@dataclass
class Bench:
    """Workers, the rescue and what they share, on one clock."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(START))
    queue: MemoryQueue = field(default_factory=MemoryQueue)
    jobs: MemoryJobs = field(init=False)
    rescue: QueryRescue = field(init=False)

    def __post_init__(self) -> None:
        self.jobs = MemoryJobs(clock=self.clock)
        self.rescue = QueryRescue(self.jobs, self.queue, self.clock, max_attempts=3)

    def submit(self, job_id: str = "job-1", *, timeout: float = 600.0) -> None:
        """Record a job, as the desk does, with no message in any queue."""
        now = self.clock.now()
        self.jobs.create(a_query(job_id=job_id), submitted_at=now, expires_at=now + timeout)

    def worker(self) -> JobWork:
        """Return a new worker."""
        return JobWork(self.jobs, self.clock, max_attempts=3, lease_seconds=LEASE)

    def die_with(self, job_id: str = "job-1", *, alone: bool = False) -> None:
        """Leave a job as a worker leaves it that is killed in the middle."""
        owner = f"dead-{self.clock.now()}"
        self.jobs.begin(job_id, JobState.RETRIEVING, owner=owner, seconds=LEASE, alone=alone)


@pytest.fixture
def bench() -> Bench:
    """An empty system."""
    return Bench()


def finishing(bench: Bench) -> Stage:
    """Return a stage that answers."""

    def stage(job: Job, guard: Guard) -> Facts:
        guard()
        done = bench.jobs.finish(
            job.job_id, JobState.DONE, at=bench.clock.now(), result=a_result(job.job_id), owner=job.owner
        )
        return {"finished": done}

    return stage


def test_a_job_that_somebody_works_on_is_left_alone(bench: Bench) -> None:
    """The same message delivered twice does the work once."""
    bench.submit()

    def stage(job: Job, guard: Guard) -> Facts:
        second = bench.worker().run("job-1", JobState.RETRIEVING, finishing(bench))
        return {"meanwhile": second["skipped"]}

    facts = bench.worker().run("job-1", JobState.RETRIEVING, stage)
    assert facts["meanwhile"] == "another worker has it"
    assert bench.jobs.get("job-1").attempts == 1


def test_an_abandoned_job_is_sent_again_once_its_lease_is_over(bench: Bench) -> None:
    """Not before; to the stage that it was in; and only once, however often is looked."""
    bench.submit()
    bench.die_with()
    assert bench.rescue.rescue() == Rescued()
    bench.clock.advance(LEASE)
    assert bench.rescue.rescue() == Rescued(lost=1)
    assert bench.rescue.rescue() == Rescued()
    assert list(bench.queue.retrievals) == ["job-1"]
    assert bench.worker().run("job-1", JobState.RETRIEVING, finishing(bench))["finished"]


def test_a_job_whose_worker_died_while_reranking_goes_back_to_rerank(bench: Bench) -> None:
    """What was retrieved is not retrieved again."""
    bench.submit()
    bench.jobs.begin("job-1", JobState.RERANKING, owner="dead", seconds=LEASE)
    bench.clock.advance(LEASE)
    bench.rescue.rescue()
    assert (list(bench.queue.reranks), list(bench.queue.retrievals)) == (["job-1"], [])


def test_a_message_that_is_lost_is_sent_again(bench: Bench) -> None:
    """A job that waits while the queue is empty has lost its message; a young one may be on its way."""
    bench.submit()
    assert bench.rescue.rescue() == Rescued()
    bench.clock.advance(SETTLING_SECONDS + 0.1)
    assert bench.rescue.rescue() == Rescued(waiting=1)
    assert list(bench.queue.retrievals) == ["job-1"]


def test_a_backlog_is_not_sent_twice(bench: Bench) -> None:
    """While the queues hold as many messages as jobs wait, none is sent again; beyond all patience, all are."""
    for number in range(3):
        bench.submit(f"job-{number}")
        bench.queue.retrieve(f"job-{number}")
    bench.clock.advance(PATIENCE_SECONDS - 1.0)
    assert bench.rescue.rescue() == Rescued()
    bench.clock.advance(1.1)
    assert bench.rescue.rescue() == Rescued(waiting=3)


def test_overdue_jobs_expire(bench: Bench) -> None:
    """Nobody has to look for them."""
    bench.submit(timeout=20.0)
    bench.clock.advance(20.0)
    assert bench.rescue.rescue() == Rescued(expired=1)
    assert bench.jobs.get("job-1").state is JobState.EXPIRED


def test_a_frozen_worker_that_thaws_changes_nothing(bench: Bench) -> None:
    """Its next look tells it that the job is another's, and its result is not taken."""
    bench.submit()

    def frozen(job: Job, guard: Guard) -> Facts:
        bench.clock.advance(LEASE + 1.0)
        bench.worker().run("job-1", JobState.RETRIEVING, finishing(bench))
        assert not finishing(bench)(job, lambda: None)["finished"]
        guard()
        return {}

    with pytest.raises(JobCancelled):
        bench.worker().run("job-1", JobState.RETRIEVING, frozen)
    assert bench.jobs.get("job-1").finished_at == START + LEASE + 1.0


def test_a_worker_hears_that_another_took_over(bench: Bench) -> None:
    """The guard ends its work, and it records nothing."""
    bench.submit()

    def frozen(job: Job, guard: Guard) -> Facts:
        bench.clock.advance(LEASE + 1.0)
        bench.jobs.begin("job-1", JobState.RETRIEVING, owner="rescuer", seconds=LEASE)
        guard()
        return {}

    with pytest.raises(LeaseLost):
        bench.worker().run("job-1", JobState.RETRIEVING, frozen)
    job = bench.jobs.get("job-1")
    assert (job.owner, job.error) == ("rescuer", None)


def test_long_work_keeps_its_lease(bench: Bench) -> None:
    """As long as it asks the guard, nobody takes it over."""
    bench.submit()

    def long(job: Job, guard: Guard) -> Facts:
        for _ in range(20):
            bench.clock.advance(LEASE / 4)
            guard()
            assert bench.rescue.rescue() == Rescued()
        return finishing(bench)(job, guard)

    assert bench.worker().run("job-1", JobState.RETRIEVING, long)["finished"]


def test_what_was_lost_before_runs_alone(bench: Bench) -> None:
    """Work of others that is under way ends first, and none begins until it is done."""
    for name in ("job-1", "job-2", "job-3"):
        bench.submit(name)
    bench.die_with("job-1")
    bench.clock.advance(LEASE)
    bench.rescue.rescue()
    worker, order = bench.worker(), []
    running, go_on = threading.Event(), threading.Event()

    def noting(before: Callable[[], object]) -> Stage:
        def stage(job: Job, guard: Guard) -> Facts:
            order.append(f"{job.job_id} begins")
            before()
            order.append(f"{job.job_id} ends")
            return finishing(bench)(job, guard)

        return stage

    def wait() -> None:
        running.set()
        go_on.wait(10)

    stages = {"job-2": noting(wait), "job-1": noting(lambda: None), "job-3": noting(lambda: None)}
    threads = [
        threading.Thread(target=worker.run, args=(name, JobState.RETRIEVING, stage)) for name, stage in stages.items()
    ]
    threads[0].start()
    running.wait(10)
    threads[1].start()
    while not worker._company._want_alone:
        threading.Event().wait(0.01)
    threads[2].start()
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert order == [f"{name} {what}" for name in stages for what in ("begins", "ends")]


def test_a_job_that_ends_its_workers_is_parked_and_its_neighbours_are_not(bench: Bench) -> None:
    """Losses in company count for nothing; after two alone it has failed, which is three attempts in all."""
    for name in ("poison", "neighbour"):
        bench.submit(name)
        bench.die_with(name)
    bench.clock.advance(LEASE)
    assert bench.rescue.rescue() == Rescued(lost=2)
    assert bench.worker().run("neighbour", JobState.RETRIEVING, finishing(bench))["finished"]
    for _ in range(2):
        assert bench.jobs.get("poison").state is not JobState.FAILED
        bench.die_with("poison", alone=True)
        bench.clock.advance(LEASE)
        found = bench.rescue.rescue()
    assert found == Rescued(failed=1)
    job = bench.jobs.get("poison")
    assert job.error is not None
    assert (job.state, job.attempts, job.error.code) == (JobState.FAILED, 3, AttemptsExhausted.code)
    assert "3 workers ended" in job.error.message


def test_many_losses_in_company_park_nobody(bench: Bench) -> None:
    """A job in the hands of workers that are killed again and again, for whatever reason, is still answered."""
    bench.submit()
    for _ in range(20):
        bench.die_with(alone=False)
        bench.clock.advance(LEASE)
        bench.rescue.rescue()
    assert bench.worker().run("job-1", JobState.RETRIEVING, finishing(bench))["finished"]


def test_what_was_begun_goes_before_what_waits(bench: Bench) -> None:
    """Jobs that lost their worker are sent to the front, the one that lapsed first before the others."""
    for number in range(2):
        bench.submit(f"job-lost-{number}")
        bench.die_with(f"job-lost-{number}")
        bench.clock.advance(0.5)
    bench.submit("job-fresh")
    bench.queue.retrieve("job-fresh")
    bench.clock.advance(LEASE)
    assert bench.rescue.rescue() == Rescued(lost=2)
    assert list(bench.queue.retrievals) == ["job-lost-0", "job-lost-1", "job-fresh"]


def test_two_rescues_at_once_send_a_job_once(bench: Bench) -> None:
    """Each job is marked before it is sent."""
    for number in range(50):
        bench.submit(f"job-{number:02}")
        bench.die_with(f"job-{number:02}")
    bench.clock.advance(LEASE)
    threads = [threading.Thread(target=bench.rescue.rescue) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(bench.queue.retrievals) == [f"job-{number:02}" for number in range(50)]


def test_a_rescue_without_a_broker_changes_nothing_for_good(bench: Bench) -> None:
    """What was marked and could not be sent is found again when the broker is back."""

    class Away(MemoryQueue):
        def retrieve(self, job_id: str, *, front: bool = False) -> None:
            raise BrokerUnavailable(f"{job_id} cannot be sent, {front=}")

    bench.submit()
    bench.die_with()
    bench.clock.advance(LEASE)
    with pytest.raises(BrokerUnavailable):
        QueryRescue(bench.jobs, Away(), bench.clock, max_attempts=3).rescue()
    bench.clock.advance(SETTLING_SECONDS + 0.1)
    assert bench.rescue.rescue() == Rescued(waiting=1)


def test_out_of_memory_is_nobodys_fault(bench: Bench) -> None:
    """The job stays with its lease for the rescue, since the process is left."""
    bench.submit()

    def stage(job: Job, guard: Guard) -> Facts:
        raise MemoryError

    with pytest.raises(MemoryError):
        bench.worker().run("job-1", JobState.RETRIEVING, stage)
    assert not bench.jobs.get("job-1").is_terminal


def test_a_transient_problem_is_tried_again_under_the_same_lease(bench: Bench) -> None:
    """The pauses do not let it run out."""
    bench.submit()
    problems = [StoreUnavailable("away")] * 5

    def stage(job: Job, guard: Guard) -> Facts:
        if problems:
            raise problems.pop()
        return finishing(bench)(job, guard)

    with capture_logs() as lines:
        assert bench.worker().run("job-1", JobState.RETRIEVING, stage)["finished"]
    assert [line["event"] for line in lines] == ["stage_retries"] * 5
