"""How answers look, on a terminal and in a pipe."""

from collections.abc import Sequence

import pytest
from rich.cells import cell_len

from second_opinion.gateway.cli.rendering.answer import (
    floor_text,
    layout,
    near_floor,
    relevance_text,
    rows,
    source_text,
    summary,
    warnings,
)
from second_opinion.schemas.verdict import (
    CalibrationSource,
    Decision,
    Outcome,
    Passage,
    QueryResult,
    RefusalReason,
)


def passage(rank: int, relevance: float, decision: Decision = Decision.KEPT, **fields: object) -> Passage:
    return Passage.model_validate(
        {
            "rank": rank,
            "decision": decision,
            "document_id": "refunds.md",
            "chunk_id": f"k@g.1@{rank}",
            "title": "Refunds",
            "uri": "",
            "headings": ("Approval",),
            "text": "A manager approves refunds.",
            "start": 0,
            "end": 27,
            "ordinal": rank,
            "previous_chunk_id": None,
            "next_chunk_id": None,
            "relevance": relevance,
            "raw_score": 1.0 - rank,
            "fused_rank": rank,
            "fused_score": 0.03,
            "bm25_rank": rank + 3,
            "bm25_score": 4.0,
            "knn_rank": None,
            "knn_score": None,
        }
        | fields
    )


def result(passages: Sequence[Passage], **fields: object) -> QueryResult:
    kept = tuple(one for one in passages if one.decision is Decision.KEPT)
    answered = Outcome.ANSWERED if kept else Outcome.REFUSED
    return QueryResult.model_validate(
        {
            "job_id": "01JX4",
            "collection": "default",
            "query": "who approves refunds?",
            "outcome": answered,
            "reason": None if kept else RefusalReason.BELOW_FLOOR,
            "sentence": "",
            "floor": 0.4,
            "best_relevance": max((one.relevance for one in passages), default=None),
            "kept": kept,
            "dropped": tuple(one for one in passages if one.decision is not Decision.KEPT),
            "candidates": len(passages),
            "milliseconds": {
                "embed": 5.0,
                "search": 20.0,
                "verify": 4.0,
                "fuse": 2.0,
                "rerank": 212.0,
                "judge": 1.0,
                "total": 244.0,
            },
            "embedder": "e@1",
            "reranker": "r@1",
            "calibration": CalibrationSource.SHIPPED,
        }
        | fields
    )


def shown(found: QueryResult, *, explain: bool = True, everything: bool = False, width: int = 80) -> list[str]:
    return [line.plain for line in layout(found, explain=explain, everything=everything, width=width)]


def test_explained_as_the_design_draws_it() -> None:
    """Stages first, then ranks, relevance with its bar, the floor between kept and dropped."""
    lines = shown(result([passage(1, 0.91), passage(2, 0.36, Decision.BELOW_FLOOR, bm25_rank=None, knn_rank=12)]))
    assert lines[0] == "  retrieve 31 ms · 2   rerank 212 ms · 2   judge 1 ms"
    assert lines[1] == "  #  bm25  knn  relevance               source"
    assert lines[2] == "  1     4    ·  0.91 ██████████████▌    refunds.md › Approval"
    assert lines[3].startswith(" ── floor 0.40 ───")
    assert lines[4] == "  -     ·   12  0.36 █████▊  dropped    refunds.md › Approval"


def test_what_is_over_a_cap_stays_above_the_floor() -> None:
    """A passage that cleared the floor but was one too many is told so, above the floor's line."""
    lines = shown(
        result([passage(1, 0.9), passage(2, 0.8, Decision.OVER_DOCUMENT_CAP), passage(3, 0.7, Decision.OVER_TOP_K)])
    )
    assert "over chunks per document" in lines[3]
    assert "over top k" in lines[4]
    assert lines[5].startswith(" ── floor")


def test_many_dropped_rows_are_counted() -> None:
    """The first dropped rows are shown and the rest counted; --all shows all."""
    many = result([passage(1, 0.9), *(passage(rank, 0.1, Decision.BELOW_FLOOR) for rank in range(2, 42))])
    assert "32 more dropped" in shown(many)[-1]
    assert len(shown(many, everything=True)) == 3 + 1 + 40


def test_lines_fit_the_terminal() -> None:
    """Long, wide and right-to-left titles are cut by the cells they take, whatever the width."""
    found = result(
        [
            passage(1, 0.9, document_id="東" * 200, headings=()),
            passage(2, 0.5, headings=("עברית " * 60,)),
            passage(3, 0.1, Decision.BELOW_FLOOR, title="t\x1b[31m\n" * 90, headings=()),
        ]
    )
    for width in (60, 80, 120):
        assert all(cell_len(line) <= width for line in shown(found, width=width))
        assert all(cell_len(line) <= width for line in shown(found, width=width, explain=False))
    assert "\x1b" not in "".join(shown(found))


def test_markup_in_titles_is_text() -> None:
    """What looks like the terminal library's markup is shown as it stands."""
    assert "[bold red]" in shown(result([passage(1, 0.9, headings=("[bold red]x[/]",))]))[2]


@pytest.mark.parametrize(
    ("relevance", "floor", "expected"),
    [
        (0.4, 0.4, "0.40"),
        (0.398, 0.4, "0.398"),
        (0.39999, 0.4, "0.39999"),
        (0.4004, 0.4, "0.4004"),
        (0.12, 0.4, "0.12"),
    ],
)
def test_a_relevance_never_looks_like_a_floor_it_is_not(relevance: float, floor: float, expected: str) -> None:
    """What lies just beside the floor has as many decimals as it takes to see on which side."""
    assert relevance_text(relevance, floor) == expected


def test_floors() -> None:
    """A floor has two decimals, or as many as it was given."""
    assert [floor_text(floor) for floor in (0.0, 0.4, 1.0, 0.455)] == ["0.00", "0.40", "1.00", "0.455"]


def test_sources() -> None:
    """A source is the document and its section; the title where there is no section."""
    assert source_text(passage(1, 0.9)) == "refunds.md › Approval"
    assert source_text(passage(1, 0.9, headings=())) == "refunds.md › Refunds"
    assert source_text(passage(1, 0.9, headings=(), title="refunds.md")) == "refunds.md"


def test_summaries() -> None:
    """One line says how it ended: answered, refused, or nothing to judge."""
    assert summary(result([passage(1, 0.9)])) == "Answered: 1 of 1 kept in 244 ms · trace 01JX4"
    refused = result([passage(1, 0.12, Decision.BELOW_FLOOR)])
    assert summary(refused) == "Refused: best relevance 0.12, floor 0.40 · trace 01JX4"
    nothing = result([], reason=RefusalReason.NO_CANDIDATES)
    assert summary(nothing) == "Refused: nothing was found to judge, floor 0.40 · trace 01JX4"


def test_warnings() -> None:
    """Uncalibrated relevance and hits left out are told; a sound result has no warnings."""
    assert list(warnings(result([passage(1, 0.9)]))) == []
    doubtful = result([passage(1, 0.9)], calibration=CalibrationSource.NONE, stale_dropped=1)
    assert ["not calibrated" in one for one in warnings(doubtful)] == [True, False]


def test_near_the_floor() -> None:
    """Candidates on both sides of the floor count as near."""
    found = result([passage(1, 0.44), passage(2, 0.36, Decision.BELOW_FLOOR), passage(3, 0.1, Decision.BELOW_FLOOR)])
    assert near_floor(found) == 2


def test_rows_for_a_pipe() -> None:
    """Plain rows hold kept passages with their text; explained ones every candidate with its numbers."""
    found = result([passage(1, 0.9), passage(2, 0.1, Decision.BELOW_FLOOR)])
    assert [row[-1] for row in rows(found, explain=False)] == ["A manager approves refunds."]
    explained = list(rows(found, explain=True))
    assert [row[1] for row in explained] == ["kept", "below_floor"]
    assert {len(row) for row in explained} == {10}


def test_a_refused_query_shows_what_cleared_the_floor_without_it() -> None:
    """Above the floor line and labelled; the summary and the line of stages have the query's own number."""
    passages = [passage(1, 0.45, Decision.QUERY_BELOW_FLOOR), passage(2, 0.2, Decision.BELOW_FLOOR)]
    refused = result(passages, reason=RefusalReason.QUERY_BELOW_FLOOR, query_relevance=0.31)
    lines = [str(line) for line in layout(refused, explain=True, everything=False, width=100)]
    (floor,) = [place for place, line in enumerate(lines) if "── floor 0.40" in line]
    (above,) = [place for place, line in enumerate(lines) if "query below floor" in line]
    assert above < floor
    assert "any answers 0.31" in lines[0]
    assert summary(refused) == ("Refused: best relevance 0.45, as the best of 2 only 0.31, floor 0.40 · trace 01JX4")
    assert near_floor(refused) == 0
    assert near_floor(refused.model_copy(update={"query_relevance": 0.38})) == 1
