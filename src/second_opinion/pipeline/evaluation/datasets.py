"""Retrieval data sets: a corpus, queries and grades in one folder.

    corpus.jsonl      {id, title, text}, one object a line; may be corpus.jsonl.gz
    queries.jsonl     {id, text, answerable, split}; answerable and split may be absent
    qrels.tsv         query id, document id, grade; no header; grade 0 is judged and not relevant
    qrels_full.tsv    if there: all judgements, those of documents that the corpus lacks included

BEIR's layout is read too: `_id` in place of `id`, and `qrels/<split>.tsv` with a header.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from second_opinion.pipeline.evaluation.dataset_files import Columns, Row, fingerprint, read_columns, read_objects
from second_opinion.schemas.errors import InvalidDataset

FIRST_SPLITS: Final = ("dev", "test")
"""Which split is meant when nobody says, where a data set has several."""


@dataclass(frozen=True)
class Passage:
    """One document of a corpus."""

    id: str
    title: str
    text: str


@dataclass(frozen=True)
class Question:
    """One query.

    Attributes:
        answerable: Whether some document answers it; None where the data set does not say.
        split: Name of its split; empty where it belongs to none.
        source: The document it was written about, where that is known.
    """

    id: str
    text: str
    answerable: bool | None
    split: str
    source: str = ""


@dataclass(frozen=True)
class Dataset:
    """A corpus, its queries, and grades by query and document.

    Attributes:
        grades: Judged pairs whose document is in the corpus. A grade of 0 says "not relevant".
        absent: Judged pairs whose document the corpus lacks; they count in ideal rankings alone.
        relevant_from: The smallest grade that makes a document relevant.
        fingerprint: Hash of corpus and queries; empty for a data set that was not read from files.
    """

    name: str
    passages: dict[str, Passage]
    questions: dict[str, Question]
    grades: dict[str, dict[str, int]] = field(default_factory=dict)
    absent: dict[str, dict[str, int]] = field(default_factory=dict)
    relevant_from: int = 1
    fingerprint: str = ""


def read_dataset(
    folder: Path, *, split: str | None = None, relevant_from: int = 1, full_judgements: bool = True
) -> Dataset:
    """Read the data set in `folder`.

    Args:
        folder: The normalised layout or BEIR's.
        split: Which file of `qrels/` is read, where there is such a folder; the other layout has splits by query.
        relevant_from: The smallest grade that makes a document relevant.
        full_judgements: Read `qrels_full.tsv`, if it is there.

    Raises:
        InvalidDataset: If a file is missing or a line does not fit; the sentence names both.
    """
    if not folder.is_dir():
        raise InvalidDataset(
            f"{folder}: there is no such folder", hint="Give the folder of corpus.jsonl, queries.jsonl and qrels.tsv."
        )
    corpus, queries = _corpus_file(folder), folder / "queries.jsonl"
    passages = read_passages(corpus)
    judged, chosen = _judgement_file(folder, split)
    sources = {row.cells[0]: row.cells[1] for row in read_columns(folder / "topical.tsv", Columns(2), optional=True)}
    questions: dict[str, Question] = {}
    for row in read_objects(queries):
        _once(row.place, row.id, questions, "query")
        questions[row.id] = _question(row, sources)
    grades = _grades(judged, questions, passages, header=chosen is not None)
    if chosen is not None:
        questions = {key: _with_split(one, chosen if key in grades else "") for key, one in questions.items()}
    full = folder / "qrels_full.tsv"
    return Dataset(
        name=folder.resolve().name,
        passages=passages,
        questions=questions,
        grades=grades,
        absent=_absent(full, questions, passages) if full_judgements and full.exists() else {},
        relevant_from=relevant_from,
        fingerprint=fingerprint([corpus, queries]),
    )


def read_passages(path: Path) -> dict[str, Passage]:
    """Read a corpus that has no queries; `path` may be gzipped.

    Raises:
        InvalidDataset: If the file is missing or a line does not fit; the sentence names both.
    """
    passages: dict[str, Passage] = {}
    for row in read_objects(path):
        _once(row.place, row.id, passages, "document")
        title = row.optional_text("title")
        passages[row.id] = Passage(row.id, title, row.text("text") or title)
    return passages


def splits_of(dataset: Dataset) -> list[str]:
    """Return the names of the splits that a data set has queries of."""
    return sorted({one.split for one in dataset.questions.values()} - {""})


def questions_of(dataset: Dataset, split: str | None = None) -> list[Question]:
    """Return the queries of a split, in the data set's order; without a name, of the only one, or of `dev` or `test`.

    Raises:
        InvalidDataset: If there is no such split, or it cannot be told which one is meant.
    """
    known = splits_of(dataset)
    first = [one for one in FIRST_SPLITS if one in known]
    chosen = split or (known[0] if len(known) == 1 else first[0] if first else None)
    named = ", ".join(known) or "none"
    if chosen is None:
        raise InvalidDataset(f"{dataset.name}: which split is meant?", hint=f"Name one by --split: {named}")
    found = [one for one in dataset.questions.values() if one.split == chosen]
    if not found:
        raise InvalidDataset(
            f"{dataset.name}: split {chosen!r} has no queries", hint=f"Splits that have: {named}. Name one by --split."
        )
    return found


def relevant_documents(dataset: Dataset, query_id: str) -> frozenset[str]:
    """Return the ids of the documents that are relevant to a query, by the data set's own smallest relevant grade."""
    grades = dataset.grades.get(query_id, {})
    return frozenset(document for document, grade in grades.items() if grade >= dataset.relevant_from)


def is_judged(dataset: Dataset, query_id: str, document_id: str) -> bool:
    """Tell whether the data set says of a pair that it is relevant or not.

    A query that is known to have no answer is a judgement of every document.
    """
    known = document_id in dataset.grades.get(query_id, {})
    return known or dataset.questions[query_id].answerable is False


def _corpus_file(folder: Path) -> Path:
    plain, packed = folder / "corpus.jsonl", folder / "corpus.jsonl.gz"
    return packed if packed.exists() and not plain.exists() else plain


def _judgement_file(folder: Path, split: str | None) -> tuple[Path, str | None]:
    """Return the file of grades, and its split where the layout has a file for each."""
    several = folder / "qrels"
    if not several.is_dir() or (folder / "qrels.tsv").exists():
        return folder / "qrels.tsv", None
    names = sorted(path.stem for path in several.glob("*.tsv"))
    first = [one for one in FIRST_SPLITS if one in names]
    chosen = split or (names[0] if len(names) == 1 else first[0] if first else None)
    if chosen is None:
        known = ", ".join(names) or "none"
        raise InvalidDataset(f"{several}: which split is meant?", hint=f"Name one by --split: {known}")
    return several / f"{chosen}.tsv", chosen


def _question(row: Row, sources: Mapping[str, str]) -> Question:
    text = row.text("text")
    if not text.strip():
        raise InvalidDataset(f"{row.place}: the query has no text")
    answerable = row.value.get("answerable")
    if not isinstance(answerable, bool | None):
        raise InvalidDataset(f"{row.place}: answerable is neither true nor false")
    return Question(row.id, text, answerable, row.optional_text("split") or "train", sources.get(row.id, ""))


def _with_split(question: Question, split: str) -> Question:
    return Question(question.id, question.text, question.answerable, split, question.source)


def _grades(
    path: Path, questions: Mapping[str, Any], passages: Mapping[str, Any], *, header: bool
) -> dict[str, dict[str, int]]:
    grades: dict[str, dict[str, int]] = {}
    for row in read_columns(path, Columns(3, header=header)):
        query, document, grade = row.cells[0], row.cells[1], row.whole_number(-1)
        if query not in questions:
            raise InvalidDataset(f"{row.place}: names query {query!r}, which the data set does not have")
        if document not in passages:
            raise InvalidDataset(f"{row.place}: names document {document!r}, which the data set does not have")
        if grades.setdefault(query, {}).setdefault(document, grade) != grade:
            raise InvalidDataset(f"{row.place}: grades query {query!r} and document {document!r} a second time")
    return grades


def _absent(path: Path, questions: Mapping[str, Any], passages: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    absent: dict[str, dict[str, int]] = {}
    for row in read_columns(path, Columns(3)):
        if row.cells[0] in questions and row.cells[1] not in passages:
            absent.setdefault(row.cells[0], {})[row.cells[1]] = row.whole_number(-1)
    return absent


def _once(place: str, identity: str, known: Mapping[str, Any], noun: str) -> None:
    if identity in known:
        raise InvalidDataset(f"{place}: {noun} {identity!r} is there a second time")
