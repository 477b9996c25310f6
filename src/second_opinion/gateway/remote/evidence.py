"""Traces, judgements and floors through a gateway."""

from collections.abc import Iterator, Sequence
from typing import Final

from pydantic import BaseModel

from second_opinion.gateway.remote.connection import Connection
from second_opinion.gateway.remote.requests import GatewayRequest, parsed, path_of
from second_opinion.schemas.chunk import ChunkHit
from second_opinion.schemas.floor_choice import FloorGoal, FloorReplay, FloorReport, FloorSuggestion
from second_opinion.schemas.trace import Judgement, Trace, TracePlace, TraceSummary

FLOORS: Final = tuple(step / 10 for step in range(1, 10))
EXAMPLES: Final = 10
PAGE: Final = 500


class TraceView(BaseModel):
    """A trace with what people said of its candidates, and the chunks that are still there."""

    trace: Trace
    judgements: dict[str, Judgement]
    chunks: dict[str, ChunkHit]


class TraceList(BaseModel):
    """Past queries, the newest first."""

    traces: list[TraceSummary]


class JudgementList(BaseModel):
    """Judgements; `next` is what the page behind this one begins after."""

    judgements: list[Judgement]
    next: str | None = None


class RemoteEvidence:
    """The calls of `Evidence`, asked of a gateway."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def trace(self, job_id: str) -> Trace:
        """Return the trace of a query; one that was answered this moment is waited for.

        Raises:
            UnknownTrace: If there is none.
        """
        return self._view(job_id).trace

    def traces(
        self, collection: str | None = None, *, before: TracePlace | None = None, limit: int = 100
    ) -> list[TraceSummary]:
        """Return one line for each past query, the newest first; those behind a place in that order.

        Args:
            collection: Of this one; of all that the key sees when left out.
            before: Moment and job id of the last one of the page before.
            limit: Most of them; 500 at most.
        """
        place = None if before is None else f"{before[0]!r}~{before[1]}"
        query = {"collection": collection, "before": place, "limit": limit}
        return parsed(self._connection.ask(GatewayRequest("GET", "/v1/traces", query=query)), TraceList).traces

    def judged(self, trace: Trace) -> dict[str, Judgement]:
        """Return the judgements of a trace's candidates, by chunk id."""
        return self._view(trace.job_id).judgements

    def chunks(self, trace: Trace) -> dict[str, ChunkHit]:
        """Return the chunks of a trace's candidates that are still there, by chunk id: traces hold no text."""
        return self._view(trace.job_id).chunks

    def judge(self, job_id: str, chunk: str, *, relevant: bool) -> Judgement:
        """Record whether a candidate is relevant to the question it was found for.

        Args:
            job_id: The query.
            chunk: The candidate's chunk id, or its rank in the trace.
            relevant: The judgement; a later one takes its place.

        Raises:
            UnknownTrace: If the query has no trace.
            UnknownCandidate: If it has no such candidate.
        """
        body = {"job_id": job_id, "chunk": chunk, "relevant": relevant}
        return parsed(self._connection.ask(GatewayRequest("POST", "/v1/judgements", body=body)), Judgement)

    def judgements(self, collection: str | None = None) -> Iterator[Judgement]:
        """Yield all judgements, of one collection or of all."""
        after: str | None = None
        while True:
            query = {"collection": collection, "after": after, "limit": PAGE}
            page = parsed(self._connection.ask(GatewayRequest("GET", "/v1/judgements", query=query)), JudgementList)
            yield from page.judgements
            if page.next is None:
                return
            after = page.next

    def report(self, collection: str | None = None, *, floors: Sequence[float] = FLOORS) -> FloorReport:
        """Return how relevance is spread over past queries, and what floors would have done with them."""
        query = {"collection": collection, "floors": ",".join(map(repr, floors))}
        return parsed(self._connection.ask(GatewayRequest("GET", "/v1/floor/report", query=query)), FloorReport)

    def replay(self, floor: float, collection: str | None = None, *, examples: int = EXAMPLES) -> FloorReplay:
        """Return what past queries would have answered at a floor, each by its own other choices."""
        query = {"collection": collection, "floor": floor, "examples": examples}
        return parsed(self._connection.ask(GatewayRequest("GET", "/v1/floor/replay", query=query)), FloorReplay)

    def suggest(self, goal: FloorGoal, target: float | None = None, collection: str | None = None) -> FloorSuggestion:
        """Return a floor for a goal, or the honest answer that there is none.

        Raises:
            NotEnoughJudgements: If fewer than 50 judged pairs belong to the traces, or all are judged alike.
        """
        query = {"collection": collection, "goal": goal.value, "value": target}
        return parsed(self._connection.ask(GatewayRequest("GET", "/v1/floor/suggest", query=query)), FloorSuggestion)

    def _view(self, job_id: str) -> TraceView:
        return parsed(self._connection.ask(GatewayRequest("GET", path_of("v1", "traces", job_id))), TraceView)
