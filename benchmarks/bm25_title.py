"""How should BM25 see a document's title: not at all, in one field with the text, or as a field of its own?

    ./do bench bm25_title --elasticsearch http://127.0.0.1:9200

Indexes the sets' chunks without vectors, asks the questions of their `train` splits, and compares ways to ask.
Prints one JSON object. Recall and nDCG are of documents, each at the place of its best chunk.
"""

import argparse
import json
import math
import os
import random
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from elasticsearch import Elasticsearch
from record import environment_of, write_result

from second_opinion.pipeline.chunking import open_chunker
from second_opinion.schemas.chunk import passage_text

SETS = ("scifact", "medquad", "nq_open", "pubmedqa")
FIELDS = ("title", "headings", "text", "passage")
DEPTH = 150
BATCH = 500

Query = dict[str, Any]


def combined(title: float) -> Any:
    """Return a way to ask title, headings and text as one field whose parts have weights (BM25F)."""
    return lambda text: {"combined_fields": {"query": text, "fields": [f"title^{title}", "headings", "text"]}}


def summed(title: float) -> Any:
    """Return a way to ask title, headings and text each by itself and add up the scores."""
    fields = [f"title^{title}", "headings", "text"]
    return lambda text: {"multi_match": {"query": text, "type": "most_fields", "fields": fields}}


WAYS = {
    "text alone": lambda text: {"match": {"text": text}},
    "passage (title, headings, text as one field)": lambda text: {"match": {"passage": text}},
    "combined_fields, title x 1": combined(1.0),
    "combined_fields, title x 2": combined(2.0),
    "most_fields, title x 0.5": summed(0.5),
    "most_fields, title x 1": summed(1.0),
}


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON lines file."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def index_set(client: Elasticsearch, index: str, folder: Path) -> int:
    """Chunk and index the documents of a set; return how many chunks there are."""
    analysed = {"type": "text", "analyzer": "english"}
    properties = {"document": {"type": "keyword"}, **dict.fromkeys(FIELDS, analysed)}
    client.indices.create(index=index, mappings={"dynamic": False, "properties": properties})
    chunker, lines, count = open_chunker(), [], 0
    for row in rows(folder / "corpus.jsonl"):
        if not row["text"].strip():
            continue
        for chunk in chunker.chunk(row["text"], media_type="text/plain", title=row["title"]):
            whole = passage_text(row["title"], chunk.headings, chunk.text)
            told = {"title": row["title"], "headings": list(chunk.headings), "text": chunk.text, "passage": whole}
            lines += [{"index": {}}, {"document": row["id"], **told}]
            count += 1
        if len(lines) >= 2 * BATCH:
            client.bulk(operations=lines, index=index)
            lines = []
    if lines:
        client.bulk(operations=lines, index=index)
    client.indices.refresh(index=index)
    return count


def questions(folder: Path, wanted: int) -> dict[str, tuple[str, dict[str, int]]]:
    """Return questions of the train split with their relevant documents."""
    relevant: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines():
        query, document, grade = line.split("\t")[:3]
        if int(grade) > 0:
            relevant.setdefault(query, {})[document] = int(grade)
    asked = [row for row in rows(folder / "queries.jsonl") if row["split"] == "train" and row["id"] in relevant]
    random.Random(0).shuffle(asked)
    return {row["id"]: (row["text"], relevant[row["id"]]) for row in asked[:wanted]}


def found_documents(client: Elasticsearch, index: str, query: Query) -> list[str]:
    """Return documents by their best chunk."""
    answer = client.search(index=index, query=query, size=DEPTH, source=["document"], track_total_hits=False)
    return list(dict.fromkeys(hit["_source"]["document"] for hit in answer["hits"]["hits"]))


def scores(found: Sequence[str], relevant: Mapping[str, int]) -> tuple[float, float]:
    """Return recall of all that was found and nDCG of the first ten."""
    recall = len(set(found) & relevant.keys()) / len(relevant)
    gains = [relevant.get(document, 0) / math.log2(place + 2) for place, document in enumerate(found[:10])]
    best = sorted(relevant.values(), reverse=True)[:10]
    ideal = sum(grade / math.log2(place + 2) for place, grade in enumerate(best))
    return recall, sum(gains) / ideal


def measure(client: Elasticsearch, folder: Path, wanted: int) -> dict[str, Any]:
    """Compare all ways on one set."""
    index = f"bench-title-{uuid.uuid4().hex[:8]}"
    try:
        chunks = index_set(client, index, folder)
        asked = questions(folder, wanted)
        ways = {}
        for name, ask in WAYS.items():
            pairs = [
                scores(found_documents(client, index, ask(text)), wanted_ones) for text, wanted_ones in asked.values()
            ]
            recall, ndcg = (sum(column) / len(pairs) for column in zip(*pairs, strict=True))
            ways[name] = {"recall_at_150_chunks": round(recall, 4), "ndcg_at_10": round(ndcg, 4)}
        return {"chunks": chunks, "questions": len(asked), "ways": ways}
    finally:
        client.indices.delete(index=index, ignore_unavailable=True)


def main() -> None:
    """Measure and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("OPINION_DATA"))
    parser.add_argument("--elasticsearch", required=True)
    parser.add_argument("--questions", type=int, default=200)
    arguments = parser.parse_args()
    if arguments.data is None:
        sys.exit("error: no data\nhint: set OPINION_DATA or --data to the folder of the evaluation sets")
    client = Elasticsearch(arguments.elasticsearch, request_timeout=60)
    sets = {name: measure(client, Path(arguments.data) / name, arguments.questions) for name in SETS}
    means = {
        way: {
            measured: round(sum(one["ways"][way][measured] for one in sets.values()) / len(sets), 4)
            for measured in ("recall_at_150_chunks", "ndcg_at_10")
        }
        for way in WAYS
    }
    command = [sys.argv[0], "--elasticsearch", "URL", "--questions", str(arguments.questions)]
    write_result("bm25_title", {**environment_of(command), "mean_over_sets": means, "sets": sets})


if __name__ == "__main__":
    main()
