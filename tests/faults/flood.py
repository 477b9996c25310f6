"""A flood of documents beside a steady stream of queries: what it does to how long they take.

Queries are asked by the clock, whether those before are answered or not, and each is timed from the moment at which it
was due: a system that falls behind cannot hide it. Calm and flood alternate, so that both meet the same machine.
"""

import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from second_opinion import Client
from second_opinion.schemas.document import Receipt
from second_opinion.schemas.errors import OpinionError, Overloaded
from second_opinion.schemas.verdict import Outcome

CALM: Final = "calm"
FLOOD: Final = "flood"
BATCH: Final = 8
QUERY_SECONDS: Final = 60.0
SETTLE_SECONDS: Final = 300.0
RESAMPLES: Final = 2_000
THINGS: Final = ("tithes", "ferries", "harvests", "lanterns", "bridges", "orchards", "mills", "bells")
PLACES: Final = ("harbour", "abbey", "market", "ford", "tower", "granary", "quay", "chapel")


@dataclass(frozen=True, slots=True)
class Rates:
    """What is asked of the system.

    Attributes:
        queries: A second.
        calm: Documents a second beside them in a calm phase.
        flood: Documents a second in a flood; as many as the system takes where that is less.
        candidates: Passages that are reranked for a query.
    """

    queries: float = 2.0
    calm: float = 2.0
    flood: float = 20.0
    candidates: int = 10


@dataclass(slots=True)
class Phase:
    """One stretch of time.

    Attributes:
        latencies: Seconds of each query, from when it was due.
        stages: Milliseconds of each query, by stage, as its result tells them.
        sent: Documents that were.
        indexed: How many of them were searchable when it ended.
        failed: Queries that were not answered, with why.
        cpu: Processor seconds by who used them meanwhile.
    """

    kind: str
    latencies: list[float] = field(default_factory=list)
    stages: list[dict[str, float]] = field(default_factory=list)
    sent: int = 0
    indexed: int = 0
    seconds: float = 0.0
    failed: list[str] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=dict)


class River:
    """Queries and documents of one system.

    Args:
        client: Of the system.
        rates: What is asked of it.
        documents: How many there are before anything is measured.
        seed: Of the texts and questions; none is asked twice, since its scores would be known.
        cpu: Tells the processor seconds that everybody has used so far.
    """

    def __init__(
        self, client: Client, rates: Rates, *, documents: int, seed: int = 0, cpu: Callable[[], dict[str, float]] = dict
    ) -> None:
        self._client = client
        self._cpu = cpu
        self._rates = rates
        self._random = random.Random(seed)  # noqa: S311 - has to be repeatable
        self._made = 0
        self._asked = 0
        receipts = client.submit_documents([self._document() for _ in range(documents)])
        assert len(client.wait_documents(receipts, timeout=SETTLE_SECONDS)) == documents
        for _ in range(3):
            client.query(self._question(), floor=0.0, candidates=rates.candidates)

    def phase(self, kind: str, seconds: float) -> Phase:
        """Ask and send for so many seconds, calmly or not; return once all of it is answered and searchable."""
        found, over = Phase(kind), threading.Event()
        rate = self._rates.calm if kind == CALM else self._rates.flood
        receipts: list[Receipt] = []
        sender = threading.Thread(target=self._send, args=(rate, over, receipts), daemon=True)
        begun, cpu = time.monotonic(), self._cpu()
        with ThreadPoolExecutor(64) as pool:
            sender.start()
            asked = list(self._ask(pool, found, begun + seconds))
            over.set()
            sender.join()
            found.seconds = time.monotonic() - begun
            found.cpu = {name: used - cpu[name] for name, used in self._cpu().items()}
            found.sent, found.indexed = len(receipts), len(receipts) - self._pending(receipts)
            for one in asked:
                one.result()
        self._client.wait_documents(receipts, timeout=SETTLE_SECONDS)
        return found

    def _ask(self, pool: ThreadPoolExecutor, found: Phase, until: float) -> Iterator[Future[None]]:
        due = time.monotonic()
        while due < until:
            time.sleep(max(0.0, due - time.monotonic()))
            yield pool.submit(self._query, self._question(), due, found)
            due += 1.0 / self._rates.queries

    def _query(self, question: str, due: float, found: Phase) -> None:
        try:
            result = self._client.query(question, floor=0.0, candidates=self._rates.candidates, timeout=QUERY_SECONDS)
        except OpinionError as problem:
            found.failed.append(f"{problem.code}: {problem.message}")
            return
        found.latencies.append(time.monotonic() - due)
        found.stages.append(dict(result.milliseconds))
        if result.outcome is not Outcome.ANSWERED:
            found.failed.append(f"{result.outcome}: {result.sentence}")

    def _send(self, rate: float, over: threading.Event, receipts: list[Receipt]) -> None:
        due = time.monotonic()
        while not over.is_set():
            with suppress(Overloaded):
                receipts += self._client.submit_documents([self._document() for _ in range(BATCH)])
            due += BATCH / rate
            over.wait(max(0.0, due - time.monotonic()))

    def _pending(self, receipts: Sequence[Receipt]) -> int:
        statuses = self._client.document_statuses([(one.collection, one.document_id) for one in receipts])
        return sum(not one.current for one in statuses.values())

    def _document(self) -> dict[str, Any]:
        self._made += 1
        told = [self._sentence() for _ in range(24)]
        text = "\n\n".join(" ".join(told[start : start + 8]) for start in range(0, len(told), 8))
        return {"id": f"river/{self._made}", "title": f"Ledger {self._made}", "text": text}

    def _question(self) -> str:
        self._asked += 1
        return f"How many {self._one(THINGS)} did the {self._one(PLACES)} count in year {self._asked}?"

    def _sentence(self) -> str:
        count, year = self._random.randrange(1, 900), self._random.randrange(1_100, 1_900)
        return f"In the year {year} the {self._one(PLACES)} counted {count} {self._one(THINGS)}."

    def _one(self, words: Sequence[str]) -> str:
        return self._random.choice(words)


def figures(phases: Sequence[Phase], flood: str = FLOOD) -> dict[str, Any]:
    """Return the percentiles of calm and one kind of flood, and their ratios with 95 % intervals, rounds resampled."""
    calm, floods = ([one for one in phases if one.kind == kind] for kind in (CALM, flood))
    over, under = ([one.latencies for one in found] for found in (floods, calm))
    ratios = {f"p{percent}_ratio": _ratio(over, under, percent) for percent in (50, 95)}
    return {CALM: _told(calm), FLOOD: _told(floods), **ratios}


def _told(phases: Sequence[Phase]) -> dict[str, Any]:
    latencies = [seconds for one in phases for seconds in one.latencies]
    names = ("queue_retrieve", "search", "queue_rerank", "rerank")
    stages = {name: [one[name] for phase in phases for one in phase.stages if name in one] for name in names}
    seconds = sum(one.seconds for one in phases)
    return {
        "queries": len(latencies),
        "failed": [line for one in phases for line in one.failed],
        "seconds": {f"p{percent}": round(float(np.percentile(latencies, percent)), 3) for percent in (50, 95, 99)},
        "p95_of_each_phase": [round(float(np.percentile(one.latencies, 95)), 3) for one in phases],
        "stages_p50_milliseconds": {
            name: round(statistics.median(found), 1) for name, found in stages.items() if found
        },
        "stages_p95_milliseconds": {
            name: round(float(np.percentile(found, 95)), 1) for name, found in stages.items() if found
        },
        "cores_used": {name: round(sum(one.cpu[name] for one in phases) / seconds, 2) for name in phases[0].cpu},
        "documents_sent_a_second": round(sum(one.sent for one in phases) / seconds, 1),
        "documents_searchable_a_second": round(sum(one.indexed for one in phases) / seconds, 1),
    }


def _ratio(over: list[list[float]], under: list[list[float]], percent: int) -> dict[str, float]:
    """Return the ratio of two percentiles; rounds are drawn, and queries within them."""
    rng = np.random.default_rng(0)

    def drawn(rounds: list[list[float]], picks: Any) -> float:
        values = np.concatenate([rng.choice(rounds[pick], len(rounds[pick])) for pick in picks])
        return float(np.percentile(values, percent))

    resampled = []
    for _ in range(RESAMPLES):
        picks = rng.integers(0, len(under), len(under))
        resampled.append(drawn(over, picks) / drawn(under, picks))
    value = float(np.percentile(np.concatenate(over), percent) / np.percentile(np.concatenate(under), percent))
    low, high = np.percentile(resampled, (2.5, 97.5))
    return {"value": round(value, 3), "low": round(float(low), 3), "high": round(float(high), 3)}
