"""Real documents, questions and chunks for benchmarks, always the same ones."""

import gzip
import json
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from second_opinion.pipeline.chunking import SectionChunker
from second_opinion.schemas.chunk import passage_text
from second_opinion.schemas.document import DocumentInput

SETS = ("squad2_dev", "nq_open", "covid_qa", "scifact", "pubmedqa", "chunking_eval")
LARGE = Path("scale_win32") / "corpus.jsonl.gz"


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON lines file, compressed or not."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def documents(data: Path, wanted: int) -> list[DocumentInput]:
    """Return the first documents of the sets, a few of each in turn."""
    return list(islice(_alternating([_documents(data, name) for name in SETS]), wanted))


def questions(data: Path, wanted: int) -> list[str]:
    """Return questions of the sets' `dev` splits in an order that is random and always the same."""
    texts = [row["text"] for name in SETS for row in json_lines(data / name / "queries.jsonl") if row["split"] == "dev"]
    random.Random(0).shuffle(texts)
    return texts[:wanted]


def passages(found: list[DocumentInput], chunker: SectionChunker) -> list[str]:
    """Return what the models read of the documents' chunks, in order."""
    return [
        passage_text(document.title, chunk.headings, chunk.text)
        for document in found
        for chunk in chunker.chunk(document.text or "", media_type=document.media_type, title=document.title)
    ]


def large_text(data: Path) -> Iterator[DocumentInput]:
    """Yield the documents of the large set, which has no questions."""
    for row in json_lines(data / LARGE):
        if row["text"].strip():
            yield DocumentInput(id=str(row["id"]), title=row["title"][:1_024], text=row["text"])


def _documents(data: Path, name: str) -> Iterator[DocumentInput]:
    for row in json_lines(data / name / "corpus.jsonl"):
        if row["text"].strip():
            yield DocumentInput(id=f"{name}/{row['id']}", title=row["title"], text=row["text"])


def _alternating(rows: list[Iterator[DocumentInput]]) -> Iterator[DocumentInput]:
    while rows:
        for row in list(rows):
            one = next(row, None)
            if one is None:
                rows.remove(row)
            else:
                yield one
