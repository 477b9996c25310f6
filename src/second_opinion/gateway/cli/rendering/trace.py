"""How a trace looks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from second_opinion.gateway.cli.rendering.answer import (
    LABELS,
    QUERY_LEVEL,
    SOURCE_CELLS_AT_LEAST,
    floor_text,
    relevance_text,
)
from second_opinion.gateway.cli.rendering.records import moment
from second_opinion.gateway.cli.text import BAR_CELLS, bar, one_line, shortened, squeezed
from second_opinion.schemas.chunk import CONTEXT_SEPARATOR, ChunkHit
from second_opinion.schemas.trace import Trace, TracedCandidate
from second_opinion.schemas.usage import RerankerUsage
from second_opinion.schemas.verdict import Decision

DROPPED_SHOWN: Final = 12
LOST_SHOWN: Final = 5
_STAGES: Final = ("queue_retrieve", "embed", "search", "verify", "fuse", "queue_rerank", "rerank", "judge", "total")


@dataclass(frozen=True, slots=True)
class TraceView:
    """A trace with what is looked up for showing it.

    Attributes:
        chunks: Chunks that are still there, by chunk id, for their titles.
        judged: What was judged, by chunk id: relevant or not.
    """

    trace: Trace
    chunks: Mapping[str, ChunkHit]
    judged: Mapping[str, bool]

    def source(self, candidate: TracedCandidate) -> str:
        """Return where a candidate stands: its document, then its section or title, while it is still there."""
        chunk = self.chunks.get(candidate.chunk_id)
        section = (CONTEXT_SEPARATOR.join(chunk.headings) or chunk.title) if chunk is not None else ""
        parts = (candidate.document_id, section if section != candidate.document_id else "")
        return squeezed(CONTEXT_SEPARATOR.join(part for part in parts if part))

    def judgement(self, candidate: TracedCandidate) -> str:
        """Return what was judged of a candidate."""
        relevant = self.judged.get(candidate.chunk_id)
        return "" if relevant is None else "relevant" if relevant else "irrelevant"


def rows(view: TraceView) -> Iterator[tuple[object, ...]]:
    """Yield plain rows: rank, decision, relevance, raw score, ranks, document, chunk id, judgement, source."""
    for one in view.trace.candidates:
        yield (
            one.rank,
            one.decision.value,
            f"{one.relevance:.6f}",
            f"{one.raw_score:.6f}",
            one.bm25_rank,
            one.knn_rank,
            one.fused_rank,
            one.document_id,
            one.chunk_id,
            view.judgement(one),
            view.source(one),
        )


def layout(view: TraceView, *, everything: bool, width: int) -> Iterator[Text]:
    """Yield the lines for a terminal of `width` cells."""
    yield from _facts(view.trace)
    yield from _table(view, everything=everything, width=width)
    lost = view.trace.lost_in_fusion
    for one in lost if everything else lost[:LOST_SHOWN]:
        places = f"bm25 {_rank(one.bm25_rank)}, knn {_rank(one.knn_rank)}, fused {one.fused_rank}"
        yield Text(f"  lost in fusion: {one_line(one.document_id)} ({places})", style="dim")
    if len(lost) > LOST_SHOWN and not everything:
        yield Text(f"  … {len(lost) - LOST_SHOWN:,} more documents lost in fusion (--all shows them)", style="dim")


def _facts(trace: Trace) -> Iterator[Text]:
    choices, known = trace.choices, trace.milliseconds
    spent = [f"{stage.replace('_', ' ')} {known[stage]:.0f}" for stage in _STAGES if stage in known]
    highest = max((one.relevance for one in trace.candidates), default=None)
    best = "" if highest is None else f", best {relevance_text(highest, choices.floor)}"
    if trace.query_relevance is not None:
        best += f", {QUERY_LEVEL} {relevance_text(trace.query_relevance, choices.floor)}"
    if trace.unscored:
        best += f", {trace.unscored} more not read"
    if trace.cached:
        best += f", {trace.cached} scores known from before"
    caps = f"top k {choices.top_k}, chunks per document {choices.chunks_per_document}"
    facts = [
        ("question", trace.query or "(not kept)"),
        ("asked", f"{moment(trace.at)} in {trace.collection}"),
        ("ended", f"{trace.outcome.value}: {trace.kept} of {len(trace.candidates)} kept{best}"),
        ("choices", f"floor {floor_text(choices.floor)}, {caps}"),
        ("reranker", f"{trace.reranker}, calibration {trace.calibration_id or 'none'} ({trace.calibration.value})"),
        *([("cost", "; ".join(map(_cost, trace.usage)))] if trace.usage else []),
        ("embedder", trace.embedder),
        ("milliseconds", " · ".join(spent)),
    ]
    for name, value in facts:
        yield Text.assemble((f"{name:>13}  ", "dim"), squeezed(value))


def _cost(one: RerankerUsage) -> str:
    amounts = ((one.requests, "requests"), (one.search_units, "search units"), (one.tokens, "tokens"))
    return f"{one.name}: " + ", ".join(f"{amount:,g} {unit}" for amount, unit in amounts if amount)


def _table(view: TraceView, *, everything: bool, width: int) -> Iterator[Text]:
    trace = view.trace
    floor = trace.choices.floor
    above = [one for one in trace.candidates if one.decision is not Decision.BELOW_FLOOR]
    below = [one for one in trace.candidates if one.decision is Decision.BELOW_FLOOR]
    cells = max([BAR_CELLS + 5, *(len(_relevance(view, one)) for one in trace.candidates)]) + 2
    if trace.candidates:
        yield Text(f"{'rank':>5}  bm25   knn  fused     raw  {'relevance':<{cells}}source", style="bold")
    yield from _rows(view, above, len(above) if everything else trace.kept + DROPPED_SHOWN, cells=cells, width=width)
    start = f" ── floor {floor_text(floor)} "
    yield Text(start + "─" * max(min(width, 80) - len(start) - 1, 4), style="yellow")
    yield from _rows(view, below, len(below) if everything else DROPPED_SHOWN, cells=cells, width=width)


def _rows(
    view: TraceView, candidates: Sequence[TracedCandidate], limit: int, *, cells: int, width: int
) -> Iterator[Text]:
    for one in candidates[:limit]:
        ranks = f"{_rank(one.bm25_rank):>4}  {_rank(one.knn_rank):>4}  {one.fused_rank:>5}"
        head = f"{one.rank:>5}  {ranks}  {one.raw_score:>6.2f}  "
        source = shortened(view.source(one), max(width - len(head) - cells, SOURCE_CELLS_AT_LEAST))
        style = "green" if one.decision is Decision.KEPT else "dim"
        yield Text.assemble(head, (f"{_relevance(view, one):<{cells}}", style), source)
    if len(candidates) > limit:
        yield Text(f"    … {len(candidates) - limit:,} more (--all shows them)", style="dim")


def _relevance(view: TraceView, one: TracedCandidate) -> str:
    words = (LABELS[one.decision], view.judgement(one))
    said = ", ".join(word for word in words if word)
    shown = f"{relevance_text(one.relevance, view.trace.choices.floor)} {bar(one.relevance)}"
    return f"{shown}  {said}" if said else shown


def _rank(rank: int | None) -> str:
    return "·" if rank is None else str(rank)
