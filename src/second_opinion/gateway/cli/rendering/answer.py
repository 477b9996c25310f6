"""How the answer to a query looks."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.text import Text

from second_opinion.gateway.cli.text import BAR_CELLS, bar, one_line, plural, shortened, squeezed
from second_opinion.schemas.chunk import CONTEXT_SEPARATOR
from second_opinion.schemas.trace import deciding
from second_opinion.schemas.verdict import (
    CalibrationSource,
    Decision,
    FoundPassage,
    Outcome,
    Passage,
    QueryResult,
    RefusalReason,
    UnscoredPassage,
)

NEAR: Final = 0.05
DROPPED_SHOWN: Final = 8
UNREADABLE_NAMED: Final = 3
QUERY_LEVEL: Final = "any answers"
"""Before the chance that any of a query's candidates answers it."""
PASSAGE_CELLS: Final = 280
SOURCE_CELLS_AT_LEAST: Final = 12
LABELS: Final = {
    Decision.KEPT: "",
    Decision.BELOW_FLOOR: "dropped",
    Decision.QUERY_BELOW_FLOOR: "query below floor",
    Decision.OVER_DOCUMENT_CAP: "over chunks per document",
    Decision.OVER_TOP_K: "over top k",
    Decision.UNSCORED: "not read",
}
_STAGES: Final = (("retrieve", ("embed", "search", "verify", "fuse")), ("rerank", ()), ("judge", ()))


def relevance_text(relevance: float, floor: float) -> str:
    """Return a relevance with as many decimals (2 to 6) as it takes not to look equal to a floor that it is not."""
    for decimals in range(2, 6):
        shown = f"{relevance:.{decimals}f}"
        if relevance == floor or float(shown) != float(f"{floor:.{decimals}f}"):
            return shown
    return f"{relevance:.6f}"


def floor_text(floor: float) -> str:
    """Return a floor with two decimals, or as many as it was given with."""
    return f"{floor:.2f}" if round(floor, 2) == floor else f"{floor:g}"


def source_text(passage: FoundPassage) -> str:
    """Return where a passage stands: its document, then its section, or the document's title where it has none."""
    section = CONTEXT_SEPARATOR.join(passage.headings) or (
        passage.title if passage.title != passage.document_id else ""
    )
    return squeezed(CONTEXT_SEPARATOR.join(part for part in (passage.document_id, section) if part))


def ranked(result: QueryResult) -> list[Passage]:
    """Return kept and dropped passages in their final order."""
    return sorted((*result.kept, *result.dropped), key=lambda passage: passage.rank)


def near_floor(result: QueryResult) -> int:
    """Return how many candidates lie so near the floor that a small change of it would decide otherwise."""
    decided = [deciding(passage.relevance, result.query_relevance) for passage in ranked(result)]
    return sum(abs(relevance - result.floor) <= NEAR for relevance in decided)


def summary(result: QueryResult) -> str:
    """Return the one line that says how it ended."""
    trace = f"trace {result.job_id}"
    if result.outcome is Outcome.UNJUDGED:
        return f"Unjudged: {result.candidates} found, none read by a reranker · job {result.job_id}"
    if result.outcome is Outcome.ANSWERED:
        total = f" in {result.milliseconds['total']:.0f} ms" if "total" in result.milliseconds else ""
        return f"Answered: {len(result.kept)} of {result.candidates} kept{total} · {trace}"
    floor = floor_text(result.floor)
    if result.reason is RefusalReason.NO_CANDIDATES or result.best_relevance is None:
        return f"Refused: nothing was found to judge, floor {floor} · {trace}"
    if result.reason is RefusalReason.QUERY_BELOW_FLOOR and result.query_relevance is not None:
        best = relevance_text(result.best_relevance, result.floor)
        query = relevance_text(result.query_relevance, result.floor)
        judged = f"best relevance {best}, as the best of {result.candidates} only {query}"
        return f"Refused: {judged}, floor {floor} · {trace}"
    return f"Refused: best relevance {relevance_text(result.best_relevance, result.floor)}, floor {floor} · {trace}"


def warnings(result: QueryResult) -> Iterator[str]:
    """Yield what a caller should know about a result besides its verdict."""
    if result.outcome is Outcome.UNJUDGED:
        yield result.sentence
    elif result.unavailable:
        reasons = ", ".join(f"{name} ({code})" for name, code in result.unavailable_because.items())
        yield f"{reasons} could not be had: {result.judged_by} judged instead."
    if result.partial:
        yield f"Partial: {result.scored} of {result.candidates} candidates were read before the deadline."
    if result.query_truncated:
        read = " and ".join(f"its first {count} tokens by the {who}" for who, count in result.query_tokens_read.items())
        yield f"The question is longer than the models read: only {read}. Ask a shorter one."
    if result.unreadable:
        named = [one for one in result.unscored if one.error is not None]
        chunks = ", ".join(one.chunk_id for one in named[:UNREADABLE_NAMED])
        more = ", ..." if len(named) > UNREADABLE_NAMED else ""
        yield f"The reranker failed on {plural(len(named), 'passage')}, which nobody judged: {chunks}{more}."
    if result.reranked and result.calibration is CalibrationSource.NONE:
        yield "Relevance is not calibrated for this model: it orders passages, but 0.4 does not mean 40 %."
    if result.stale_dropped:
        hits = plural(result.stale_dropped, "hit")
        yield f"{hits} left out because their documents changed meanwhile: ask again for the newest."


def rows(result: QueryResult, *, explain: bool) -> Iterator[tuple[object, ...]]:
    """Yield plain rows: kept passages with their text; with `explain` every candidate with all its numbers.

    Where nobody judged, rows have no relevance, and `unscored` in its place.
    """
    if not explain and not result.reranked:
        for found in _shown_unjudged(result):
            yield (found.fused_rank, found.decision.value, found.document_id, source_text(found), found.text)
        return
    if not explain:
        for passage in result.kept:
            yield (passage.rank, f"{passage.relevance:.6f}", passage.document_id, source_text(passage), passage.text)
        return
    for passage in ranked(result):
        yield (
            passage.rank,
            passage.decision.value,
            f"{passage.relevance:.6f}",
            f"{passage.raw_score:.6f}",
            passage.bm25_rank,
            passage.knn_rank,
            passage.fused_rank,
            passage.document_id,
            passage.chunk_id,
            source_text(passage),
        )
    for unread in result.unscored:
        ranks = (unread.bm25_rank, unread.knn_rank, unread.fused_rank)
        yield ("", unread.decision.value, "", "", *ranks, unread.document_id, unread.chunk_id, source_text(unread))


def layout(result: QueryResult, *, explain: bool, everything: bool, width: int) -> Iterator[Text]:
    """Yield the lines for a terminal of `width` cells; `everything` shows whole passages and all dropped rows."""
    if explain:
        yield _stages(result)
        yield from _table(result, everything=everything, width=width)
        yield from _unread(result, everything=everything, width=width)
        return
    for found in _shown_unjudged(result):
        head = Text.assemble(f" {found.fused_rank:>2}  ", ("not judged", "yellow"), "  ", (source_text(found), "bold"))
        yield head
        yield from _body(found.text, everything=everything, width=width)
    for place, passage in enumerate(result.kept, start=1):
        yield from _passage(place, passage, result.floor, everything=everything, width=width)


def passage_table(passages: Sequence[Passage], floor: float, width: int) -> Iterator[Text]:
    """Yield a table of passages in their final order, with their ranks in it and the floor between them."""
    cells = _relevance_width(passages, floor)
    yield _header(cells)
    above = [passage for passage in passages if passage.decision is not Decision.BELOW_FLOOR]
    for passage in above:
        yield _row(str(passage.rank), passage, floor, cells=cells, width=width)
    yield _floor_line(floor, width)
    for passage in passages[len(above) :]:
        yield _row(str(passage.rank), passage, floor, cells=cells, width=width)


def _stages(result: QueryResult) -> Text:
    parts = []
    for stage, steps in _STAGES:
        known = [result.milliseconds[step] for step in steps if step in result.milliseconds]
        spent = result.milliseconds.get(stage, sum(known) if known else None)
        if spent is not None:
            counts = {"retrieve": f" · {result.candidates}", "rerank": f" · {result.scored}"}
            count = counts.get(stage, "")
            parts.append(f"{stage} {spent:.0f} ms{count}")
    if result.query_relevance is not None:
        parts.append(f"{QUERY_LEVEL} {relevance_text(result.query_relevance, result.floor)}")
    return Text("  " + "   ".join(parts), style="dim")


def _table(result: QueryResult, *, everything: bool, width: int) -> Iterator[Text]:
    passages = ranked(result)
    cells = _relevance_width(passages, result.floor)
    above = [passage for passage in passages if passage.decision is not Decision.BELOW_FLOOR]
    below = [passage for passage in passages if passage.decision is Decision.BELOW_FLOOR]
    if passages:
        yield _header(cells)
    if not result.reranked:
        return
    place = 0
    shown_above = above if everything else _but_few_dropped(above)
    for passage in shown_above:
        place += passage.decision is Decision.KEPT
        number = str(place) if passage.decision is Decision.KEPT else "-"
        yield _row(number, passage, result.floor, cells=cells, width=width)
    if len(shown_above) < len(above):
        whole_query = result.reason is RefusalReason.QUERY_BELOW_FLOOR
        yield _more(len(above) - len(shown_above), LABELS[Decision.QUERY_BELOW_FLOOR] if whole_query else "over a cap")
    yield _floor_line(result.floor, width)
    shown_below = below if everything else below[:DROPPED_SHOWN]
    for passage in shown_below:
        yield _row("-", passage, result.floor, cells=cells, width=width)
    if len(shown_below) < len(below):
        yield _more(len(below) - len(shown_below), "dropped")


def _shown_unjudged(result: QueryResult) -> list[UnscoredPassage]:
    """Return what retrieval found and nobody judged, as far as it is shown; nothing when it was judged."""
    return [] if result.reranked else [found for found in result.unscored if found.text]


def _unread(result: QueryResult, *, everything: bool, width: int) -> Iterator[Text]:
    shown = result.unscored if everything else result.unscored[:DROPPED_SHOWN]
    for unread in shown:
        head = f"  -  {_rank(unread.bm25_rank):>4}  {_rank(unread.knn_rank):>3}  {LABELS[unread.decision]:<11}"
        source = shortened(source_text(unread), max(width - len(head), SOURCE_CELLS_AT_LEAST))
        yield Text(head + source, style="dim")
    if len(shown) < len(result.unscored):
        yield _more(len(result.unscored) - len(shown), LABELS[Decision.UNSCORED])


def _relevance_width(passages: Sequence[Passage], floor: float) -> int:
    return max([len("relevance"), *(_cell_width(passage, floor) for passage in passages)]) + 2


def _header(cells: int) -> Text:
    return Text(f"{'#':>3}  bm25  knn  {'relevance':<{cells}}source", style="bold")


def _but_few_dropped(above: Sequence[Passage]) -> list[Passage]:
    """Return kept passages and the first few of those over a cap, in order."""
    over = [passage for passage in above if passage.decision is not Decision.KEPT][:DROPPED_SHOWN]
    return [passage for passage in above if passage.decision is Decision.KEPT or passage in over]


def _relevance_cell(passage: Passage, floor: float) -> str:
    label = LABELS[passage.decision]
    return f"{relevance_text(passage.relevance, floor)} {bar(passage.relevance)}" + (f"  {label}" if label else "")


def _cell_width(passage: Passage, floor: float) -> int:
    return max(len(_relevance_cell(passage, floor)), len("0.00 ") + BAR_CELLS + 1)


def _row(number: str, passage: Passage, floor: float, *, cells: int, width: int) -> Text:
    head = f" {number:>2}  {_rank(passage.bm25_rank):>4}  {_rank(passage.knn_rank):>3}  "
    relevance = f"{_relevance_cell(passage, floor):<{cells}}"
    source = shortened(source_text(passage), max(width - len(head) - cells, SOURCE_CELLS_AT_LEAST))
    if passage.decision is Decision.KEPT:
        return Text.assemble(head, (relevance, "green"), source)
    return Text(head + relevance + source, style="dim")


def _rank(rank: int | None) -> str:
    return "·" if rank is None else str(rank)


def _floor_line(floor: float, width: int) -> Text:
    start = f" ── floor {floor_text(floor)} "
    return Text(start + "─" * max(min(width, 80) - len(start) - 1, 4), style="yellow")


def _more(count: int, what: str) -> Text:
    return Text(f"  -  … {count:,} more {what} (--all shows them)", style="dim")


def _passage(place: int, passage: Passage, floor: float, *, everything: bool, width: int) -> Iterator[Text]:
    relevance = f"{relevance_text(passage.relevance, floor)} {bar(passage.relevance):<{BAR_CELLS}}"
    source = shortened(source_text(passage), max(width - len(relevance) - 8, SOURCE_CELLS_AT_LEAST))
    yield Text.assemble(f" {place:>2}  ", (relevance, "green"), "  ", (source, "bold"))
    yield from _body(passage.text, everything=everything, width=width)


def _body(passage: str, *, everything: bool, width: int) -> Iterator[Text]:
    text = squeezed(passage)
    for line in _wrapped(text if everything else shortened(text, PASSAGE_CELLS), max(width - 5, 20)):
        yield Text(f"     {line}")


def _wrapped(text: str, cells: int) -> Iterator[str]:
    """Yield lines of at most `cells` terminal cells, broken between words where there are any."""
    line = ""
    for word in one_line(text).split():
        longer = f"{line} {word}" if line else word
        if shortened(longer, cells) == longer:
            line = longer
            continue
        if line:
            yield line
        line = word
    if line:
        yield line
