"""How well does the reranker order the BM25 list of TREC's deep learning track 2019?

    ./do bench trec_dl19 --data DATA [--bi-encoder FOLDER ...]

Reranks the top 100 of BM25 that comes with the set, as published figures do: BM25 alone 0.506, a cross-encoder of the
same size trained on MS MARCO 0.743. No model here was trained on this set or on any query of it. With --bi-encoder the
cosines of others than the bundled one are measured too, such as those that training started from or was guided by.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from record import environment_of, write_result
from stacking import interval

from second_opinion.models import model_folder
from second_opinion.pipeline.adapters.onnx_embedder import OnnxEmbedder
from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
from second_opinion.pipeline.evaluation.datasets import read_passages
from second_opinion.schemas.chunk import passage_text
from second_opinion.workers.settings import load_settings

RUN = "BM25"


def rows(path: Path) -> list[list[str]]:
    """Return the columns of a tab-separated file."""
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


def ndcg(grades: list[int], known: list[int]) -> float:
    """Return nDCG@10 of graded results against everything that is known to be relevant."""
    gain = [sum(grade / np.log2(place + 2) for place, grade in enumerate(one[:10])) for one in (grades, known)]
    return float(gain[0] / gain[1])


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--reranker", type=Path, help="model folder; the bundled one if left out")
    parser.add_argument("--bi-encoder", type=Path, action="append", default=[], help="as training.bi-encoder leaves it")
    chosen = parser.parse_args()
    folder = chosen.data / "trec_dl19"
    texts = {one.id: passage_text(one.title, (), one.text) for one in read_passages(folder / "corpus.jsonl").values()}
    questions = {str(row["id"]): str(row["text"]) for row in _objects(folder / "queries.jsonl")}
    grades: dict[str, dict[str, int]] = {}
    for query, document, grade, *_ in rows(folder / "qrels_full.tsv"):
        grades.setdefault(query, {})[document] = int(grade)
    lists: dict[str, list[str]] = {}
    for run, query, document, *_ in rows(folder / "candidates.tsv"):
        if run == RUN and query in grades:
            lists.setdefault(query, []).append(document)
    reranker = OnnxReranker(chosen.reranker or model_folder(load_settings().reranker_model, "reranker"))
    embedder = OnnxEmbedder.open()
    others = {folder.name: other_cosines(folder) for folder in chosen.bi_encoder}
    found: dict[str, list[float]] = {"bm25": [], "cosine": [], "reranked": [], **{name: [] for name in others}}
    for query, documents in lists.items():
        passages = [texts[one] for one in documents]
        cosines = np.asarray(embedder.embed_passages(passages)) @ np.asarray(
            embedder.embed_passages([questions[query]])[0]
        )
        orders = {
            "bm25": np.arange(len(documents)),
            "cosine": np.argsort(-cosines, kind="stable"),
            "reranked": np.argsort(-np.array(reranker.score(questions[query], passages)), kind="stable"),
        }
        for name, cosine in others.items():
            orders[name] = np.argsort(-cosine(questions[query], passages), kind="stable")
        ideal = sorted(grades[query].values(), reverse=True)
        for name, order in orders.items():
            found[name].append(ndcg([grades[query].get(documents[row], 0) for row in order], ideal))
    spec = reranker.spec
    arguments = ["trec_dl19.py", "--data", "DATA", *(["--reranker", "MODEL"] if chosen.reranker else [])]
    arguments += [word for name in others for word in ("--bi-encoder", name)]
    write_result(
        "trec_dl19" if chosen.reranker is None else "trec_dl19_other",
        {
            "reranker": f"{spec.model}@{spec.revision}",
            "queries": len(lists),
            "ndcg10": {name: interval(np.array(values)) for name, values in found.items()},
            **environment_of(arguments),
        },
    )


def other_cosines(folder: Path) -> Callable[[str, Sequence[str]], np.ndarray]:
    """Return what compares a query with passages by a bi-encoder that ONNX Runtime does not serve here."""
    from second_opinion.training.encoder import embed  # noqa: PLC0415 - needs torch
    from second_opinion.training.guidance import Guide  # noqa: PLC0415
    from second_opinion.training.tokens import PASSAGE_LIMIT, QUERY_LIMIT, read_tokenizer, tokenize  # noqa: PLC0415

    guide, tokenizer = Guide.open(folder), read_tokenizer(folder / "tokenizer.json")

    def cosines(query: str, passages: Sequence[str]) -> np.ndarray:
        asked, read = tokenize(tokenizer, [query], QUERY_LIMIT), tokenize(tokenizer, passages, PASSAGE_LIMIT)
        pooling = guide.habits.pooling
        vectors = embed(guide.network, read, prefix=guide.passage_prefix, pooling=pooling).astype(np.float32)
        return vectors @ embed(guide.network, asked, prefix=guide.query_prefix, pooling=pooling)[0].astype(np.float32)

    return cosines


def _objects(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
