"""A data set and a work folder."""

import json
from pathlib import Path

import pytest

from tests.unit.gateway.evaluate.harbour import DOCUMENTS, QUESTIONS, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small data set in words of our own."""
    made = tmp_path / "harbour"
    made.mkdir()
    write(made / "corpus.jsonl", *(json.dumps({"id": key, "text": text}) for key, text in DOCUMENTS.items()))
    rows = [
        {"id": key, "text": text, "answerable": answer is not None, "split": "dev"}
        for key, (text, answer) in QUESTIONS.items()
    ]
    write(made / "queries.jsonl", *map(json.dumps, rows))
    write(made / "qrels.tsv", *(f"{key}\t{answer}\t1" for key, (_, answer) in QUESTIONS.items() if answer))
    return made


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The work folder."""
    return tmp_path / "work"
