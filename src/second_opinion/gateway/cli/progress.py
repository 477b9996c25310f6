"""A progress bar on stderr that vanishes."""

from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TimeRemainingColumn

from second_opinion.gateway.cli.terminal import Terminal


class IngestProgress:
    """Shows how many documents are done, of how many. Without a terminal, or with `--quiet`, it shows nothing.

    Args:
        total: How many there are; None when nobody knows.
    """

    def __init__(self, terminal: Terminal, total: int | None) -> None:
        self._bar = Progress(
            SpinnerColumn(),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=terminal.stderr,
            transient=True,
            disable=terminal.quiet or not terminal.stderr.is_terminal,
        )
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Self:
        """Show it."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let it vanish."""
        self._bar.stop()

    def advance(self, count: int = 1) -> None:
        """Show that `count` more are done."""
        self._bar.advance(self._task, count)
