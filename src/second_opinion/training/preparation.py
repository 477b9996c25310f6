"""From data sets to prepared pools: tokens, embeddings, candidates and targets, once, before any training."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from second_opinion.pipeline.evaluation.datasets import Dataset, Passage, Question, read_dataset, read_passages
from second_opinion.pipeline.evaluation.slices import Slice, calibrates, slice_dataset
from second_opinion.schemas.chunk import passage_text
from second_opinion.training.encoder import embed
from second_opinion.training.mining import Ranking, bm25_lists, fuse, knn_lists
from second_opinion.training.network import Reranker
from second_opinion.training.pool import PADDING, Pool, Texts
from second_opinion.training.tokens import CLS, PASSAGE_LIMIT, QUERY_LIMIT, SEP, Ids, TokenStore, tokenize

SMALL_CORPUS: Final = 3_000
"""A corpus below this size gets the distractors beside it: among few documents anything ranks well."""
TRAIN_DEPTH: Final = 16
MEASURE_DEPTH: Final = 50
PARTIAL_TARGETS: Final = {
    "scifact": {1: 0.4},
    "covid_qa": {1: 0.7},
    "trec_dl19": {1: 0.33, 2: 0.67},
    "cranfield": {1: 0.5},
}
"""Targets of grades that mean less than an answer; every other grade from 1 up is 1."""
Tick = Callable[[str], Any]


@dataclass(frozen=True)
class Plan:
    """What a preparation takes and where it works.

    Attributes:
        limits: Most queries of a slice taken from a data set; a seeded sample.
        cache: Folder in which embeddings are kept between calls.
        distractors: A corpus without queries that joins small corpora, or none.
        device: Where to embed.
    """

    limits: dict[Slice, int]
    cache: Path
    distractors: Path | None = None
    device: str = "cpu"


@dataclass
class _Rows:
    """Texts gathered over all data sets, addressed by row."""

    passages: list[Ids] = field(default_factory=list)
    titles: list[int] = field(default_factory=list)
    queries: list[Ids] = field(default_factory=list)
    may_train: list[bool] = field(default_factory=list)


@dataclass
class _Entry:
    query: int
    set: int
    candidates: list[int]
    targets: list[float]
    bm25: list[int]
    knn: list[int]
    missing: float
    answerable: bool


class Preparation:
    """Builds the pools of all slices, data set by data set.

    Args:
        network: Its layers embed queries and passages.
        tokenizer: Of the same model.
        plan: What to take, where to keep embeddings, and where to compute them.
        tick: Called with a line about what is being done.
    """

    def __init__(
        self,
        network: Reranker,
        tokenizer: Tokenizer,
        plan: Plan,
        tick: Tick = lambda _line: None,
    ) -> None:
        self._network = network
        self._tokenizer = tokenizer
        self._plan = plan
        self._tick = tick
        self._rows = _Rows()
        self._names: list[str] = []
        self._entries: dict[Slice, list[_Entry]] = {part: [] for part in Slice}
        self._distractors = read_passages(plan.distractors) if plan.distractors else {}

    def add(self, folder: Path) -> None:
        """Prepare the data set in `folder`.

        Raises:
            InvalidDataset: If its files are missing or do not fit together.
        """
        dataset = read_dataset(folder)
        slices = slice_dataset(dataset)
        passages = list(dataset.passages.values())
        parts = [slices.passages[one.id] for one in passages]
        if self._distractors and len(passages) < SMALL_CORPUS:
            passages += self._distractors.values()
            parts += [Slice.CALIBRATE if calibrates(f"distractors/{one}") else Slice.TRAIN for one in self._distractors]
        asked = self._choose(dataset, slices.questions)
        self._tick(f"{dataset.name}: {len(passages)} passages, {len(asked)} queries")
        base = self._add_passages(passages, parts)
        queries = tokenize(self._tokenizer, [question.text for question, _ in asked], QUERY_LIMIT)
        own, others = base + len(dataset.passages), base + len(passages)
        vectors = [
            self._vectors(f"{dataset.name}-passages", _store(self._rows.passages[base:own])),
            self._vectors("distractors-passages", _store(self._rows.passages[own:others])),
        ]
        asked_vectors = self._vectors(f"{dataset.name}-queries", queries)
        bm25 = bm25_lists([_text(one) for one in passages], [question.text for question, _ in asked])
        knn = knn_lists(np.concatenate(vectors), asked_vectors)
        place = {one.id: row for row, one in enumerate(passages)}
        number = len(self._names)
        self._names.append(dataset.name)
        for row, (question, part) in enumerate(asked):
            targets = _targets(dataset, question, place)
            depth = 4 * TRAIN_DEPTH if part is Slice.TRAIN else MEASURE_DEPTH
            entry = _entry(fuse(bm25[row], knn[row], depth), targets, parts if part is Slice.TRAIN else None)
            entry.answerable = question.answerable is not False
            entry.query, entry.set = len(self._rows.queries), number
            entry.candidates = [base + one for one in entry.candidates]
            self._rows.queries.append(queries[row])
            self._entries[part].append(entry)

    def save(self, folder: Path) -> None:
        """Write the texts and the pool of every slice into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        passages, may_train = _store(self._rows.passages), np.array(self._rows.may_train)
        titles = np.array(self._rows.titles, dtype=np.uint8)
        rarity = rarities(passages, may_train, self._network.shape.vocabulary)
        Texts(passages, _store(self._rows.queries), titles, rarity).save(folder / "texts.npz")
        for part, entries in self._entries.items():
            _pool(entries, tuple(self._names)).save(folder, part)
            self._tick(f"{part}: {len(entries)} queries")

    def _choose(self, dataset: Dataset, slices: dict[str, Slice]) -> list[tuple[Question, Slice]]:
        chosen = []
        for part in Slice:
            found = sorted(
                (one for one in dataset.questions.values() if slices[one.id] is part), key=lambda one: one.id
            )
            random.Random(f"{dataset.name}/{part}").shuffle(found)  # noqa: S311 - a sample, not a secret
            chosen += [(one, part) for one in found[: self._plan.limits[part]]]
        return chosen

    def _add_passages(self, passages: Sequence[Passage], parts: Sequence[Slice]) -> int:
        base = len(self._rows.passages)
        titles = tokenize(self._tokenizer, [passage_text(one.title, (), "") for one in passages], 255)
        texts = tokenize(self._tokenizer, [_text(one) for one in passages], PASSAGE_LIMIT)
        self._rows.passages += [texts[row] for row in range(len(texts))]
        self._rows.titles += [titles.length(row) for row in range(len(titles))]
        self._rows.may_train += [part is Slice.TRAIN for part in parts]
        return base

    def _vectors(self, name: str, texts: TokenStore) -> NDArray[np.float16]:
        path = self._plan.cache / f"{name}-{len(texts)}-{len(texts.ids)}.npy"
        if not path.exists():
            self._plan.cache.mkdir(parents=True, exist_ok=True)
            np.save(path, embed(self._network, texts, device=self._plan.device))
        found: NDArray[np.float16] = np.load(path)
        return found


def rarities(passages: TokenStore, counted: NDArray[np.bool_], vocabulary: int) -> NDArray[np.float32]:
    """Return the inverse document frequency of each word piece over the passages that are `counted`."""
    seen = np.zeros(vocabulary, dtype=np.int64)
    for row in np.flatnonzero(counted).tolist():
        seen[np.unique(passages[row])] += 1
    total = int(counted.sum())
    found = np.log1p((total - seen + 0.5) / (seen + 0.5)).astype(np.float32)
    found[[0, CLS, SEP]] = 0.0
    return found


def target_of(name: str, grade: int) -> float:
    """Return how relevant a grade of a data set is, 0 to 1."""
    return PARTIAL_TARGETS.get(name, {}).get(grade, float(grade > 0))


def _targets(dataset: Dataset, question: Question, place: dict[str, int]) -> dict[int, float]:
    """Return the targets that are known, by row; the source of an unanswerable question is known to be 0."""
    grades = dataset.grades.get(question.id, {})
    targets = {place[one]: target_of(dataset.name, grade) for one, grade in grades.items()}
    if question.source in place:
        targets.setdefault(place[question.source], 0.0)
    return targets


def _entry(ranking: Ranking, targets: dict[int, float], parts: Sequence[Slice] | None) -> _Entry:
    """Join ranks and targets; with `parts`, only passages that may train, led by those that no list had."""
    kept = list(zip(ranking.rows.tolist(), ranking.bm25_ranks.tolist(), ranking.knn_ranks.tolist(), strict=True))
    if parts is not None:
        kept = [one for one in kept if parts[one[0]] is Slice.TRAIN]
        near = {one[0] for one in kept[:TRAIN_DEPTH]}
        lost = [row for row in targets if parts[row] is Slice.TRAIN and row not in near]
        kept = [*((row, PADDING, PADDING) for row in lost), *(one for one in kept if one[0] not in lost)][:TRAIN_DEPTH]
    rows = [one[0] for one in kept]
    missing = sum(target for row, target in targets.items() if row not in set(rows))
    found = [targets.get(row, 0.0) for row in rows]
    return _Entry(0, 0, rows, found, [one[1] for one in kept], [one[2] for one in kept], missing, answerable=False)


def _text(passage: Passage) -> str:
    return passage_text(passage.title, (), passage.text)


def _store(rows: Sequence[Ids]) -> TokenStore:
    starts = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=starts[1:])
    return TokenStore(np.concatenate([*rows, np.zeros(0, dtype=np.uint16)]).astype(np.uint16), starts)


def _pool(entries: Sequence[_Entry], names: tuple[str, ...]) -> Pool:
    depth = max((len(one.candidates) for one in entries), default=0)

    def table(rows: Sequence[Sequence[float]], filler: float, kind: type) -> NDArray[Any]:
        padded = [[*row, *[filler] * (depth - len(row))] for row in rows]
        return np.array(padded, dtype=kind).reshape(len(entries), depth)

    return Pool(
        queries=np.array([one.query for one in entries], dtype=np.int32),
        sets=np.array([one.set for one in entries], dtype=np.int8),
        candidates=table([one.candidates for one in entries], PADDING, np.int32),
        targets=table([one.targets for one in entries], np.nan, np.float32),
        bm25_ranks=table([one.bm25 for one in entries], PADDING, np.int16),
        knn_ranks=table([one.knn for one in entries], PADDING, np.int16),
        missing=np.array([one.missing for one in entries], dtype=np.float32),
        answerable=np.array([one.answerable for one in entries], dtype=np.bool_),
        names=names,
    )
