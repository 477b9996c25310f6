"""What a model did not read, of the candidates or of the question, is in the result by name."""

from collections.abc import Sequence

import pytest

from second_opinion.gateway.cli.rendering.answer import warnings
from second_opinion.pipeline.answer import JudgementParts, judge_candidates
from second_opinion.pipeline.calibration import NoCalibration
from second_opinion.pipeline.panel import unjudged
from second_opinion.pipeline.ports import Guard, TimeIsOver, no_guard
from second_opinion.pipeline.tracing import trace
from second_opinion.pipeline.why import Standing, explain
from second_opinion.schemas.candidate import Handover
from second_opinion.schemas.errors import OpinionError, RerankUnavailable, TextUnreadable
from second_opinion.schemas.explanation import Fate
from second_opinion.schemas.job import Job, JobState
from second_opinion.schemas.verdict import Outcome, QueryResult
from second_opinion.testing.builders import a_fused, a_handover, a_query
from second_opinion.testing.clock import ManualClock
from second_opinion.testing.models import WordReranker

QUESTION = "take one tablet"


class ShortReranker(WordReranker):
    """Fails on the documents that it is told, and reads two tokens of a query."""

    def __init__(self, *broken: str) -> None:
        super().__init__()
        self.broken = broken

    def score_in_time(
        self, query: str, passages: Sequence[str], *, is_over: TimeIsOver | None = None, guard: Guard = no_guard
    ) -> list[float | OpinionError | None]:
        """Give an error in place of a score for these documents."""
        scores = super().score_in_time(query, passages, is_over=is_over, guard=guard)
        return [
            TextUnreadable("the model fails on this text") if passage.startswith(self.broken) else score
            for passage, score in zip(passages, scores, strict=True)
        ]

    def query_cut(self, query: str) -> int | None:
        """Return two for a query of more words."""
        return 2 if len(query.split()) > 2 else None


def a_job(clock: ManualClock, question: str = QUESTION) -> Job:
    now = clock.now()
    query = a_query(question)
    return Job(job_id="job-1", state=JobState.RERANKING, query=query, submitted_at=now, expires_at=now + 60.0)


def ask(reranker: WordReranker, handover: Handover, question: str = QUESTION) -> QueryResult:
    clock = ManualClock()
    parts = JudgementParts(reranker=reranker, calibration=NoCalibration("logit"))
    return judge_candidates(a_job(clock, question), handover, parts, clock=clock)


def three() -> Handover:
    return a_handover(*(a_fused(rank) for rank in (1, 2, 3)))


def test_a_passage_that_breaks_the_reranker_does_not_break_the_query() -> None:
    """The others are judged; that one is unscored with its error, never kept, and the result is not called partial."""
    result = ask(ShortReranker("Document-2"), three())
    assert result.outcome is Outcome.ANSWERED
    assert [one.document_id for one in result.kept] == ["document-1", "document-3"]
    assert [(one.document_id, one.error and one.error.code) for one in result.unscored] == [
        ("document-2", "text_unreadable")
    ]
    assert (result.scored, result.unreadable, result.partial) == (2, 1, False)
    assert result.sentence.endswith("The reranker could not read 1 of 3 candidates.")
    (unread,) = result.unscored
    assert any(unread.chunk_id in line for line in warnings(result))
    again = QueryResult.model_validate_json(result.model_dump_json())
    assert again == result


def test_why_tells_what_broke() -> None:
    """A document whose passage broke the reranker is told so; the trace counts it among the unscored."""
    clock = ManualClock()
    result = ask(ShortReranker("Document-2"), three())
    job = a_job(clock).model_copy(update={"state": JobState.DONE, "result": result})
    found = explain(job, "document-2", Standing(record=None))
    assert found.fate is Fate.UNSCORED
    assert "the model fails on this text" in found.sentence
    assert trace(job, result, three().fusion.candidates, at=clock.now()).unscored == 1


def test_a_query_of_which_nothing_can_be_read_fails() -> None:
    """Without one score there is no verdict, and no refusal either."""
    with pytest.raises(TextUnreadable):
        ask(ShortReranker("Document"), three())


def test_a_question_longer_than_the_models_read_is_flagged() -> None:
    """Each reader says how far it read; the command line says it in a sentence; a short question has neither."""
    cut = three().model_copy(update={"query_cut": 9})
    result = ask(ShortReranker(), cut)
    assert (result.query_truncated, result.query_tokens_read) == (True, {"embedder": 9, "reranker": 2})
    shown = result.model_dump(mode="json")
    assert (shown["query_truncated"], shown["query_tokens_read"]) == (True, {"embedder": 9, "reranker": 2})
    (told,) = [line for line in warnings(result) if "question" in line]
    assert "first 9 tokens by the embedder and its first 2 tokens by the reranker" in told
    short = ask(ShortReranker(), three(), "one tablet")
    assert (short.query_truncated, short.query_tokens_read) == (False, {})
    assert not any("question" in line for line in warnings(short))


def test_retrieval_tells_it_also_when_nobody_judged() -> None:
    """An unjudged result knows what the bi-encoder read."""
    clock = ManualClock()
    cut = three().model_copy(update={"query_cut": 9})
    result = unjudged(a_job(clock), cut, RerankUnavailable("away"), clock=clock)
    assert result.query_tokens_read == {"embedder": 9}
