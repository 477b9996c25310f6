"""Metering: what asking rerankers for one query cost, and why some of them could not be had."""

from collections.abc import Sequence
from functools import partial
from threading import Lock
from typing import Final

from second_opinion.pipeline.ports import Meter
from second_opinion.schemas.errors import OpinionError, ProviderAnswerInvalid
from second_opinion.schemas.usage import RerankerUsage, RerankUsage

MOST_UNUSABLE: Final = 2
"""Unusable answers that one query pays a reranker for: the first may have been a mishap, the second is no accident."""


class Ledger:
    """The account of one query. Requests whose caller has left enter their cost from threads of their own.

    Args:
        before: What the query had cost when it was put back to wait.
    """

    def __init__(self, before: Sequence[RerankerUsage] = ()) -> None:
        self._spent = {one.name: one for one in before}
        self._failures: dict[str, str] = {}
        self._lock = Lock()

    @property
    def usage(self) -> tuple[RerankerUsage, ...]:
        """What was spent, an entry for each reranker that cost something."""
        with self._lock:
            return tuple(self._spent.values())

    @property
    def failures(self) -> dict[str, str]:
        """The error codes of those that could not be had, by name, in the order in which they were asked."""
        return dict(self._failures)

    def meter(self, name: str, reranker: str) -> Meter:
        """Return what enters the cost of one reranker, given its name and its model's id and revision."""
        return partial(self._enter, name, reranker)

    def begin(self) -> None:
        """Forget why rerankers could not be had: they are asked anew."""
        self._failures.clear()

    def missed(self, name: str, problem: OpinionError) -> None:
        """Note why a reranker could not be had."""
        self._failures[name] = problem.code

    def given_up(self, name: str) -> ProviderAnswerInvalid | None:
        """Return why a reranker is not to be asked again for this query; None when it may be."""
        with self._lock:
            unusable = self._spent[name].unusable if name in self._spent else 0
        if unusable < MOST_UNUSABLE:
            return None
        return ProviderAnswerInvalid(
            f"{name} answered {unusable} times with what cannot be used, and is not paid again"
        )

    def _enter(self, name: str, reranker: str, usage: RerankUsage) -> None:
        with self._lock:
            self._spent[name] = self._spent.get(name, RerankerUsage(name=name, reranker=reranker)) + usage
