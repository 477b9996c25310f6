"""Telling the callers' side what this worker's reranker is, so that they calibrate it without loading a model."""

import threading
from collections.abc import Callable
from typing import Final

import structlog

from second_opinion.pipeline.ports import CalibrationStore
from second_opinion.schemas.calibration import RerankerRecord
from second_opinion.schemas.errors import OpinionError

log = structlog.get_logger(__name__)

PAUSE_SECONDS: Final = 5.0


def publish(
    store: CalibrationStore, record: RerankerRecord, *, wait: Callable[[float], object] | None = None
) -> threading.Thread:
    """Publish the record beside the work: a worker starts, and judges, whether or not the store answers.

    Args:
        store: Where to; while it cannot be reached this is tried again.
        record: What to say.
        wait: Waits between two tries, given the seconds.

    Returns:
        The thread that does it; it ends once the record is there.
    """
    pause = wait or threading.Event().wait

    def run() -> None:
        while True:
            try:
                store.publish(record)
            except OpinionError as problem:
                log.warning("reranker_not_published", code=problem.code, again=problem.transient)
                if not problem.transient:
                    return
            else:
                return
            pause(PAUSE_SECONDS)

    thread = threading.Thread(target=run, name="publication", daemon=True)
    thread.start()
    return thread
