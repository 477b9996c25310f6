"""What past queries left: traces, and judgements of their candidates."""

from collections.abc import Sequence
from typing import Protocol

from second_opinion.schemas.errors import ErrorInfo
from second_opinion.schemas.trace import (
    Judgement,
    ReplayedQuery,
    ScorerTraces,
    Trace,
    TracePlace,
    TraceScope,
    TraceSpread,
    TraceSummary,
)
from second_opinion.schemas.verdict import Outcome


class TraceStore(Protocol):
    """Traces of queries, kept for a limited time. They may be a second or two behind the answers."""

    def write(self, traces: Sequence[Trace]) -> list[ErrorInfo | None]:
        """Write traces; return an error or None for each. One of the same job replaces the earlier one."""

    def get(self, job_id: str) -> Trace | None:
        """Return the newest trace of a job."""

    def listed(self, scope: TraceScope, *, before: TracePlace | None = None, limit: int) -> list[TraceSummary]:
        """Return these traces without their candidates, the newest first; those behind a place in that order."""

    def scorers(self, scope: TraceScope) -> list[ScorerTraces]:
        """Return the scorers of these traces, the one with the newest trace first."""

    def spread(self, scope: TraceScope, floors: Sequence[float]) -> TraceSpread:
        """Return how relevance is spread over these traces, and what each of `floors` would have done."""

    def newest(self, scope: TraceScope, query_hashes: Sequence[str]) -> dict[str, Trace]:
        """Return the newest of these traces for each question; without those that have none."""

    def changed(self, scope: TraceScope, floor: float, outcome: Outcome, *, limit: int) -> list[ReplayedQuery]:
        """Return the newest queries that ended otherwise but would have ended with `outcome` at this floor."""

    def count_changed(self, scope: TraceScope, floor: float, outcome: Outcome) -> int:
        """Return how many queries `changed` has to tell of."""

    def drop(self, *, before: float) -> int:
        """Remove traces made before a moment, as far as whole indices hold nothing newer; return how many indices."""

    def forget(self, collection: str) -> None:
        """Remove all traces of a collection."""


class JudgementStore(Protocol):
    """Judgements of passages for questions. They are kept until they are replaced."""

    def write(self, judgements: Sequence[Judgement]) -> None:
        """Write judgements, each in place of an earlier one of the same pair."""

    def get(self, keys: Sequence[str]) -> dict[str, Judgement]:
        """Return the judgements of these pairs; missing ones are left out."""

    def listed(self, collection: str | None, *, after: str | None, limit: int) -> list[Judgement]:
        """Return judgements by their key, of one collection or of all, those behind `after`; sees every write."""

    def forget(self, collection: str) -> None:
        """Remove all judgements in a collection."""
