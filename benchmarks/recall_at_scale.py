"""Does kNN still find what exact search finds when there are many chunks, and what does stage one then cost?

    ./do bench recall_at_scale --data FOLDER --vectors FOLDER [--sizes 10000,100000,300000] [--queries 200]
    ./do bench recall_at_scale --data FOLDER --vectors FOLDER --sizes 10000 --variants all

As it is shipped, unless --variants names others: those have a result of their own, `recall_variants`.

Chunks of the large set are embedded once and their vectors kept in the folder of --vectors, which a later run goes on
with. Each variant is an index of its own that grows from size to size; at each size the questions (titles of documents
all over the set) are searched for, and what comes back is compared with exact search over the very vectors. `recall` is
the share of the exact hundred nearest that are among the first hundred found. Stage one is timed as queries do it: the
question is embedded, then both lists are searched with their texts. Loading is timed too, by how often it refreshes.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from corpus import large_text
from numpy.typing import NDArray
from record import environment_of, write_result
from system import add_server_arguments, servers

from second_opinion.pipeline.adapters.elasticsearch import Connection, ElasticsearchChunks
from second_opinion.pipeline.adapters.elasticsearch.indices import (
    VECTOR_OPTIONS,
    chunk_mappings,
    chunk_settings,
    write_alias,
)
from second_opinion.pipeline.adapters.elasticsearch.search import CANDIDATES_PER_HIT, RESCORED_PER_HIT
from second_opinion.pipeline.adapters.onnx_embedder import OnnxEmbedder
from second_opinion.pipeline.chunking import SectionChunker
from second_opinion.pipeline.ports import SearchRequest
from second_opinion.schemas.chunk import IndexedChunk, chunk_id, passage_text
from second_opinion.schemas.collection import IndexFingerprint
from second_opinion.workers.stores import open_connection

PART: Final = 5_000
BULK: Final = 500
NEAREST: Final = 100
DEPTH: Final = 150
TIE: Final = 1e-5
NUM_CANDIDATES: Final = (150, 225, 400, round(CANDIDATES_PER_HIT * DEPTH))
"""The last is what a search looks at as it is shipped."""
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Variant:
    """How an index keeps vectors and when it refreshes while it is loaded.

    Attributes:
        options: `index_options` of the vector field.
        refresh_every: Chunks between two refreshes, as commits make them; 0 refreshes at the end alone (a bulk load).
        rescore: How many times `k` are taken from the quantised vectors and compared by the exact ones.
    """

    options: dict[str, Any]
    refresh_every: int = 64
    shards: int = 1
    rescore: float | None = None


SHIPPED: Final = VECTOR_OPTIONS
AS_SHIPPED: Final = "as shipped"
VARIANTS: Final = {
    AS_SHIPPED: Variant(SHIPPED, rescore=RESCORED_PER_HIT),
    "int8_hnsw": Variant(SHIPPED),
    "int8_hnsw, bulk load": Variant(SHIPPED, refresh_every=0),
    "int8_hnsw, m 32, ef_construction 200": Variant({**SHIPPED, "m": 32, "ef_construction": 200}, refresh_every=0),
    "hnsw, float32": Variant({**SHIPPED, "type": "hnsw"}, refresh_every=0),
    "int8_hnsw, rescored 2 times": Variant(SHIPPED, refresh_every=0, rescore=2.0),
    "bbq_hnsw, rescored 3 times": Variant({**SHIPPED, "type": "bbq_hnsw"}, refresh_every=0, rescore=3.0),
    "int8_hnsw, two shards": Variant(SHIPPED, refresh_every=0, shards=2),
}


def main() -> None:
    """Run, print and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--sizes", default="10000,100000,300000")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--variants", default=AS_SHIPPED, help="names, separated by semicolons, or all")
    parser.add_argument("--embed-only", action="store_true", help="only fill the folder of --vectors")
    add_server_arguments(parser)
    options = parser.parse_args()
    environment = environment_of(sys.argv)
    names = list(VARIANTS) if options.variants == "all" else [one.strip() for one in options.variants.split(";")]
    sizes = sorted(int(size) for size in options.sizes.split(","))
    embedder = OnnxEmbedder.open()
    chunks = list(islice(chunks_of(options.data, embedder), sizes[-1]))
    vectors = embedded(chunks, embedder, options.vectors)
    if options.embed_only:
        return
    titles = sorted({chunk.headings[0] if chunk.headings else chunk.title for chunk in chunks} - {""})
    asked = titles[:: max(1, len(titles) // options.queries)][: options.queries]
    found: dict[str, Any] = {}
    with servers(options) as system:
        connection = open_connection(system.settings())
        for number, name in enumerate(names):
            index = f"{system.settings().index_prefix}-recall-{number:06d}"
            bench = Bench(connection, index, VARIANTS[name], embedder, (chunks, vectors))
            found[name] = bench.run(sizes, asked)
            connection.writes.indices.delete(index=index)
    goals = {"recall": 0.98, "stage_one_p95_milliseconds_at_300000": 60}
    result = "recall_at_scale" if names == [AS_SHIPPED] else "recall_variants"
    write_result(result, {"variants": found, "goals": goals, "queries": len(asked), "depth": DEPTH, **environment})


def chunks_of(data: Path, embedder: OnnxEmbedder) -> Iterator[IndexedChunk]:
    """Yield the chunks of the large set, without their vectors."""
    chunker = SectionChunker(embedder.tokenizer.rust)
    for number, document in enumerate(large_text(data)):
        found = chunker.chunk(document.text or "", media_type="text/markdown", title=document.title)
        key = f"{number:040d}"
        for chunk in found:
            yield IndexedChunk(
                chunk_id=chunk_id(key, "load.1", chunk.ordinal),
                key=key,
                write_set="load.1",
                index="",
                collection="default",
                document_id=document.id,
                title=document.title,
                count=len(found),
                vector=(),
                written_at=0.0,
                **chunk.model_dump(),
            )


def embedded(chunks: list[IndexedChunk], embedder: OnnxEmbedder, folder: Path) -> Vectors:
    """Return the vector of each chunk, those of earlier runs read from the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for start in range(0, len(chunks), PART):
        part = chunks[start : start + PART]
        path = folder / f"{embedder.spec.revision}-{start:07d}-{len(part)}.npy"
        if not path.exists():
            begun = time.perf_counter()
            texts = [passage_text(chunk.title, chunk.headings, chunk.text) for chunk in part]
            np.save(path, embedder.embed_passages(texts).round(7))
            print(f"embedded {start + len(part):,}, {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
        parts.append(np.load(path))
    return np.concatenate(parts)


class Bench:
    """One variant's index."""

    def __init__(
        self,
        connection: Connection,
        index: str,
        variant: Variant,
        embedder: OnnxEmbedder,
        corpus: tuple[list[IndexedChunk], Vectors],
    ) -> None:
        self.index, self.variant, self.embedder = index, variant, embedder
        self.chunks, self.vectors = corpus
        self.rows = {chunk.chunk_id: row for row, chunk in enumerate(self.chunks)}
        self.client, self.store = connection.reads, ElasticsearchChunks(connection)
        mappings = chunk_mappings(
            IndexFingerprint(embedding_model="m", embedding_revision="1", dims=embedder.spec.dims, chunker="c")
        )
        mappings["properties"]["vector"]["index_options"] = variant.options
        told = {**chunk_settings(), "number_of_shards": variant.shards}
        if variant.refresh_every == 0:
            told["refresh_interval"] = "-1"
        connection.writes.indices.create(
            index=index, settings=told, mappings=mappings, aliases={write_alias(index): {}}
        )

    def run(self, sizes: list[int], asked: list[str]) -> dict[str, Any]:
        """Grow the index from size to size and measure at each."""
        rows, written = {}, 0
        for size in sizes:
            begun = time.perf_counter()
            self.load(written, size)
            loading = time.perf_counter() - begun
            rows[str(size)] = {
                "loaded_chunks_a_second": round((size - written) / loading, 1),
                **self.measure(size, asked),
            }
            written = size
        return rows

    def load(self, start: int, end: int) -> None:
        """Write chunks in bulks, refreshing as often as the variant does."""
        step = self.variant.refresh_every or BULK
        for place in range(start, end, step):
            rows = range(place, min(end, place + step))
            ready = [self.chunks[row].model_copy(update={"vector": tuple(self.vectors[row].tolist())}) for row in rows]
            assert not any(self.store.write(self.index, ready))
            if self.variant.refresh_every:
                self.store.refresh(self.index)
        self.store.refresh(self.index)

    def measure(self, size: int, asked: list[str]) -> dict[str, Any]:
        """Return recall and time by `num_candidates`, and the time of stage one as it is shipped."""
        queries = [self.embedder.embed_query(text) for text in asked]
        likeness = [self.vectors[:size] @ query for query in queries]
        # Texts that are alike share their places: whatever is as near as the hundredth is one of the hundred nearest.
        least = [float(np.partition(one, -NEAREST)[-NEAREST]) - TIE for one in likeness]
        rows = {}
        for wide in NUM_CANDIDATES:
            recalls, times = [], []
            for query, near, bound in zip(queries, likeness, least, strict=True):
                begun = time.perf_counter()
                hits = self.nearest(query, wide)
                times.append((time.perf_counter() - begun) * 1_000)
                recalls.append(sum(near[self.rows[hit]] >= bound for hit in hits) / NEAREST)
            rows[str(wide)] = {
                "recall": round(statistics.mean(recalls), 4),
                "recall_p5": round(float(np.quantile(recalls, 0.05)), 3),
                **percentiles(times),
            }
        stage = []
        for text in asked:
            begun = time.perf_counter()
            self.search(text)
            stage.append((time.perf_counter() - begun) * 1_000)
        return {"num_candidates": rows, "stage_one": percentiles(stage), "segments": self.segments()}

    def nearest(self, query: Vectors, wide: int) -> set[str]:
        """Return the first hundred that kNN finds."""
        body: dict[str, Any] = {
            "field": "vector",
            "query_vector": query.tolist(),
            "k": DEPTH,
            "num_candidates": wide,
        }
        if self.variant.rescore:
            body["rescore_vector"] = {"oversample": self.variant.rescore}
        answer = self.client.search(index=self.index, knn=body, size=DEPTH, source=False, track_total_hits=False)
        return {hit["_id"] for hit in answer["hits"]["hits"][:NEAREST]}

    def search(self, text: str) -> None:
        """Do what stage one does before it reads the records."""
        vector = self.embedder.embed_query(text)
        self.store.search(SearchRequest(index=self.index, text=text, vector=vector, filters=(), depth=DEPTH))

    def segments(self) -> int:
        """Return how many segments the index has."""
        answer = self.client.indices.stats(index=self.index, metric="segments")
        return int(answer["_all"]["primaries"]["segments"]["count"])


def percentiles(values: list[float]) -> dict[str, float]:
    """Return p50 and p95 in milliseconds."""
    return {f"p{part}_milliseconds": round(float(np.quantile(values, part / 100)), 2) for part in (50, 95)}


if __name__ == "__main__":
    main()
