"""Filling a collection for the first time: its indices do without what only readers need, for as long as it goes on."""

import threading
from types import TracebackType
from typing import Final, Protocol, Self

import structlog

from second_opinion.pipeline.ports import Clock
from second_opinion.schemas.errors import OpinionError

log = structlog.get_logger(__name__)

LOAD_SECONDS: Final = 120.0
"""How long a load outlives whoever does it; the maintenance worker ends it then."""
RENEWALS: Final = 4


class LoadKeeper(Protocol):
    """Where it is kept that a collection is being filled."""

    def begin_load(self, name: str, *, until: float) -> object:
        """Begin a load, or let one go on; it is over at `until` (Unix seconds) at the latest."""

    def end_load(self, name: str) -> object:
        """End a load."""


class LoadInProgress:
    """A load as a context: begun, kept up by a thread of its own, and ended whatever happens in the body.

    Args:
        collections: Where collections are kept.
        name: The collection; it is made where there is none.
        seconds: How long the load goes on when this process is killed.
    """

    def __init__(self, collections: LoadKeeper, name: str, *, clock: Clock, seconds: float = LOAD_SECONDS) -> None:
        self._collections = collections
        self._name = name
        self._clock = clock
        self._seconds = seconds
        self._over = threading.Event()
        self._renewal = threading.Thread(target=self._renew, name="bulk-load", daemon=True)

    def __enter__(self) -> Self:
        """Begin the load.

        Raises:
            StoreUnavailable: If Elasticsearch cannot be had.
        """
        self._begin()
        self._renewal.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the load."""
        self._over.set()
        self._renewal.join()
        try:
            self._collections.end_load(self._name)
        except OpinionError as failed:
            # What happened in the body matters more, and the maintenance worker ends the load a little later.
            log.warning("bulk_load_not_ended", collection=self._name, error=failed.message, seconds=self._seconds)

    def _begin(self) -> None:
        self._collections.begin_load(self._name, until=self._clock.now() + self._seconds)

    def _renew(self) -> None:
        while not self._over.wait(self._seconds / RENEWALS):
            try:
                self._begin()
            except OpinionError as problem:
                log.warning("bulk_load_not_renewed", collection=self._name, error=problem.message)
