"""The main job on real documents: ingest them through the whole system, count what arrived, ask real questions.

    ./do bench main_job --documents 10000 --queries 200

Starts a stack of its own with one worker of each role, so that nothing else is measured; prints one JSON object.
"""

import argparse
import hashlib
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from record import environment_of, write_result

from second_opinion import Client
from second_opinion.ops.stack import LocalStack
from second_opinion.pipeline.chunking import open_chunker
from second_opinion.schemas.document import DocumentInput
from second_opinion.workers.routing import ROLES
from second_opinion.workers.settings import Settings
from second_opinion.workers.stores import open_elasticsearch

SETS = ("squad2_dev", "nq_open", "covid_qa", "scifact", "pubmedqa", "chunking_eval")


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON lines file."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def documents(data: Path, wanted: int) -> list[DocumentInput]:
    """Return the first documents of the sets, each once."""
    found: list[DocumentInput] = []
    for name in SETS:
        for row in json_lines(data / name / "corpus.jsonl"):
            if row["text"].strip():
                found.append(DocumentInput(id=f"{name}/{row['id']}", title=row["title"], text=row["text"]))
            if len(found) == wanted:
                return found
    return found


def questions(data: Path, wanted: int) -> list[str]:
    """Return questions of the sets' `dev` splits in an order that is random and always the same."""
    texts = [row["text"] for name in SETS for row in json_lines(data / name / "queries.jsonl") if row["split"] == "dev"]
    random.Random(0).shuffle(texts)
    return texts[:wanted]


def ingest(client: Client, sent: list[DocumentInput]) -> dict[str, Any]:
    """Send everything and wait until all of it is searchable."""
    started = time.perf_counter()
    receipts = client.submit_documents(sent)
    accepted = time.perf_counter()
    settled = client.wait_documents(receipts, timeout=300)
    searchable = time.perf_counter()
    statuses = [one.status for one in settled if one.status is not None]
    return {
        "receipts": dict(Counter(receipt.outcome for receipt in receipts)),
        "states": dict(Counter(status.state for status in statuses)),
        "lost": len(sent) - sum(status.current for status in statuses),
        "chunks_committed": sum(status.chunks for status in statuses),
        "accept_seconds": round(accepted - started, 2),
        "searchable_seconds": round(searchable - started, 2),
        "documents_per_second": round(len(sent) / (searchable - started), 1),
    }


def ask(client: Client, texts: list[str]) -> dict[str, Any]:
    """Ask one question after the other; return percentiles by stage, and how the questions ended."""
    stages: dict[str, list[float]] = {}
    ended: dict[str, int] = {}
    walls = []
    for text in texts:
        started = time.perf_counter()
        result = client.query(text, timeout=60)
        walls.append((time.perf_counter() - started) * 1_000)
        ended[result.outcome] = ended.get(result.outcome, 0) + 1
        for stage, milliseconds in result.milliseconds.items():
            stages.setdefault(stage, []).append(milliseconds)
    stages["seen by the caller"] = walls
    return {"ended": ended, "milliseconds": {stage: percentiles(values) for stage, values in stages.items()}}


def percentiles(values: list[float]) -> dict[str, float]:
    """Return p50 and p95."""
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return {"p50": round(cuts[9], 2), "p95": round(cuts[18], 2)}


def main() -> None:
    """Run the benchmark and write its result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=200)
    options = parser.parse_args()
    sent, texts = documents(options.data, options.documents), questions(options.data, options.queries)
    with tempfile.TemporaryDirectory(prefix="second-opinion-") as folder:
        Path(folder).chmod(0o755)
        stack = LocalStack(Path(folder), elasticsearch_port=0, redis_port=0)
        plan = stack.up(dict.fromkeys(ROLES, 1), progress=lambda line: print(line, file=sys.stderr))
        try:
            settings = Settings(
                state_dir=Path(folder),
                elasticsearch_url=plan.elasticsearch_url,
                broker_url=plan.broker_url,
                jobs_url=plan.jobs_url,
                cache_url=plan.cache_url,
            )
            figures = measure(settings, sent, texts)
        finally:
            stack.down()
    write_result("main_job", {**environment_of(sys.argv), "documents_sent": len(sent), **figures})


def measure(settings: Settings, sent: list[DocumentInput], texts: list[str]) -> dict[str, Any]:
    """Ingest, count, and ask, against a running system."""
    chunker = open_chunker(settings.embedder_model, max_tokens=settings.chunk_tokens, overlap=settings.chunk_overlap)
    computed = sum(
        len(chunker.chunk(document.text or "", media_type=document.media_type, title=document.title))
        for document in sent
    )
    with Client(settings) as client:
        ingested = ingest(client, sent)
        stores = open_elasticsearch(settings)
        index = stores.collections.get("default").index
        stores.chunks.refresh(index)
        in_index = stores.chunks.count(index)
        asked = ask(client, texts)
    seconds = ingested["searchable_seconds"]
    return {
        "corpus_sha256": hashlib.sha256("".join(document.id for document in sent).encode()).hexdigest()[:16],
        "ingest": {**ingested, "chunks_per_second": round(in_index / seconds, 1)},
        "chunks": {"computed": computed, "in_elasticsearch": in_index, "equal": computed == in_index},
        "queries": {"asked": len(texts), **asked},
    }


if __name__ == "__main__":
    main()
