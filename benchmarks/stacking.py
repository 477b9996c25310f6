"""Does a learned mix of cosine, BM25 and the reranker's logit order and tell apart better than what is shipped?

    ./do bench stacking --data DATA

Fits on the queries of the `calibrate` slices, which no training saw, and measures on `dev` queries: reciprocal rank
fusion, a logistic mix of cosine and BM25 in its place, the reranker alone, and a logistic stack of all three. Every
feature belongs to the pair: BM25 is divided by the question's own sum of idf, never by a neighbour's score.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import Stemmer
from numpy.typing import NDArray
from record import environment_of, write_result
from sklearn.linear_model import LogisticRegression

from second_opinion.models import model_folder
from second_opinion.pipeline.adapters.onnx_embedder import OnnxEmbedder
from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
from second_opinion.pipeline.evaluation.datasets import Dataset, Passage, Question, read_dataset, read_passages
from second_opinion.pipeline.evaluation.slices import MEASURE_ONLY, Slice, slice_dataset
from second_opinion.training.candidates import cut_passage, sample
from second_opinion.training.mining import fuse
from second_opinion.workers.settings import load_settings

SETS = ("squad2_dev", "nq_open", "covid_qa", "scifact", "pubmedqa", "medquad", "cranfield")
SMALL = 3_000
LIST = 100
DRAWS = 2_000
Floats = NDArray[np.float64]


@dataclass
class Asked:
    """Features [candidates, 3] (cosine, BM25 share, logit) of a query's candidates in fused order, and their grades."""

    features: Floats
    documents: list[str]
    grades: Mapping[str, int]
    answerable: bool

    @property
    def relevant(self) -> NDArray[np.bool_]:
        """Whether each candidate is relevant, [candidates]."""
        return np.array([self.grades.get(one, 0) > 0 for one in self.documents])


class Corpus:
    """Chunks of a data set, searched by BM25 and by cosine."""

    def __init__(self, passages: Sequence[Passage], embedder: OnnxEmbedder, cache: Path) -> None:
        cut = [(one.id, text) for one in passages for text in cut_passage(one, embedder.tokenizer)]
        self.documents, self.chunks = [one[0] for one in cut], [one[1] for one in cut]
        self._embedder, self._stemmer = embedder, Stemmer.Stemmer("english")
        kept = cache / f"{embedder.spec.revision}-{len(cut)}-{len(''.join(self.chunks))}.npy"
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            np.save(kept, np.asarray(embedder.embed_passages(self.chunks), dtype=np.float16))
        self._vectors = np.load(kept).astype(np.float32)
        self._bm25 = bm25s.BM25(k1=1.2, b=0.75)
        self._bm25.index(self._words(self.chunks), show_progress=False)

    def _words(self, texts: Sequence[str]) -> Any:
        return bm25s.tokenize(list(texts), stopwords="en", stemmer=self._stemmer, show_progress=False)

    def search(self, question: str, depth: int) -> tuple[NDArray[np.int64], Floats]:
        """Return the rows of the fused candidates and their cosine and BM25 share, [depth, 2]."""
        tokens = bm25s.tokenize(
            [question], stopwords="en", stemmer=self._stemmer, show_progress=False, return_ids=False
        )[0]
        bm25 = self._bm25.get_scores(tokens).astype(np.float64) if tokens else np.zeros(len(self.chunks))
        cosines = self._vectors @ np.asarray(self._embedder.embed_passages([question])[0], dtype=np.float32)
        found = np.argsort(-bm25)[:LIST]
        rows = fuse(found[bm25[found] > 0], np.argsort(-cosines)[:LIST], depth).rows
        seen = np.array([(np.array(self._count(token))) for token in tokens], dtype=np.float64)
        reachable = float(np.log1p((len(self.chunks) - seen + 0.5) / (seen + 0.5)).sum()) or 1.0
        return rows, np.stack([cosines[rows].astype(np.float64), bm25[rows] / reachable], axis=1)

    def _count(self, token: str) -> int:
        number = self._bm25.vocab_dict.get(token)
        if number is None:
            return 0
        pointers = self._bm25.scores["indptr"]
        return int(pointers[number + 1] - pointers[number])


def ask(  # noqa: PLR0913, PLR0917 - what is asked, of what, by whom, how much
    dataset: Dataset, corpus: Corpus, reranker: OnnxReranker, part: Slice, wanted: int, depth: int
) -> list[Asked]:
    """Return the scored candidates of queries of one slice."""
    slices = slice_dataset(dataset).questions
    chosen: list[Question] = sample([one for one in dataset.questions.values() if slices[one.id] is part], wanted)
    asked = []
    for question in chosen:
        rows, features = corpus.search(question.text, depth)
        logits = np.array(reranker.score(question.text, [corpus.chunks[row] for row in rows]))
        documents = [corpus.documents[row] for row in rows]
        grades = dataset.grades.get(question.id, {})
        asked.append(Asked(np.column_stack([features, logits]), documents, grades, question.answerable))
    return asked


def ndcg(one: Asked, scores: Floats) -> float:
    """Return nDCG@10 of documents at the place of their best chunk; NaN where nothing is relevant."""
    order = list(dict.fromkeys(one.documents[row] for row in np.argsort(-scores, kind="stable")))[:10]
    ideal = sorted((grade for grade in one.grades.values() if grade > 0), reverse=True)[:10]
    if not ideal:
        return float("nan")
    gains = [max(0, one.grades.get(document, 0)) for document in order]
    return _gain(gains) / _gain(ideal)


def _gain(grades: Sequence[int]) -> float:
    return float(sum(grade / np.log2(place + 2) for place, grade in enumerate(grades)))


def mix(asked: Sequence[Asked], columns: Sequence[int]) -> LogisticRegression:
    """Fit a logistic mix of some features to relevance."""
    features = np.concatenate([one.features[:, columns] for one in asked])
    return LogisticRegression(C=np.inf, max_iter=1_000).fit(features, np.concatenate([one.relevant for one in asked]))


def interval(values: Floats) -> list[float]:
    """Return mean and 95 % bootstrap interval over queries."""
    known = values[~np.isnan(values)]
    means = np.random.default_rng(0).choice(known, (DRAWS, len(known))).mean(axis=1)
    return [round(float(one), 4) for one in (known.mean(), *np.quantile(means, [0.025, 0.975]))]


def auroc(best: Floats, answerable: NDArray[np.bool_]) -> float | None:
    """Return how well the best score tells answerable questions apart."""
    if answerable.all() or not answerable.any() or np.ptp(best) == 0.0:
        return None  # one class alone, or an order without a scale, as fusion by rank has
    return round(float((best[answerable][:, None] > best[~answerable][None, :]).mean()), 4)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fit", type=int, default=40, help="calibrate queries of a set")
    parser.add_argument("--queries", type=int, default=60, help="dev queries of a set")
    parser.add_argument("--depth", type=int, default=30)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--cache", type=Path, default=Path("/tmp/second-opinion-stacking"))  # noqa: S108 - vectors only
    chosen = parser.parse_args()
    embedder = OnnxEmbedder.open()
    reranker = OnnxReranker(model_folder(load_settings().reranker_model, "reranker"))
    fitted_on: list[Asked] = []
    measured: dict[str, list[Asked]] = {}
    for name in chosen.sets:
        dataset = read_dataset(chosen.data / name)
        passages = list(dataset.passages.values())
        if len(passages) < SMALL:
            passages += read_passages(chosen.data / "distractors" / "corpus.jsonl").values()
        corpus = Corpus(passages, embedder, chosen.cache)
        if name not in MEASURE_ONLY:
            fitted_on += ask(dataset, corpus, reranker, Slice.CALIBRATE, chosen.fit, chosen.depth)
        measured[name] = ask(dataset, corpus, reranker, Slice.MEASURE, chosen.queries, chosen.depth)
    linear, stack = mix(fitted_on, [0, 1]), mix(fitted_on, [0, 1, 2])
    ways = {
        "rrf": lambda one: -np.arange(len(one.documents), dtype=np.float64),
        "linear (cosine, BM25)": lambda one: linear.decision_function(one.features[:, [0, 1]]),
        "reranker": lambda one: one.features[:, 2],
        "stack (cosine, BM25, logit)": lambda one: stack.decision_function(one.features),
    }
    rows: dict[str, Any] = {}
    for name, asked in measured.items():
        values = {way: np.array([ndcg(one, order(one)) for one in asked]) for way, order in ways.items()}
        answerable = np.array([one.answerable for one in asked])
        rows[name] = {
            way: {
                "ndcg10": interval(values[way]),
                "over rrf": interval(values[way] - values["rrf"]),
                "over reranker": interval(values[way] - values["reranker"]),
                "auroc of the best": auroc(np.array([order(one).max() for one in asked]), answerable),
            }
            for way, order in ways.items()
        }
    means = {way: round(float(np.mean([row[way]["ndcg10"][0] for row in rows.values()])), 4) for way in ways}
    spec = reranker.spec
    numbers = ["--fit", str(chosen.fit), "--queries", str(chosen.queries), "--depth", str(chosen.depth)]
    write_result(
        "stacking",
        {
            "reranker": f"{spec.model}@{spec.revision}",
            "weights": {"linear": linear.coef_[0].tolist(), "stack": stack.coef_[0].tolist()},
            "fitted on": {"queries": len(fitted_on), "pairs": sum(len(one.documents) for one in fitted_on)},
            "mean ndcg10": means,
            "sets": rows,
            **environment_of(["stacking.py", "--data", "DATA", *numbers, "--sets", *chosen.sets]),
        },
    )


if __name__ == "__main__":
    main()
