"""Time that tests move."""


class ManualClock:
    """A `Clock` that stands still until it is moved, or until somebody sleeps."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start

    def now(self) -> float:
        """Return Unix seconds."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let time pass without waiting."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
