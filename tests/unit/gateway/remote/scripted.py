"""A gateway that answers as its script says, step by step."""

import threading
from collections.abc import Callable
from typing import Any

from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.query import Query
from tests.servers.web import Asked, Exchange, Site

JOB = Job(
    job_id="h1", state=JobState.QUEUED, query=Query(job_id="h1", text="why?", collection="default"),
    submitted_at=1.0, expires_at=61.0,
)  # fmt: skip
KEY = "so_0_a-secret-that-nobody-may-read"
Step = Callable[[Exchange], None]


def problem(status: int, code: str, *, detail: str = "it is so", hint: str = "do this", **more: Any) -> Step:
    """Answer with an error as the gateway tells it."""
    body = {"status": status, "code": code, "detail": detail, "hint": hint, **more}
    seconds = more.get("retry_after")
    headers = {} if seconds is None else {"retry-after": str(seconds)}
    return lambda exchange: exchange.send_json(body, status, {"content-type": "application/problem+json", **headers})


def good(body: Any, status: int = 200) -> Step:
    """Answer with what was asked for."""
    return lambda exchange: exchange.send_json(body, status)


def hang_up(exchange: Exchange) -> None:
    """Break the connection off in the middle of the request."""
    exchange.close_connection = True
    exchange.connection.close()


def job(state: JobState = JobState.DONE) -> Step:
    """Answer with a job."""
    return good(JOB.model_copy(update={"state": state}).model_dump(mode="json"))


class ScriptedGateway(Site):
    """Answers one request after the other as its script says; the last step goes for all that follow."""

    def __init__(self) -> None:
        super().__init__()
        self.script: list[Step] = []
        self._lock = threading.Lock()

    def answer(self, exchange: Exchange, asked: Asked) -> None:  # noqa: ARG002 - the script decides
        """Do the next step."""
        with self._lock:
            step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        step(exchange)
