"""Retrieval data sets in the normalised format: `corpus.jsonl`, `queries.jsonl`, `qrels.tsv` in one folder."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from second_opinion.schemas.errors import InvalidDataset


@dataclass(frozen=True)
class Passage:
    """One document of a corpus."""

    id: str
    title: str
    text: str


@dataclass(frozen=True)
class Question:
    """One query. `source` is the document it was written about, where that is known."""

    id: str
    text: str
    answerable: bool
    split: str
    source: str = ""


@dataclass(frozen=True)
class Dataset:
    """A corpus, its queries, and grades by query and document."""

    name: str
    passages: dict[str, Passage]
    questions: dict[str, Question]
    grades: dict[str, dict[str, int]] = field(default_factory=dict)


def read_dataset(folder: Path) -> Dataset:
    """Read the data set in `folder`.

    Raises:
        InvalidDataset: If a file is missing, a line is not JSON, or a grade names nothing known.
    """
    passages = {str(row["id"]): _passage(row) for row in read_rows(folder / "corpus.jsonl")}
    topical = _columns(folder / "topical.tsv", 2) if (folder / "topical.tsv").exists() else []
    sources = {row[0]: row[1] for _, row in topical}
    questions = {str(row["id"]): _question(row, sources) for row in read_rows(folder / "queries.jsonl")}
    grades: dict[str, dict[str, int]] = {}
    for place, row in _columns(folder / "qrels.tsv", 3):
        if row[0] not in questions or row[1] not in passages:
            raise InvalidDataset(f"{place}: names a query or a document that the data set does not have")
        grades.setdefault(row[0], {})[row[1]] = int(float(row[-1]))
    return Dataset(folder.name, passages, questions, grades)


def read_passages(path: Path) -> dict[str, Passage]:
    """Read a corpus that has no queries; `path` may be gzipped."""
    return {str(row["id"]): _passage(row) for row in read_rows(path)}


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file of JSON lines.

    Raises:
        InvalidDataset: If the file is missing, or a line is not a JSON object with an `id`.
    """
    if not path.exists():
        raise InvalidDataset(f"{path}: there is no such file")
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InvalidDataset(f"{path}, line {number}: {error}") from error
            if not isinstance(row, dict) or "id" not in row:
                raise InvalidDataset(f"{path}, line {number}: not an object with an id")
            yield row


def _passage(row: dict[str, Any]) -> Passage:
    return Passage(str(row["id"]), row.get("title") or "", row["text"])


def _question(row: dict[str, Any], sources: dict[str, str]) -> Question:
    identity = str(row["id"])
    source = sources.get(identity, "")
    return Question(identity, row["text"], bool(row["answerable"]), row.get("split", "train"), source)


def _columns(path: Path, least: int) -> Iterator[tuple[str, list[str]]]:
    if not path.exists():
        raise InvalidDataset(f"{path}: there is no such file")
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            row = line.rstrip("\n").split("\t")
            if len(row) < least:
                raise InvalidDataset(f"{path}, line {number}: expected {least} columns separated by tabs")
            yield f"{path}, line {number}", row
