"""Sending the message of a job that was recorded as waiting for it."""

from collections.abc import Callable
from typing import Any

import structlog

from second_opinion.schemas.errors import BrokerUnavailable

log = structlog.get_logger(__name__)


def send(message: Callable[..., None], job_id: str, **more: Any) -> None:
    """Send a job's next message. One that cannot be sent, or is lost, is sent by the rescue: the record is there."""
    try:
        message(job_id, **more)
    except BrokerUnavailable as problem:
        log.warning("recorded_but_not_sent", job=job_id, error=problem.message)
