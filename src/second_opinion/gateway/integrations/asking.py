"""Asking on behalf of a framework: what comes back is shown, refused or a failure, and never one for the other."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol, cast, runtime_checkable

from second_opinion.gateway.integrations.choices import Choices
from second_opinion.schemas.errors import InvalidRequest, QueryRefused, RerankUnavailable
from second_opinion.schemas.verdict import Outcome, QueryResult

OnRefusal = Literal["empty", "raise"]
OnResult = Callable[[QueryResult], object]


@runtime_checkable
class QuestionClient(Protocol):
    """A client of this package, for threads or for asyncio: all that a retriever needs of it."""

    def query(self, text: str, *, timeout: float = 60.0, **options: Any) -> QueryResult | Awaitable[QueryResult]:
        """Ask, wait, and return the answer or the refusal."""
        ...


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks one question after the other with the same choices. Safe to share between threads, as its client is.

    Args:
        client: Whom to ask.
        choices: What to ask with.
        on_refusal: What a refusal is to the framework: a list without documents, or a `QueryRefused`.
        on_result: Called with every result before the framework has it, refusals included.
    """

    client: QuestionClient
    choices: Choices = field(default_factory=Choices)
    on_refusal: OnRefusal = "empty"
    on_result: OnResult | None = None

    def ask(self, text: str, **changes: Any) -> QueryResult:
        """Ask and wait.

        Args:
            text: The question.
            changes: Choices that are another for this question alone.

        Raises:
            QueryRefused: If nothing cleared the floor, and a refusal is to be raised.
            OpinionError: Why there is no answer.
        """
        if self._is_async:
            raise InvalidRequest(
                "this retriever has an AsyncClient, which cannot be asked from a thread",
                hint="Call its asynchronous methods, or give it a Client: that one answers both.",
            )
        choices = self.choices.changed(changes)
        return self._told(cast("QueryResult", self._call(text, choices)()), choices)

    async def ask_async(self, text: str, **changes: Any) -> QueryResult:
        """Ask and wait without blocking the event loop; a `Client` waits in a thread. Raises what `ask` raises."""
        choices = self.choices.changed(changes)
        call = self._call(text, choices)
        result = await cast("Awaitable[QueryResult]", call()) if self._is_async else await asyncio.to_thread(call)
        return self._told(cast("QueryResult", result), choices)

    @property
    def _is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.client.query)

    def _call(self, text: str, choices: Choices) -> Callable[[], QueryResult | Awaitable[QueryResult]]:
        return partial(self.client.query, text, **choices.options())

    def _told(self, result: QueryResult, choices: Choices) -> QueryResult:
        """Return the result, or raise what it is to the framework."""
        if self.on_result is not None:
            self.on_result(result)
        if result.outcome is Outcome.REFUSED and self.on_refusal == "raise":
            raise QueryRefused(result.sentence, job_id=result.job_id)
        if result.outcome is Outcome.UNJUDGED and choices.on_unavailable != "fused":
            # The collection's owner chose this, not who asks: a framework would show it as if it had cleared the floor.
            raise RerankUnavailable(
                result.sentence, hint='To take passages that nobody judged, give the retriever on_unavailable="fused".'
            )
        return result
