"""The real clock and the real source of operation ids."""

import time

from ulid import ULID


class SystemClock:
    """Implements `pipeline.ports.Clock`."""

    def now(self) -> float:
        """Return Unix seconds."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class UlidSource:
    """Implements `pipeline.ports.OperationIds`."""

    def new(self) -> str:
        """Return a new ULID."""
        return str(ULID())
