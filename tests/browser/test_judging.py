"""The browser's verdict is the server's: the same decisions, reasons and words, at any floor."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from second_opinion.pipeline.floor import judge
from second_opinion.schemas.candidate import Candidate, FusedCandidate, ScoredCandidate
from second_opinion.schemas.chunk import ChunkHit
from second_opinion.schemas.collection import QueryDefaults
from second_opinion.schemas.document import document_key
from second_opinion.schemas.trace import Trace
from tests.browser.conftest import Visit
from tests.integration.http.conftest import Served

pytestmark = pytest.mark.stack

QUESTIONS = (
    "ibuprofen dosage for children",
    "how do I reset the password of my router?",
)
FLOORS = tuple(step / 100 for step in range(101))
CAPS: tuple[dict[str, int], ...] = (
    {},
    {"top_k": 2},
    {"chunks_per_document": 1},
    {"top_k": 3, "chunks_per_document": 2},
)
SCRIPT = """async ([candidates, cases]) => {
  const { judge } = await import('/assets/js/judge.js');
  return cases.map(([floor, topK, chunksPerDocument, queryRelevance, late, unreadable]) =>
    judge(candidates, { floor, topK, chunksPerDocument }, queryRelevance, { late, unreadable }));
}"""
REFUSES = """async (text) => {
  const { judge } = await import('/assets/js/judge.js');
  const relevance = text === 'undefined' ? undefined : Number(text);
  const choices = { floor: 0, topK: 1, chunksPerDocument: 1 };
  try { judge([{ document: 'a', relevance }], choices, null); return false; }
  catch (problem) { return problem instanceof RangeError; }
}"""


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_browser_judges_as_the_server_does(visit: Visit, served_page: Served, question: str) -> None:
    """On a real trace, at 101 floors and at every relevance itself, with caps and a query's own relevance."""
    with served_page.system.client() as client:
        result = client.query(question, timeout=180.0)
        trace = client.evidence.trace(result.job_id)
    page = visit.open()
    assert len(trace.candidates) == 48
    cases = list(_cases(trace))
    for case, found in zip(cases, _judged_by_the_page(page, trace, cases), strict=True):
        floor, top_k, per_document, query_relevance, late, unreadable = case
        choices = QueryDefaults(floor=floor, top_k=top_k, chunks_per_document=per_document)
        unscored = {"unscored": late + unreadable, "unreadable": unreadable}
        verdict = judge(_scored(trace), choices, query_relevance, **unscored)
        assert found["decisions"] == [one.decision.value for one in verdict.judged], case
        assert found["outcome"] == verdict.outcome.value, case
        assert found["reason"] == (verdict.reason.value if verdict.reason else None), case
        assert found["sentence"] == verdict.sentence, case


def test_what_is_no_share_is_an_error_and_never_a_pass(visit: Visit) -> None:
    """The floor fails closed in the browser as well."""
    page = visit.open()
    for relevance in ("NaN", "undefined", "1.01", "-0.1"):
        assert page.evaluate(REFUSES, relevance), relevance


def _cases(trace: Trace) -> Iterator[tuple[float, int, int, float | None, int, int]]:
    edges = [one.relevance for one in trace.candidates[:12]]
    for caps in CAPS:
        choices = trace.choices.model_copy(update=caps)
        for floor in (*FLOORS, *edges):
            yield floor, choices.top_k, choices.chunks_per_document, trace.query_relevance, 0, 0
    for query_relevance in (0.0, 0.125, 0.375, 0.5, 1.0):
        for floor in FLOORS[::5]:
            yield floor, trace.choices.top_k, trace.choices.chunks_per_document, query_relevance, 3, 2


def _judged_by_the_page(page: Page, trace: Trace, cases: list[Any]) -> list[dict[str, Any]]:
    candidates = [{"document": one.document_id, "relevance": one.relevance} for one in trace.candidates]
    found: list[dict[str, Any]] = page.evaluate(SCRIPT, json.loads(json.dumps([candidates, cases])))
    return found


def _scored(trace: Trace) -> list[ScoredCandidate]:
    return [
        ScoredCandidate(
            fused=FusedCandidate(
                candidate=Candidate(chunk=_chunk(trace.collection, one.document_id, one.chunk_id)),
                fused_rank=one.fused_rank,
                fused_score=one.fused_score,
            ),
            raw_score=one.raw_score,
            relevance=one.relevance,
        )
        for one in trace.candidates
    ]


def _chunk(collection: str, document_id: str, chunk_id: str) -> ChunkHit:
    return ChunkHit(
        chunk_id=chunk_id,
        key=document_key(collection, document_id),
        write_set="w",
        index="i",
        collection=collection,
        document_id=document_id,
        text="",
        start=0,
        end=0,
        ordinal=0,
        count=1,
    )
