"""A progress bar on stderr that vanishes."""

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from second_opinion.gateway.cli.terminal import Terminal


class WorkProgress:
    """Shows how many parts of some work are done, of how many. Without a terminal, or with `--quiet`, nothing.

    Args:
        total: How many there are; None when nobody knows.
        name: What they are.
    """

    def __init__(self, terminal: Terminal, total: int | None, name: str = "documents") -> None:
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", style="dim", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=terminal.stderr,
            transient=True,
            disable=terminal.quiet or not terminal.stderr.is_terminal,
        )
        self._task = self._bar.add_task(name, total=total)

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

    def show(self, doing: str, done: int, total: int) -> None:
        """Show another part of the work: `done` of `total`, or a bar without end where there are 0."""
        self._bar.update(self._task, description=doing, completed=done, total=total or None)


class TerminalWatch:
    """Shows how the run of a data set gets on."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def step(self, name: str, total: int) -> AbstractContextManager[WorkProgress]:
        """Show a bar that vanishes."""
        return WorkProgress(self._terminal, total, name)

    def say(self, sentence: str) -> None:
        """Say a sentence beside the data."""
        self._terminal.neutral(sentence)
