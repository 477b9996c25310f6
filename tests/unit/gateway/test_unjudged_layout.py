"""How results look that nobody judged, or that were judged in part."""

from second_opinion.gateway.cli.rendering.answer import layout, rows, summary, warnings
from second_opinion.pipeline.answer import JudgementParts, judge_candidates
from second_opinion.pipeline.calibration import NoCalibration
from second_opinion.pipeline.panel import unjudged
from second_opinion.schemas.errors import RerankUnavailable
from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.verdict import QueryResult, UnscoredPassage
from second_opinion.testing.builders import a_fused, a_handover, a_query
from second_opinion.testing.clock import ManualClock
from second_opinion.testing.models import WordReranker

CLOCK = ManualClock()
HANDOVER = a_handover(a_fused(1), a_fused(2), a_fused(3))
JOB = Job(
    job_id="job-1",
    state=JobState.RERANKING,
    query=a_query("take one tablet", top_k=2),
    submitted_at=CLOCK.now(),
    expires_at=CLOCK.now() + 60.0,
)


def lines_of(result: QueryResult, *, explain: bool) -> str:
    return "\n".join(line.plain for line in layout(result, explain=explain, everything=False, width=100))


def test_what_nobody_judged_is_shown_as_that() -> None:
    """No relevance, no floor, no tick: each passage says that it was not judged, and the summary that none was."""
    result = unjudged(JOB, HANDOVER, RerankUnavailable("it does not answer"), clock=CLOCK)
    assert summary(result) == "Unjudged: 3 found, none read by a reranker · job job-1"
    assert list(warnings(result)) == [result.sentence]
    shown = lines_of(result, explain=False)
    assert shown.count("not judged") == 2
    assert "floor" not in shown
    assert [row[:3] for row in rows(result, explain=False)] == [
        (1, "unscored", "document-1"),
        (2, "unscored", "document-2"),
    ]
    explained = lines_of(result, explain=True)
    assert explained.count("not read") == 3
    assert "floor" not in explained
    assert [row[1] for row in rows(result, explain=True)] == ["unscored"] * 3


def test_what_was_not_read_in_time_is_told() -> None:
    """A warning counts it, and the explanation lists it below the floor line."""
    parts = JudgementParts(reranker=WordReranker(), calibration=NoCalibration("logit"))
    whole = judge_candidates(JOB, a_handover(a_fused(1)), parts, clock=CLOCK)
    unread = tuple(UnscoredPassage.of(fused, with_text=False) for fused in HANDOVER.fusion.candidates[1:])
    result = whole.model_copy(update={"unscored": unread, "candidates": 3})
    assert "Partial: 1 of 3 candidates were read before the deadline." in list(warnings(result))
    assert lines_of(result, explain=True).count("not read") == 2
    assert "not read" not in lines_of(result, explain=False)


def test_a_fallback_that_judged_is_named() -> None:
    """Who was asked in vain, and who judged instead."""
    parts = JudgementParts(reranker=WordReranker(), calibration=NoCalibration("logit"))
    judged = judge_candidates(JOB, HANDOVER, parts, clock=CLOCK)
    update = {"judged_by": "near", "unavailable": ("far",), "unavailable_because": {"far": "provider_refused"}}
    result = judged.model_copy(update=update)
    assert next(iter(warnings(result))) == "far (provider_refused) could not be had: near judged instead."
