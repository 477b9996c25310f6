"""Calls that end in time, whatever the servers do."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from second_opinion.pipeline.time_budget import within

CallT = TypeVar("CallT", bound=Callable[..., Any])


def bounded(call: CallT) -> CallT:
    """Let a method take `self.call_seconds` in all; whatever it still waits for then is unavailable."""

    @wraps(call)
    def run(self: Any, *args: Any, **options: Any) -> Any:
        with within(self.call_seconds):
            return call(self, *args, **options)

    return cast("CallT", run)
