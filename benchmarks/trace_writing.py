"""What writing traces costs a query.

    ./do bench trace_writing --rounds 12 --queries 20

Runs both halves of a query in one process as the workers do, with the real models, Elasticsearch and Redis, over real
documents. Each round asks the same questions with traces and without, the order changing from round to round, and the
writer is emptied between. Reported are the ratio of the two times of the same query, with a bootstrap interval over
rounds, and the ratio of processor time, which other work on the machine disturbs less.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from record import environment_of, write_result

from second_opinion import Client
from second_opinion.ops.stack import LocalStack
from second_opinion.pipeline.answer import retrieve_candidates
from second_opinion.schemas.job import JobState
from second_opinion.schemas.messages import RerankCandidates
from second_opinion.schemas.query import Query
from second_opinion.workers import bootstrap
from second_opinion.workers.settings import Settings
from second_opinion.workers.stores import open_connection, open_traces
from second_opinion.workers.tasks.rerank import rerank_candidates
from second_opinion.workers.trace_writer import TraceWriter

SET = "squad2_dev"


class Bench:
    """Both workers of the query path in this process."""

    def __init__(self, settings: Settings) -> None:
        self.retrieving = bootstrap.retrieve_parts(settings)
        self.reranking = bootstrap.rerank_parts(settings.model_copy(update={"trace_days": 0}))
        self.traces = open_traces(settings, open_connection(settings))
        self.choices = settings.query_defaults()
        self.asked = 0

    def block(self, questions: list[str], *, traced: bool) -> tuple[list[float], float]:
        """Ask questions; return the seconds of each, and the processor seconds of all with the writing."""
        writer = TraceWriter(self.traces) if traced else None
        cpu = time.process_time()
        walls = [self._ask(question, writer) for question in questions]
        if writer is not None:
            writer.close()
            assert writer.dropped == 0
        return walls, time.process_time() - cpu

    def _ask(self, question: str, writer: TraceWriter | None) -> float:
        self.asked += 1
        query = Query(job_id=f"bench-{self.asked}", text=question, collection="default", choices=self.choices)
        jobs, clock = self.reranking.jobs, self.reranking.clock
        now = clock.now()
        job = jobs.create(query, submitted_at=now, expires_at=now + 600)
        started = time.perf_counter()
        self.reranking.candidates.put(job.job_id, retrieve_candidates(job, self.retrieving.retrieval, clock=clock))
        rerank_candidates(RerankCandidates(job_id=job.job_id), replace(self.reranking, traces=writer))
        wall = time.perf_counter() - started
        assert jobs.get(job.job_id).state is JobState.DONE
        return wall


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON lines file."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def ingest(settings: Settings, data: Path, wanted: int) -> None:
    """Make documents searchable."""
    found = [row for _, row in zip(range(wanted), rows(data / SET / "corpus.jsonl"), strict=False)]
    with Client(settings) as client:
        sent = client.submit_documents({"id": row["id"], "title": row["title"], "text": row["text"]} for row in found)
        settled = client.wait_documents(sent, timeout=600)
        assert len(settled) == len(found)


def measure(settings: Settings, questions: list[str], rounds: int) -> dict[str, Any]:
    """Ask every round's questions with and without traces."""
    bench, size = Bench(settings), len(questions) // rounds
    bench.block(questions[:size], traced=True)
    walls: dict[bool, list[list[float]]] = {True: [], False: []}
    cpus: dict[bool, list[float]] = {True: [], False: []}
    for number in range(rounds):
        block = questions[number * size : (number + 1) * size]
        for traced in (True, False) if number % 2 else (False, True):
            seconds, cpu = bench.block(block, traced=traced)
            walls[traced].append(seconds)
            cpus[traced].append(cpu)
    return {
        "queries_a_side": rounds * size,
        "candidates": settings.candidates,
        "p50_milliseconds": {
            name: round(statistics.median(chain.from_iterable(walls[traced])) * 1_000, 2)
            for name, traced in (("with", True), ("without", False))
        },
        "p50_of_the_ratio_of_the_same_query": ratio(np.array(walls[True]), np.array(walls[False])),
        "processor_time_ratio": ratio_of_sums(np.array(cpus[True]), np.array(cpus[False])),
    }


def ratio(with_traces: np.ndarray, without: np.ndarray) -> dict[str, float]:
    """Return the median of the ratio of the same query's two times, rounds resampled."""
    ratios = with_traces / without
    picks = np.random.default_rng(0).integers(0, len(ratios), (2_000, len(ratios)))
    return estimate(float(np.median(ratios)), [float(np.median(ratios[pick])) for pick in picks])


def ratio_of_sums(with_traces: np.ndarray, without: np.ndarray) -> dict[str, float]:
    """Return the ratio of processor time, rounds resampled."""
    picks = np.random.default_rng(0).integers(0, len(without), (2_000, len(without)))
    resampled = [float(with_traces[pick].sum() / without[pick].sum()) for pick in picks]
    return estimate(float(with_traces.sum() / without.sum()), resampled)


def estimate(value: float, resampled: list[float]) -> dict[str, float]:
    """Return a value with its 95 % interval."""
    low, high = np.percentile(resampled, (2.5, 97.5))
    return {"value": round(value, 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def main() -> None:
    """Run the benchmark and write its result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--documents", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--queries", type=int, default=20, help="questions a round")
    options = parser.parse_args()
    about = environment_of(sys.argv)
    texts = [row["text"] for row in rows(options.data / SET / "queries.jsonl") if row["split"] == "dev"]
    random.Random(0).shuffle(texts)
    with tempfile.TemporaryDirectory(prefix="second-opinion-") as folder:
        Path(folder).chmod(0o755)
        stack = LocalStack(Path(folder), elasticsearch_port=0, redis_port=0)
        plan = stack.up({"index": 1}, progress=lambda line: print(line, file=sys.stderr))
        try:
            settings = Settings(
                state_dir=Path(folder),
                elasticsearch_url=plan.elasticsearch_url,
                broker_url=plan.broker_url,
                jobs_url=plan.jobs_url,
                cache_url=plan.cache_url,
            )
            ingest(settings, options.data, options.documents)
            figures = measure(settings, texts[: options.rounds * options.queries], options.rounds)
        finally:
            stack.down()
    write_result("trace_writing", {**about, "documents": options.documents, **figures})


if __name__ == "__main__":
    main()
