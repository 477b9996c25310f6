"""The remote client while it waits for a job: the gateway keeps requests open, is away, or comes back."""

import time

import pytest

from second_opinion import AsyncClient
from second_opinion.gateway.remote import RemoteClient
from second_opinion.schemas.errors import (
    GatewayStopping,
    InvalidRequest,
    UnknownJob,
)
from second_opinion.schemas.job import JobState
from tests.unit.gateway.remote.scripted import ScriptedGateway, hang_up, job, problem


def test_waiting_keeps_requests_open(gateway: ScriptedGateway, client: RemoteClient) -> None:
    """The gateway is asked to wait as long as there is time, and asked again until the job has ended."""
    gateway.script = [job(JobState.RETRIEVING), job(JobState.RERANKING), job(JobState.DONE)]
    assert client.wait("h1", timeout=100.0).state is JobState.DONE
    assert [one.headers["prefer"] for one in gateway.asked] == ["wait=30"] * 3


def test_a_later_try_waits_no_longer_than_there_is_time(gateway: ScriptedGateway, client: RemoteClient) -> None:
    """What an outage took is not waited for again."""
    gateway.script = [job(), problem(503, "gateway_stopping", transient=True, retry_after=2), job()]
    client.result("h1")
    client.wait("h1", timeout=10.5)
    first, second = (int(one.headers["prefer"].removeprefix("wait=")) for one in gateway.asked[1:])
    assert (first, second <= 8) == (10, True)


def test_waiting_ends_when_the_time_is_over(gateway: ScriptedGateway, client: RemoteClient) -> None:
    """The job comes back as it is, also within the last second, in which nobody keeps a request open."""
    gateway.script = [job(JobState.RERANKING)]
    began = time.monotonic()
    assert client.wait("h1", timeout=0.5).state is JobState.RERANKING
    assert 0.4 < time.monotonic() - began < 5.0
    assert 2 <= len(gateway.asked) <= 8


def test_waiting_outlasts_an_outage_as_long_as_there_is_time(gateway: ScriptedGateway, client: RemoteClient) -> None:
    """A wait has its own time; when that is over the outage is told."""
    away = problem(503, "gateway_stopping", retry_after=0.3)
    gateway.script = [job(), away]
    client.result("h1")
    began = time.monotonic()
    with pytest.raises(GatewayStopping):
        client.wait("h1", timeout=2.0)
    assert 1.0 < time.monotonic() - began < 10.0
    assert len(gateway.asked) > 3


async def test_waiting_works_for_asyncio(gateway: ScriptedGateway) -> None:
    """Without a thread, with the same tries."""
    gateway.script = [hang_up, job(JobState.RERANKING), problem(503, "gateway_stopping", retry_after=0.1), job()]
    async with AsyncClient.connect(gateway.url) as client:
        assert (await client.wait("h1", timeout=20.0)).state is JobState.DONE
        assert len(gateway.asked) == 4
        gateway.script = [problem(404, "unknown_job")]
        with pytest.raises(UnknownJob):
            await client.wait("h1", timeout=20.0)
    with pytest.raises(InvalidRequest, match="closed"):
        await client.wait("h1")
