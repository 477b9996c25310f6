"""Reading data sets: both layouts, and an error with file and line for each thing that can be wrong."""

import gzip
import json
import os
from pathlib import Path

import pytest

from second_opinion.pipeline.evaluation.datasets import (
    is_judged,
    questions_of,
    read_dataset,
    relevant_documents,
    splits_of,
)
from second_opinion.schemas.errors import InvalidDataset

CORPUS = [{"id": "d1", "title": "Tea", "text": "Tea is in the drawer."}, {"id": "d2", "text": "Dogs may visit."}]
QUERIES = [
    {"id": "q1", "text": "Where is tea?", "answerable": True, "split": "dev"},
    {"id": "q2", "text": "Where is coffee?", "answerable": False, "split": "train"},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set in the normalised layout."""
    write(tmp_path / "corpus.jsonl", *map(json.dumps, CORPUS))
    write(tmp_path / "queries.jsonl", *map(json.dumps, QUERIES))
    write(tmp_path / "qrels.tsv", "q1\td1\t2", "q1\td2\t1")
    return tmp_path


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    """A data set in BEIR's layout, with two splits."""
    write(tmp_path / "corpus.jsonl", *(json.dumps({"_id": one["id"], **without_id(one)}) for one in CORPUS))
    write(tmp_path / "queries.jsonl", *(json.dumps({"_id": one["id"], "text": one["text"]}) for one in QUERIES))
    (tmp_path / "qrels").mkdir()
    write(tmp_path / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore", "q1\td1\t1")
    write(tmp_path / "qrels" / "train.tsv", "query-id\tcorpus-id\tscore", "q2\td2\t1")
    return tmp_path


def write(path: Path, *lines: str) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(f"{line}\n")


def without_id(row: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in row.items() if name != "id"}


def test_the_normalised_layout(folder: Path) -> None:
    """Documents, queries with what is known of them, and grades."""
    found = read_dataset(folder)
    assert [one.text for one in found.passages.values()] == [one["text"] for one in CORPUS]
    assert [one.answerable for one in found.questions.values()] == [True, False]
    assert splits_of(found) == ["dev", "train"]
    assert [one.id for one in questions_of(found)] == ["q1"]
    assert [one.id for one in questions_of(found, "train")] == ["q2"]
    assert relevant_documents(found, "q1") == {"d1", "d2"}
    assert relevant_documents(found, "q2") == frozenset()


def test_a_query_without_an_answer_judges_every_document(folder: Path) -> None:
    """Its pairs are known to be irrelevant; those of another query only where they are graded."""
    found = read_dataset(folder)
    assert is_judged(found, "q2", "d1")
    assert is_judged(found, "q1", "d1")
    assert not is_judged(found, "q1", "d9")


def test_the_smallest_relevant_grade_can_be_raised(folder: Path) -> None:
    """A grade of 1 may mean "related", as in TREC's passages."""
    assert relevant_documents(read_dataset(folder, relevant_from=2), "q1") == {"d1"}


def test_a_packed_corpus_is_read(folder: Path) -> None:
    """When only the gzipped one is there."""
    plain = folder / "corpus.jsonl"
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert list(read_dataset(folder).passages) == ["d1", "d2"]


def test_full_judgements_are_kept_apart(folder: Path) -> None:
    """Judged documents that the corpus lacks are known, unless they are not wanted; others stay out."""
    write(folder / "qrels_full.tsv", "q1\td1\t2", "q1\td7\t3", "q9\td8\t1")
    assert read_dataset(folder).absent == {"q1": {"d7": 3}}
    assert read_dataset(folder, full_judgements=False).absent == {}


def test_beirs_layout(beir: Path) -> None:
    """A split is a file of grades; of queries it is unknown whether they have an answer."""
    found = read_dataset(beir)
    assert [one.id for one in questions_of(found)] == ["q1"]
    assert found.questions["q1"].answerable is None
    assert relevant_documents(found, "q1") == {"d1"}
    assert [one.id for one in questions_of(read_dataset(beir, split="train"), "train")] == ["q2"]


def test_contents_have_a_fingerprint(folder: Path) -> None:
    """It changes with a document or a query, not with a grade: answers do not depend on grades."""
    before = read_dataset(folder).fingerprint
    append(folder / "qrels.tsv", "q2\td2\t0")
    assert read_dataset(folder).fingerprint == before
    append(folder / "corpus.jsonl", '{"id": "d3", "text": "More."}')
    assert read_dataset(folder).fingerprint != before


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels.tsv"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    """The error says which file to add."""
    (folder / name).unlink()
    with pytest.raises(InvalidDataset, match="there is no such file") as raised:
        read_dataset(folder)
    assert name in raised.value.message


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """The error says what a data set is."""
    with pytest.raises(InvalidDataset, match="there is no such folder") as raised:
        read_dataset(tmp_path / "nothing")
    assert "corpus.jsonl" in raised.value.hint


@pytest.mark.parametrize(
    ("name", "line", "complaint"),
    [
        ("corpus.jsonl", "{broken", "Expecting property name"),
        ("corpus.jsonl", "[1]", "not an object with an id"),
        ("corpus.jsonl", '{"title": "x", "text": "y"}', "not an object with an id"),
        ("corpus.jsonl", '{"id": "d3", "title": "x"}', "field 'text' is missing"),
        ("corpus.jsonl", '{"id": "d3", "text": 7}', "field 'text' is no text"),
        ("corpus.jsonl", '{"id": ["d3"], "text": "x"}', "the id is neither text nor a number"),
        ("corpus.jsonl", '{"id": "d1", "text": "x"}', "document 'd1' is there a second time"),
        ("queries.jsonl", '{"id": "q3"}', "field 'text' is missing"),
        ("queries.jsonl", '{"id": "q3", "text": "  "}', "the query has no text"),
        ("queries.jsonl", '{"id": "q3", "text": "x", "answerable": "no"}', "answerable is neither true nor false"),
        ("queries.jsonl", '{"id": "q1", "text": "x"}', "query 'q1' is there a second time"),
        ("qrels.tsv", "q7\td1\t1", "names query 'q7', which the data set does not have"),
        ("qrels.tsv", "q1\td7\t1", "names document 'd7', which the data set does not have"),
        ("qrels.tsv", "q1\td1\thigh", "the grade 'high' is no whole number"),
        ("qrels.tsv", "q1\td1\t0.5", "the grade '0.5' is no whole number"),
        ("qrels.tsv", "q1\td1\tinf", "the grade 'inf' is no whole number"),
        ("qrels.tsv", "q1\td1\t0", "grades query 'q1' and document 'd1' a second time"),
        ("qrels.tsv", "q1 d1 1", "expected 3 columns separated by tabs"),
    ],
)
def test_a_line_that_does_not_fit_is_named(folder: Path, name: str, line: str, complaint: str) -> None:
    """The error says which file, which line, and what is wrong with it."""
    append(folder / name, line)
    with pytest.raises(InvalidDataset) as raised:
        read_dataset(folder)
    assert f"{name}, line 3: " in raised.value.message
    assert complaint in raised.value.message


def test_text_that_is_not_utf_8_is_named(folder: Path) -> None:
    """The error names the file."""
    (folder / "corpus.jsonl").write_bytes(b'{"id": "d1", "text": "\xff"}\n')
    with pytest.raises(InvalidDataset, match=r"corpus\.jsonl, after line 0: not UTF-8"):
        read_dataset(folder)


def test_a_split_without_queries_is_told(folder: Path) -> None:
    """With the splits that there are."""
    with pytest.raises(InvalidDataset, match="split 'test' has no queries") as raised:
        questions_of(read_dataset(folder), "test")
    assert "dev, train" in raised.value.hint


def test_several_splits_without_a_usual_one_have_to_be_named(folder: Path) -> None:
    """Nothing is guessed."""
    write(
        folder / "queries.jsonl",
        '{"id": "q1", "text": "x", "split": "a"}',
        '{"id": "q2", "text": "y", "split": "b"}',
    )
    with pytest.raises(InvalidDataset, match="which split is meant"):
        questions_of(read_dataset(folder))


@pytest.mark.data
def test_real_data_sets_are_read() -> None:
    """Every evaluation set: each split has queries, and grades name what is there."""
    home = Path(os.environ.get("OPINION_DATA", "../shared/data"))
    sets = sorted(path.parent for path in home.glob("*/qrels.tsv")) if home.is_dir() else []
    if not sets:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no data sets in {home}")
        pytest.skip(f"no data sets in {home} (OPINION_DATA)")
    for one in sets:
        found = read_dataset(one)
        assert all(questions_of(found, split) for split in splits_of(found)), one.name
        assert any(relevant_documents(found, query) for query in found.grades), one.name
