"""Reranking of callers' own passages: order, relevance, bounds, and what ends it."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from second_opinion.gateway.http.rerank import SLICE, RerankDesk, RerankQuestion
from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
from second_opinion.pipeline.calibration import NoCalibration
from second_opinion.pipeline.ports import Guard, TimedReranker, TimeIsOver, no_guard
from second_opinion.schemas.errors import (
    DeadlineExceeded,
    DocumentTooLarge,
    EmptyQuery,
    NotFound,
    OpinionError,
    Overloaded,
    RerankUnavailable,
    TextUnreadable,
    UnknownReranker,
)
from second_opinion.testing.models import WordReranker

QUERY = "refunds manager"
PASSAGES = ["A dog in the office.", "A manager approves refunds.", "Refunds take a week."]


class PacedReranker(WordReranker):
    """Takes its time for each passage, remembers what it has read, and fails on what is marked."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds = seconds
        self.read: list[str] = []

    def score_in_time(  # type: ignore[override] # as the port has it: an error may stand for a score
        self, query: str, passages: Sequence[str], *, is_over: TimeIsOver | None = None, guard: Guard = no_guard
    ) -> list[float | OpinionError | None]:
        """Return one raw score for each passage, or an error."""
        scores: list[float | OpinionError | None] = []
        for passage in passages:
            guard()
            time.sleep(self.seconds)
            self.read.append(passage)
            [score] = super().score_in_time(query, [passage], is_over=is_over)
            scores.append(TextUnreadable("it has a skull on it") if "☠" in passage else score)
        return scores


@dataclass
class Served:
    """A reranker as the desk wants it."""

    name: str
    reranker: TimedReranker
    calibration: NoCalibration = field(default_factory=lambda: NoCalibration("logit"))

    def close(self) -> None:
        """Give back what it has."""
        if isinstance(self.reranker, OnnxReranker):
            self.reranker.close()


def desk_of(*rerankers: TimedReranker, seconds: float = 30.0, most_passages: int = 1_000) -> RerankDesk:
    """Return a desk that serves these: `first`, `second`."""
    served = [Served(name, one) for name, one in zip(("first", "second"), rerankers, strict=False)]
    return RerankDesk(lambda: served, seconds=seconds, most_passages=most_passages)


@pytest.fixture
def reranker() -> PacedReranker:
    """A reranker that takes no time."""
    return PacedReranker()


@pytest.fixture
async def desk(reranker: PacedReranker) -> AsyncIterator[RerankDesk]:
    """A desk with one reranker."""
    made = desk_of(reranker, WordReranker())
    yield made
    made.close()


@pytest.fixture(scope="module")
def bundled() -> Iterator[OnnxReranker]:
    """The model that comes with the package."""
    model = OnnxReranker.open(threads=2)
    yield model
    model.close()


async def test_passages_come_back_best_first_with_their_relevance(desk: RerankDesk) -> None:
    """The order is that of the raw scores, each passage is there once, and relevance is calibrated."""
    found = await desk.rank(RerankQuestion(QUERY, PASSAGES))
    assert [one.index for one in found.places] == [1, 2, 0]
    assert [one.raw_score for one in found.places] == [5.0, 0.0, -5.0]
    assert [one.relevance for one in found.places] == NoCalibration("logit").relevance([5.0, 0.0, -5.0])
    assert (found.name, found.model) == ("first", "word-reranker@1")


async def test_equal_passages_are_read_once_and_keep_their_order(desk: RerankDesk, reranker: PacedReranker) -> None:
    """A text that occurs again has the same score, in the order of its places."""
    found = await desk.rank(RerankQuestion(QUERY, [PASSAGES[1], PASSAGES[0], PASSAGES[1]]))
    assert [one.index for one in found.places] == [0, 2, 1]
    assert reranker.read == [PASSAGES[1], PASSAGES[0]]


async def test_blank_passages_are_last_with_nothing(desk: RerankDesk) -> None:
    """What has no text is relevant to nothing, whatever the model makes of it; no floor keeps the others out."""
    found = await desk.rank(RerankQuestion(QUERY, ["", *PASSAGES, " \n"]))
    assert [one.index for one in found.places] == [2, 3, 1, 0, 4]
    assert [one.relevance for one in found.places[3:]] == [0.0, 0.0]


async def test_a_passage_that_cannot_be_read_is_named_and_the_others_are_ranked(desk: RerankDesk) -> None:
    """One text on which the model fails costs the others nothing, and has no score."""
    found = await desk.rank(RerankQuestion(QUERY, [PASSAGES[0], "☠", PASSAGES[1]]))
    assert [one.index for one in found.places] == [2, 0]
    assert [(number, one.code) for number, one in found.unreadable.items()] == [(1, "text_unreadable")]


@pytest.mark.parametrize(
    ("asked", "answers"),
    [("", "first"), ("rerank-v3.5", "first"), ("second", "second"), ("word-reranker", "first")],
)
async def test_a_name_chooses_the_reranker(desk: RerankDesk, asked: str, answers: str) -> None:
    """Its own name or its model's; a provider's name of a rerank model, or none, means the first."""
    assert (await desk.rank(RerankQuestion(QUERY, PASSAGES, model=asked))).name == answers


async def test_an_unknown_name_is_refused(desk: RerankDesk) -> None:
    """Nobody is answered by another model than he asked for."""
    with pytest.raises(UnknownReranker, match="'gpt-4' not found") as caught:
        await desk.rank(RerankQuestion(QUERY, PASSAGES, model="gpt-4"))
    assert "first, second" in caught.value.hint


async def test_a_blank_question_is_refused(desk: RerankDesk) -> None:
    """There is nothing to be relevant to."""
    with pytest.raises(EmptyQuery):
        await desk.rank(RerankQuestion(" \n", PASSAGES))


async def test_a_desk_without_rerankers_says_how_to_get_them() -> None:
    """Switched off is not the same as broken."""
    with pytest.raises(NotFound) as caught:
        await RerankDesk(None, seconds=1.0, most_passages=10).rank(RerankQuestion(QUERY, PASSAGES))
    assert "OPINION_GATEWAY_RERANK" in caught.value.hint


async def test_models_are_loaded_once_at_the_first_request() -> None:
    """Ten requests at once find one set of models."""
    opened: list[int] = []

    def open_rerankers() -> list[Served]:
        opened.append(1)
        time.sleep(0.05)
        return [Served("first", WordReranker())]

    desk = RerankDesk(open_rerankers, seconds=10.0, most_passages=1_000)
    assert not desk.is_open
    await asyncio.gather(*(desk.rank(RerankQuestion(QUERY, PASSAGES)) for _ in range(10)))
    assert opened == [1]
    assert desk.is_open
    desk.close()


async def test_beyond_its_bound_a_desk_says_when_to_come_back() -> None:
    """What would make too many passages wait is refused at once, with a time, and taken later."""
    desk = desk_of(PacedReranker(0.01), most_passages=50)
    first = asyncio.create_task(desk.rank(RerankQuestion(QUERY, [f"passage {n}" for n in range(40)])))
    await asyncio.sleep(0.05)
    with pytest.raises(Overloaded) as caught:
        await desk.rank(RerankQuestion(QUERY, PASSAGES * 5))
    assert caught.value.retry_after >= 1.0
    assert len((await desk.rank(RerankQuestion(QUERY, PASSAGES))).places) == 3
    assert len((await first).places) == 40
    assert len((await desk.rank(RerankQuestion(QUERY, PASSAGES * 5))).places) == 15
    desk.close()


async def test_a_request_that_comes_alone_is_taken_whatever_its_size(reranker: PacedReranker) -> None:
    """A bound on what waits is no bound on what one request may bring."""
    desk = desk_of(reranker, most_passages=10)
    found = await desk.rank(RerankQuestion(QUERY, [f"passage {n}" for n in range(100)]))
    assert len(found.places) == 100
    desk.close()


async def test_a_request_that_takes_too_long_ends() -> None:
    """The deadline holds within one passage, and the reranker reads no further."""
    reranker = PacedReranker(0.02)
    desk = desk_of(reranker, seconds=0.2)
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await desk.rank(RerankQuestion(QUERY, [f"passage {n}" for n in range(500)]))
    assert time.monotonic() - began < 5.0
    assert len(reranker.read) < 100
    desk.close()


async def test_a_caller_who_leaves_stops_the_work() -> None:
    """What nobody waits for is not read, and its place is free again."""
    reranker = PacedReranker(0.02)
    desk = desk_of(reranker, most_passages=200)
    task = asyncio.create_task(desk.rank(RerankQuestion(QUERY, [f"passage {n}" for n in range(200)])))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.2)
    read = len(reranker.read)
    assert 0 < read < 100
    await asyncio.sleep(0.2)
    assert len(reranker.read) == read
    assert len((await desk.rank(RerankQuestion(QUERY, PASSAGES))).places) == 3
    desk.close()


async def test_a_closed_desk_is_unavailable(reranker: PacedReranker) -> None:
    """Whoever comes too late is told to try again, which another process will answer."""
    desk = desk_of(reranker)
    desk.close()
    with pytest.raises(RerankUnavailable):
        await desk.rank(RerankQuestion(QUERY, PASSAGES))


async def test_a_short_list_does_not_wait_for_a_long_one(bundled: OnnxReranker) -> None:
    """Requests share the engine slice by slice, so two passages are done long before three hundred."""
    desk = desk_of(bundled, seconds=240.0)
    began = time.monotonic()
    long = asyncio.create_task(desk.rank(RerankQuestion(QUERY, [f"refund number {n}" for n in range(10 * SLICE)])))
    await asyncio.sleep(0.1)
    await desk.rank(RerankQuestion(QUERY, PASSAGES))
    short_took = time.monotonic() - began
    assert not long.done()
    await long
    assert short_took < (time.monotonic() - began) / 2


async def test_the_model_scores_as_it_does_alone(bundled: OnnxReranker) -> None:
    """Slices and company change no bit of a score, and as much of a passage is read as was asked for."""
    desk = desk_of(bundled)
    passages = [f"{text} ({n})" for n in range(SLICE) for text in PASSAGES]
    found = await desk.rank(RerankQuestion(QUERY, passages))
    alone = bundled.score(QUERY, passages)
    assert {one.index: one.raw_score for one in found.places} == dict(enumerate(alone))
    cut = await desk.rank(RerankQuestion(QUERY, ["A manager approves refunds."], most_tokens=2))
    assert [one.raw_score for one in cut.places] == bundled.score(QUERY, ["A manager"])


async def test_passages_beyond_the_window_are_named_or_refused(bundled: OnnxReranker) -> None:
    """Nobody believes that the end of a long passage was read when it was not."""
    desk = desk_of(bundled)
    passages = ["short", "word " * 600, "word " * 300]
    found = await desk.rank(RerankQuestion("why " * 300, passages))
    assert found.cut == (1, 2)
    assert found.query_tokens_read == bundled.tokenizer.max_query_tokens
    assert (await desk.rank(RerankQuestion("why", passages))).cut == (1,)
    assert (await desk.rank(RerankQuestion("why", passages, most_tokens=100))).cut == ()
    with pytest.raises(DocumentTooLarge, match="passage 1"):
        await desk.rank(RerankQuestion("why", passages, must_fit=True))


async def test_no_thread_is_left_behind(reranker: PacedReranker) -> None:
    """Closing a desk ends its threads."""
    before, desk = set(threading.enumerate()), desk_of(reranker)
    await desk.rank(RerankQuestion(QUERY, PASSAGES))
    assert set(threading.enumerate()) - before
    desk.close()
    until = time.monotonic() + 5.0
    while set(threading.enumerate()) - before:
        assert time.monotonic() < until
        await asyncio.sleep(0.01)
