"""Reranking for callers who bring their own passages: the bundled model in this process, with calibrated relevance.

There is no floor here and nothing is stored: a question and texts go in, an order and a relevance for each come out.
All requests share one engine. It serves them in slices, so that a short list does not wait for the end of a long one.
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from second_opinion.gateway.http.rerank_load import REQUESTS_AT_ONCE, Load
from second_opinion.pipeline.ports import Calibration, Guard, PassageReader, QueryReader, TimedReranker
from second_opinion.schemas.errors import (
    DeadlineExceeded,
    DocumentTooLarge,
    EmptyQuery,
    JobCancelled,
    NotFound,
    OpinionError,
    RelevanceMissing,
    RerankUnavailable,
    UnknownReranker,
)

log = structlog.get_logger(__name__)

SLICE: Final = 32
"""Passages that a request gives to the engine at a time; then others have their turn."""
ANY_RERANKER: Final = "rerank"
"""Programs written for a provider name that provider's model: a name that begins so means the one that is here."""


class ServedReranker(Protocol):
    """A reranker with its name and its calibration, as the composition root opens it."""

    @property
    def name(self) -> str:
        """Its name in the settings."""

    @property
    def reranker(self) -> TimedReranker:
        """The model."""

    @property
    def calibration(self) -> Calibration:
        """What makes relevance of its raw scores."""

    def close(self) -> None:
        """Give the model back."""


@dataclass(frozen=True, slots=True)
class RerankQuestion:
    """A question with the passages to put in order.

    Attributes:
        model: Name of the reranker; empty for the first one.
        most_tokens: Tokens of a passage to read, if that is less than the model reads; None for all that it reads.
        must_fit: Refuse passages that the model does not read to their end, instead of reading their beginning.
    """

    query: str
    passages: Sequence[str]
    model: str = ""
    most_tokens: int | None = None
    must_fit: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """One passage in the order: its number in the question, from 0, and what the model and the calibration say."""

    index: int
    raw_score: float
    relevance: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """The order that a reranker gives to passages.

    Attributes:
        places: Best first, by raw score; blank passages are last and have a relevance of 0.
        unreadable: By number, why the model could not read the others.
        cut: Numbers of the passages that are longer than the model reads.
        query_tokens_read: Tokens of the question that were read, if it has more.
        name: Of the reranker in the settings.
        model: Id and revision of the model.
    """

    places: tuple[Place, ...]
    calibration: Calibration
    name: str
    model: str
    unreadable: dict[int, OpinionError] = field(default_factory=dict)
    cut: tuple[int, ...] = ()
    query_tokens_read: int | None = None


class RerankDesk:
    """Answers rerank requests of one process.

    Args:
        open_rerankers: Opens the rerankers, the default one first; called once, at the first request or by `open`.
            None where this endpoint is switched off.
        seconds: How long a request may take.
        most_passages: Passages that may wait or be read at once, of all requests; a request that comes alone is taken
            whatever its size.
    """

    def __init__(
        self, open_rerankers: Callable[[], Sequence[ServedReranker]] | None, *, seconds: float, most_passages: int
    ) -> None:
        self._open_rerankers = open_rerankers
        self._seconds = seconds
        self._load = Load(most_passages)
        self._threads = ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="rerank")
        self._opening = threading.Lock()
        self._opened: dict[str, ServedReranker] = {}
        self._closed = False

    @property
    def is_open(self) -> bool:
        """True once the models are loaded."""
        return bool(self._opened)

    @property
    def waiting(self) -> int:
        """How many passages wait or are being read."""
        return self._load.passages

    def open(self) -> None:
        """Load the models now.

        Raises:
            OpinionError: Why they cannot be used.
        """
        self._rerankers()

    def close(self) -> None:
        """Give the models back; requests under way are told that they are unavailable."""
        self._closed = True
        with self._opening:
            for one in self._opened.values():
                one.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def rank(self, question: RerankQuestion) -> Ranking:
        """Put the passages of a question in order. Work that is cancelled ends within a few milliseconds.

        Raises:
            EmptyQuery: If the question has no text.
            UnknownReranker: If there is no reranker of this name.
            NotFound: If this endpoint is switched off.
            DocumentTooLarge: If a passage has to fit and does not.
            Overloaded: If too many passages wait already.
            DeadlineExceeded: If it takes too long.
            RerankUnavailable: If this process is about to end, or is out of memory.
        """
        if self._open_rerankers is None:
            raise NotFound("this gateway serves no reranker", hint="Start it with OPINION_GATEWAY_RERANK=lazy.")
        if not question.query.strip():
            raise EmptyQuery("the query is empty")
        if self._closed:
            raise RerankUnavailable("this gateway is about to end", retry_after=1.0)
        abandoned, until = threading.Event(), time.monotonic() + self._seconds

        def guard() -> None:
            if abandoned.is_set():
                raise JobCancelled("nobody waits for this answer any more")
            if time.monotonic() > until:
                raise DeadlineExceeded(
                    f"{len(question.passages)} passages could not be read within {self._seconds:g} seconds",
                    hint="Send fewer or shorter passages.",
                )

        self._load.take(len(question.passages))
        try:
            task = self._threads.submit(self._rank, question, guard)
        except RuntimeError:
            self._load.give_back(len(question.passages))
            raise RerankUnavailable("this gateway is about to end", retry_after=1.0) from None
        task.add_done_callback(lambda _: self._load.give_back(len(question.passages)))
        try:
            return await asyncio.wrap_future(task)
        except asyncio.CancelledError:
            abandoned.set()
            raise

    def _rank(self, question: RerankQuestion, guard: Guard) -> Ranking:
        guard()
        served = self._named(question.model)
        passages = _within(question, served.reranker)
        cut = _cut(question.query, passages, served.reranker, guard)
        if cut and question.must_fit:
            raise DocumentTooLarge(
                f"passage {cut[0]} is longer than the model reads ({served.reranker.spec.max_tokens} tokens)",
                hint="Send `truncate`: true to have its beginning read, or send it in parts.",
            )
        outcomes = self._scored(question.query, passages, served.reranker, guard)
        spec = served.reranker.spec
        return Ranking(
            places=_places(passages, outcomes, served.calibration),
            unreadable={n: one for n, text in enumerate(passages) if isinstance(one := outcomes[text], OpinionError)},
            cut=cut,
            query_tokens_read=_query_cut(question.query, served.reranker),
            calibration=served.calibration,
            name=served.name,
            model=f"{spec.model}@{spec.revision}",
        )

    def _scored(
        self, query: str, passages: Sequence[str], reranker: TimedReranker, guard: Guard
    ) -> dict[str, float | OpinionError]:
        """Return a raw score for each text, or why it has none; each text is read once."""
        texts = list(dict.fromkeys(passages))
        found: dict[str, float | OpinionError] = {}
        for start in range(0, len(texts), SLICE):
            batch = texts[start : start + SLICE]
            with self._load.measured(len(batch)):
                outcomes = reranker.score_in_time(query, batch, guard=guard)
            for text, outcome in zip(batch, outcomes, strict=True):
                if outcome is None or (isinstance(outcome, float) and not math.isfinite(outcome)):
                    raise RelevanceMissing(f"the reranker has a raw score of {outcome} for a passage")
                found[text] = outcome
        return found

    def _named(self, name: str) -> ServedReranker:
        known = self._rerankers()
        if name in known:
            return known[name]
        if not name or name.startswith(ANY_RERANKER):
            return next(iter(known.values()))
        for one in known.values():
            if name == one.reranker.spec.model:
                return one
        raise UnknownReranker(
            f"model {name!r} not found",
            hint=f"Name one of: {', '.join(known)}; or leave `model` out for the first one.",
        )

    def _rerankers(self) -> dict[str, ServedReranker]:
        with self._opening:
            if self._closed:
                raise RerankUnavailable("this gateway is about to end", retry_after=1.0)
            if not self._opened and self._open_rerankers is not None:
                began = time.monotonic()
                self._opened = {one.name: one for one in self._open_rerankers()}
                log.info("rerankers_opened", names=list(self._opened), seconds=round(time.monotonic() - began, 3))
            return self._opened


def _within(question: RerankQuestion, reranker: TimedReranker) -> list[str]:
    """Return the passages as far as the caller wants them read."""
    most = question.most_tokens
    if most is None or most >= reranker.spec.max_tokens or not isinstance(reranker, PassageReader):
        return list(question.passages)
    return [reranker.beginning(passage, most) for passage in question.passages]


def _cut(query: str, passages: Sequence[str], reranker: TimedReranker, guard: Guard) -> tuple[int, ...]:
    if not isinstance(reranker, PassageReader):
        return ()
    found = []
    for number, passage in enumerate(passages):
        guard()
        # A token has at least one character, so a short pair need not be counted.
        if len(query) + len(passage) > reranker.spec.max_tokens // 2 and not reranker.reads_whole(query, passage):
            found.append(number)
    return tuple(found)


def _query_cut(query: str, reranker: TimedReranker) -> int | None:
    return reranker.query_cut(query) if isinstance(reranker, QueryReader) else None


def _places(
    passages: Sequence[str], outcomes: Mapping[str, float | OpinionError], calibration: Calibration
) -> tuple[Place, ...]:
    read = [(index, score) for index, text in enumerate(passages) if isinstance(score := outcomes[text], float)]
    relevance = calibration.relevance([score for _, score in read])
    if not all(0.0 <= value <= 1.0 for value in relevance):
        raise RelevanceMissing("the calibration returned a relevance that is no probability")
    places = [
        Place(index, score, value if passages[index].strip() else 0.0)
        for (index, score), value in zip(read, relevance, strict=True)
    ]
    return tuple(sorted(places, key=lambda one: (not passages[one.index].strip(), -one.raw_score, one.index)))
