"""How much of the bi-encoder's speed is left when documents go through Celery into Elasticsearch?

    ./do bench ingest_path --data FOLDER [--documents 3000] [--rounds 3]

Documents are sent in portions. Before each, the engine alone embeds the very chunks of the portion, in this process;
then the portion is submitted and waited for until all of it is searchable. The CPU seconds that each part of the system
used in that time say where the rest went: where Elasticsearch and the caller share the worker's cores, what they use is
not left for the engine. `ratio_by_processor_time` leaves them out: of what the index worker used, the share that the
engine alone needs for the same chunks. Nothing is embedded twice: all texts are new to the index.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import psutil
from corpus import documents, passages
from record import environment_of, write_result
from system import Worker, add_server_arguments, elasticsearch_cpu, servers, workers

from second_opinion import Client
from second_opinion.pipeline.adapters.onnx_embedder import OnnxEmbedder
from second_opinion.pipeline.chunking import open_chunker
from second_opinion.schemas.document import DocumentInput
from second_opinion.workers.stores import open_connection


def main() -> None:
    """Run, print and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--documents", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reuse", choices=("true", "false"), default="true", help="OPINION_REUSE_EMBEDDINGS")
    add_server_arguments(parser)
    options = parser.parse_args()
    environment = environment_of(sys.argv)
    size = options.documents // options.rounds
    sent = documents(options.data, size * options.rounds)
    chunker, embedder = open_chunker(), OnnxEmbedder.open()
    rounds = []
    with servers(options) as system, workers(system, ["index"], reuse_embeddings=options.reuse) as running:
        connection = open_connection(system.settings())
        with Client(system.settings()) as client:
            warm_up = DocumentInput(id="warm-up", text="The first document makes the index.")
            client.wait_documents(client.submit_documents([warm_up]), timeout=120)
            for start in range(0, len(sent), size):
                portion = sent[start : start + size]
                begun = time.perf_counter()
                texts = passages(portion, chunker)
                chunking = time.perf_counter() - begun
                begun, used = time.perf_counter(), time.process_time()
                embedder.embed_passages(texts)
                alone, used = len(texts) / (time.perf_counter() - begun), time.process_time() - used
                found = ingest(client, portion, lambda: cpu(running["index"], connection))
                through = len(texts) / found["seconds"]
                rounds.append(
                    {
                        "alone": alone,
                        "through": through,
                        "chunking_seconds": chunking,
                        "engine_alone_cpu_seconds": used,
                        **found,
                    }
                )
        memory = round(running["index"].resident(), 1)
    ratios = [one["through"] / one["alone"] for one in rounds]
    by_cpu = [one["engine_alone_cpu_seconds"] / one["index_worker_cpu_seconds"] for one in rounds]
    write_result(
        "ingest_path",
        {
            "chunks_a_second": {
                "engine_alone": round(statistics.median(one["alone"] for one in rounds), 1),
                "through_the_system": round(statistics.median(one["through"] for one in rounds), 1),
            },
            "ratio": round(statistics.median(ratios), 3),
            "goal": 0.85,
            "ratio_by_processor_time": round(statistics.median(by_cpu), 3),
            "rounds": [{name: round(value, 2) for name, value in one.items()} for one in rounds],
            "index_worker_megabytes": memory,
            "documents": len(sent),
            **environment,
        },
    )


def cpu(worker: Worker, connection: Any) -> dict[str, float]:
    """Return CPU seconds used so far, by part of the system."""
    own = psutil.Process().cpu_times()
    return {
        "index_worker": worker.cpu(),
        "elasticsearch": elasticsearch_cpu(connection),
        "caller": own.user + own.system,
    }


def ingest(client: Client, portion: list[DocumentInput], used: Any) -> dict[str, float]:
    """Submit a portion and wait until it is searchable; return seconds, and CPU seconds by part."""
    before, begun = used(), time.perf_counter()
    receipts = client.submit_documents(portion)
    accepted = time.perf_counter() - begun
    settled = client.wait_documents(receipts, timeout=900)
    seconds = time.perf_counter() - begun
    after = used()
    if not all(one.status is not None and one.status.current for one in settled):
        raise SystemExit("not every document became searchable")
    spent = {f"{part}_cpu_seconds": after[part] - before[part] for part in before}
    return {"seconds": seconds, "accept_seconds": accepted, **spent}


if __name__ == "__main__":
    main()
