"""How long `opinion floor report` takes over many traces.

    ./do bench floor_report --traces 100000 --judgements 1000

Writes synthetic traces of 100 candidates each over 30 days and judges some of them, then times the report, replay and
suggestion in this process, and the command itself, interpreter included. Starts an Elasticsearch of its own. Relevances
are drawn from a distribution with many low and few high ones, as rerankers give them.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from record import environment_of, write_result

from second_opinion import Client
from second_opinion.ops.stack import LocalStack
from second_opinion.pipeline.adapters.elasticsearch import traces as stored
from second_opinion.pipeline.adapters.elasticsearch.bulk import Action, run_bulk
from second_opinion.schemas.floor_choice import FloorGoal
from second_opinion.schemas.trace import Judgement, Trace, query_hash
from second_opinion.testing.traces import a_trace
from second_opinion.workers.settings import Settings
from second_opinion.workers.stores import open_elasticsearch

DAY = 86_400.0
CANDIDATES = 100
PATTERNS = 1_000
PER_BULK = 1_000
REPEATS = 7


def patterns(rng: np.random.Generator) -> list[Trace]:
    """Return traces that many others share their candidates with."""
    return [a_trace(f"pattern-{n}", *np.sort(rng.beta(0.3, 2.5, CANDIDATES))[::-1].tolist()) for n in range(PATTERNS)]


def bodies(shapes: list[Trace], wanted: int, now: float) -> Iterator[tuple[str, float, str]]:
    """Yield (job id, time, JSON body) of traces, as the store writes them; a body's columns are encoded only once."""
    heads = [stored._body(shape) for shape in shapes]  # noqa: SLF001 - what the store itself would write
    columns = [json.dumps(head.pop("columns")) for head in heads]
    for number in range(wanted):
        shape = number % len(shapes)
        at = now - 29 * DAY * number / wanted
        own = {"job_id": f"job-{number}", "at": at, "query": f"question {number}", "query_hash": hash_of(number)}
        head = json.dumps({**heads[shape], **own})
        yield own["job_id"], at, f'{head[:-1]},"columns":{columns[shape]}}}'


def hash_of(number: int) -> str:
    """Return the hash of a synthetic question."""
    return query_hash(f"question {number}")


def write_traces(settings: Settings, shapes: list[Trace], wanted: int) -> None:
    """Write the traces through the store's own indices."""
    stores = open_elasticsearch(settings)
    by_index: dict[str, list[Action]] = {}

    def send(index: str) -> None:
        for outcome in run_bulk(stores.connection, index, by_index.pop(index)):
            assert outcome.error is None

    for name, at, body in bodies(shapes, wanted, time.time()):
        index = stores.traces._index_at(at)  # noqa: SLF001 - likewise
        stores.traces._make(index)
        by_index.setdefault(index, []).append(Action("index", {"_id": name}, body))
        if len(by_index[index]) == PER_BULK:
            send(index)
    for index in list(by_index):
        send(index)
    stores.connection.writes.indices.refresh(index=f"{settings.index_prefix}-*")
    stores.connection.close()


def write_judgements(settings: Settings, shapes: list[Trace], wanted: int, traces: int) -> None:
    """Judge the best two candidates of traces spread over all days; of those at 0.7, 70 % are relevant."""
    rng = np.random.default_rng(1)
    judgements = [
        Judgement(
            collection="default",
            query_hash=hash_of(number),
            document_id=candidate.document_id,
            text_hash=candidate.text_hash,
            relevant=bool(rng.random() < candidate.relevance),
            chunk_id=candidate.chunk_id,
            job_id=f"job-{number}",
            judged_at=0.0,
        )
        for number in np.linspace(0, traces - 1, wanted // 2).astype(int).tolist()
        for candidate in shapes[number % len(shapes)].candidates[:2]
    ]
    stores = open_elasticsearch(settings)
    stores.judgements.write(judgements)
    stores.connection.close()


def timed(work: Callable[[], object]) -> dict[str, float]:
    """Return seconds of the first run, median and maximum of the later ones, and processor seconds of this side."""
    walls, busy = [], []
    for _ in range(REPEATS + 1):
        started, before = time.perf_counter(), processor_seconds()
        work()
        walls.append(time.perf_counter() - started)
        busy.append(processor_seconds() - before)
    first, *later = walls
    found = {
        "first": first,
        "median": statistics.median(later),
        "max": max(later),
        "processor": statistics.median(busy),
    }
    print(found, file=sys.stderr)
    return {name: round(value, 3) for name, value in found.items()}


def processor_seconds() -> float:
    """Return what this process and the commands it ran have used, without Elasticsearch."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def run(command: list[str], environment: dict[str, str]) -> None:
    """Run a command to its end."""
    done = subprocess.run(command, env={**os.environ, **environment}, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def measure(settings: Settings, environment: dict[str, str], wanted: int, judgements: int) -> dict[str, Any]:
    """Write, then time every question."""
    shapes = patterns(np.random.default_rng(0))
    started = time.perf_counter()
    write_traces(settings, shapes, wanted)
    wrote = time.perf_counter() - started
    write_judgements(settings, shapes, judgements, wanted)
    command = [sys.executable, "-m", "second_opinion.gateway", "floor", "report", "--json"]
    with Client(settings) as client:
        evidence = client.evidence
        seconds = {
            "report": timed(evidence.report),
            "replay": timed(lambda: evidence.replay(0.5)),
            "suggest": timed(lambda: evidence.suggest(FloorGoal.PRECISION, 0.6)),
            "one trace": timed(lambda: evidence.trace("job-7")),
            "the command `opinion floor report`": timed(lambda: run(command, environment)),
        }
        report = evidence.report()
    stores = open_elasticsearch(settings)
    stats = stores.connection.reads.indices.stats(index=f"{settings.index_prefix}-traces-*", metric="store")
    stores.connection.close()
    return {
        "traces": report.spread.traces,
        "candidates": report.spread.candidates,
        "judged_pairs": report.judged_pairs,
        "indices": len(stats["indices"]),
        "bytes_per_trace": round(stats["_all"]["primaries"]["store"]["size_in_bytes"] / wanted),
        "write_seconds": round(wrote, 1),
        "seconds": seconds,
    }


def main() -> None:
    """Run the benchmark and write its result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=int, default=100_000)
    parser.add_argument("--judgements", type=int, default=1_000)
    options = parser.parse_args()
    about = environment_of(sys.argv)
    with tempfile.TemporaryDirectory(prefix="second-opinion-") as folder:
        Path(folder).chmod(0o755)
        stack = LocalStack(Path(folder), elasticsearch_port=0, redis_port=0)
        plan = stack.up({}, progress=lambda line: print(line, file=sys.stderr))
        try:
            settings = Settings(
                state_dir=Path(folder), elasticsearch_url=plan.elasticsearch_url, elasticsearch_timeout=60
            )
            environment = {
                "OPINION_STATE_DIR": folder,
                "OPINION_ELASTICSEARCH_URL": plan.elasticsearch_url,
                "OPINION_ELASTICSEARCH_TIMEOUT": "60",
            }
            figures = measure(settings, environment, options.traces, options.judgements)
        finally:
            stack.down()
    write_result("floor_report", {**about, **figures})


if __name__ == "__main__":
    main()
