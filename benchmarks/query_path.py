"""What does the way through Celery, Redis and Elasticsearch add to a query, and what does it take from the engine?

    ./do bench query_path --data FOLDER [--documents 2000] [--queries 60] [--callers 16] [--rounds 4]

Each question goes through the running system and, in turn, straight through the same calls in this process: embed,
search, read the records, fuse, rerank; by the job's own steps it is told where the difference arises. Then 16 callers
wait at once, taking turns with the engine alone on the very candidates that their questions have. Workers keep no
scores, so that every pair is computed every time.
"""

import argparse
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from corpus import documents, questions
from record import environment_of, write_result
from system import Worker, add_server_arguments, servers, workers

from second_opinion import Client
from second_opinion.pipeline.adapters.onnx_embedder import OnnxEmbedder
from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
from second_opinion.pipeline.fusion import fuse
from second_opinion.pipeline.retrieval import RetrievalParts, retrieve
from second_opinion.schemas.chunk import passage_text
from second_opinion.schemas.collection import DEFAULT_COLLECTION
from second_opinion.schemas.query import Query
from second_opinion.workers.settings import Settings
from second_opinion.workers.stores import open_elasticsearch

ROLES = ("index", "retrieve", "rerank")
WARM_UP = 3
DRAWS = 2_000
STAGES = ("embed", "search", "verify", "fuse", "rerank", "judge")


@dataclass
class Direct:
    """The same calls without anything between them."""

    settings: Settings
    reranker: OnnxReranker = field(default_factory=OnnxReranker.open)

    def __post_init__(self) -> None:
        stores = open_elasticsearch(self.settings)
        embedder = OnnxEmbedder.open(self.settings.embedder_model)
        self.parts = RetrievalParts(stores.collections, stores.documents, stores.chunks, embedder)

    def candidates(self, text: str) -> list[str]:
        """Return what the reranker reads for a question."""
        choices = self.settings.query_defaults()
        query = Query(job_id="", text=text, collection=DEFAULT_COLLECTION, choices=choices)
        found = fuse(retrieve(query, self.parts).candidates, choices).candidates
        chunks = [one.candidate.chunk for one in found]
        return [passage_text(chunk.title, chunk.headings, chunk.text) for chunk in chunks]

    def ask(self, text: str) -> dict[str, float]:
        """Do all that a query needs, and return the milliseconds of each half."""
        begun = time.perf_counter()
        passages = self.candidates(text)
        retrieved = time.perf_counter()
        self.reranker.score(text, passages)
        return {
            "candidates": (retrieved - begun) * 1_000,
            "rerank": (time.perf_counter() - retrieved) * 1_000,
        }


def main() -> None:
    """Run, print and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--documents", type=int, default=2_000)
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=4)
    add_server_arguments(parser)
    options = parser.parse_args()
    environment = environment_of(sys.argv)
    texts = questions(options.data, WARM_UP + options.queries + options.callers * options.rounds)
    with servers(options) as system, workers(system, ROLES, rerank_cache_scores="0") as running:
        with Client(system.settings()) as client:
            sent = documents(options.data, options.documents)
            client.wait_documents(client.submit_documents(sent), timeout=900)
            direct = Direct(system.settings())
            for text in texts[:WARM_UP]:
                direct.ask(text)
                client.query(text, timeout=120)
            one = one_at_a_time(client, direct, texts[WARM_UP : WARM_UP + options.queries])
            many = many_at_once(client, direct, texts[WARM_UP + options.queries :], options.callers)
        memory = {role: megabytes(worker) for role, worker in running.items()}
    write_result(
        "query_path",
        {"one_at_a_time": one, "many_at_once": many, "worker_megabytes": memory, "documents": len(sent), **environment},
    )


def one_at_a_time(client: Client, direct: Direct, texts: list[str]) -> dict[str, Any]:
    """Ask each question both ways, beginning with the other one each time."""
    walls: dict[str, list[float]] = {"system": [], "direct": []}
    steps: dict[str, list[dict[str, float]]] = {"system": [], "direct": []}
    ask = {"direct": direct.ask, "system": lambda text: steps_of(client, text)}
    for number, text in enumerate(texts):
        for side in ("system", "direct") if number % 2 else ("direct", "system"):
            begun = time.perf_counter()
            steps[side].append(ask[side](text))
            walls[side].append((time.perf_counter() - begun) * 1_000)
    added = np.subtract(walls["system"], walls["direct"])
    resampled = np.median(np.random.default_rng(0).choice(added, (DRAWS, len(added))), axis=1)
    return {
        "p50_milliseconds": {side: round(statistics.median(found), 1) for side, found in walls.items()},
        "added_p50_milliseconds": round(float(np.median(added)), 1),
        "added_p50_95_percent_interval": [round(float(one), 1) for one in np.quantile(resampled, [0.025, 0.975])],
        "goal_added_milliseconds": 15,
        "steps_p50_milliseconds": {side: medians(found) for side, found in steps.items()},
        "queries": len(texts),
    }


def steps_of(client: Client, text: str) -> dict[str, float]:
    """Ask through the system; return the milliseconds of its stages, and those between its steps, by their ends."""
    begun = time.time()
    job = client.wait(client.submit_query(text).job_id, timeout=120)
    ended = time.time()
    if job.result is None or job.finished_at is None:
        raise SystemExit(f"job {job.job_id} is {job.state}: {job.error}")
    retrieving, handed_over, reranking = (step.at for step in job.progress)
    moments = {
        "admitted": job.submitted_at,
        "begun to retrieve": retrieving,
        "handed over": handed_over,
        "begun to rerank": reranking,
        "judged": job.finished_at,
        "read by the caller": ended,
    }
    before = [begun, *moments.values()]
    between = {f"until {name}": (at - last) * 1_000 for (name, at), last in zip(moments.items(), before, strict=False)}
    return {**between, **{stage: job.result.milliseconds[stage] for stage in STAGES}}


def medians(rows: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of each figure."""
    return {name: round(statistics.median(row[name] for row in rows), 2) for name in rows[0]}


def many_at_once(client: Client, direct: Direct, texts: list[str], callers: int) -> dict[str, Any]:
    """Let callers wait at once, then give their candidates to the engine alone, round by round."""
    speeds: dict[str, list[float]] = {"system": [], "engine": []}
    with ThreadPoolExecutor(callers) as pool:
        for start in range(0, len(texts), callers):
            asked = texts[start : start + callers]
            work = [(text, direct.candidates(text)) for text in asked]
            begun = time.perf_counter()
            list(pool.map(lambda text: client.query(text, timeout=300), asked))
            speeds["system"].append(len(asked) / (time.perf_counter() - begun))
            begun = time.perf_counter()
            for text, passages in work:
                direct.reranker.score(text, passages)
            speeds["engine"].append(len(asked) / (time.perf_counter() - begun))
    ratios = [system / engine for system, engine in zip(speeds["system"], speeds["engine"], strict=True)]
    return {
        "queries_a_second": {side: round(statistics.median(found), 2) for side, found in speeds.items()},
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(one, 3) for one in ratios],
        "goal": 0.9,
        "callers": callers,
    }


def megabytes(worker: Worker) -> dict[str, float]:
    """Return what a worker held when it was ready and holds now."""
    return {"when_ready": round(worker.megabytes, 1), "after_the_work": round(worker.resident(), 1)}


if __name__ == "__main__":
    main()
