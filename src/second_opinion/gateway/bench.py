"""A short benchmark of the inference engine on this machine, with the bundled models and samples alone.

Each question has two sides that take turns on the same work, so that whatever else the machine does falls on both; the
ratio is what travels. The long benchmarks, against other libraries and of the whole system, are in `benchmarks/`.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from second_opinion.models import model_folder
from second_opinion.pipeline.adapters.onnx_embedder import OnnxEmbedder
from second_opinion.pipeline.adapters.onnx_model import MODEL_FILE
from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
from second_opinion.pipeline.adapters.onnx_tokens import ModelInput
from second_opinion.pipeline.chunking import SectionChunker
from second_opinion.samples import samples_folder
from second_opinion.schemas.chunk import passage_text
from second_opinion.workers.settings import Settings

QUESTION: Final = "How much ibuprofen may a child take?"
PASSAGES: Final = 32
LEAST_TURNS: Final = 2
Side = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One question and what both sides did.

    Attributes:
        other: What the engine is compared with.
        engine_speed: Units a second; likewise `other_speed`.
        ratio: How many times as fast the engine is, by the median over turns.
    """

    question: str
    unit: str
    other: str
    engine_speed: float
    other_speed: float
    ratio: float
    turns: int


def compare(settings: Settings, *, seconds: float) -> Iterator[Comparison]:
    """Yield a comparison for each question, taking about so many seconds for each.

    Raises:
        ModelUnusable: If a model cannot be used.
    """
    embedder = OnnxEmbedder.open(settings.embedder_model, threads=settings.model_threads)
    passages = _passages(embedder)
    read = [embedder.tokenizer.single(text) for text in passages]
    limit = _bare(model_folder(settings.embedder_model, "embedder"), _full_batch(read))
    yield _compared(
        ("embed", "chunks", "bare ONNX Runtime, a full batch without padding"),
        (lambda: embedder.embed_passages(passages), limit),
        len(passages),
        seconds,
    )
    embedder.close()
    reranker = OnnxReranker.open(settings.reranker_model, threads=settings.model_threads)
    pairs = [reranker.tokenizer.pair(reranker.tokenizer.query(QUESTION), text) for text in passages]
    yield _compared(
        ("rerank", "pairs", "bare ONNX Runtime, pair after pair"),
        (
            lambda: reranker.score(QUESTION, passages),
            _bare(model_folder(settings.reranker_model, "reranker"), [(one.ids, one.types) for one in pairs]),
        ),
        len(passages),
        seconds,
    )
    reranker.close()


def _passages(embedder: OnnxEmbedder) -> list[str]:
    """Return chunks of the samples, as many as wanted, from the beginning again when there are too few."""
    chunker = SectionChunker(embedder.tokenizer.rust)
    texts = [path.read_text(encoding="utf-8") for path in sorted(samples_folder().glob("*.md"))]
    found = [
        passage_text("", chunk.headings, chunk.text)
        for text in texts
        for chunk in chunker.chunk(text, media_type="text/markdown", title="")
    ]
    return list(islice(cycle(found), PASSAGES))


def _full_batch(read: Sequence[ModelInput]) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return all inputs as one batch of the same number of tokens in all, each as long as the mean."""
    tokens = np.concatenate([one.ids[0] for one in read])
    length = len(tokens) // len(read)
    ids = tokens[: length * len(read)].reshape(len(read), length)
    return [(ids, np.zeros_like(ids))]


def _bare(folder: Path, inputs: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> Side:
    """Return what runs these inputs through a session with the runtime's own defaults."""
    session = ort.InferenceSession(str(folder / MODEL_FILE), providers=["CPUExecutionProvider"])
    wanted = {one.name for one in session.get_inputs()}

    def run() -> None:
        for ids, types in inputs:
            feeds = {"input_ids": ids, "token_type_ids": types, "attention_mask": np.ones_like(ids)}
            session.run(None, {name: value for name, value in feeds.items() if name in wanted})

    return run


def _compared(named: tuple[str, str, str], sides: tuple[Side, Side], units: int, seconds: float) -> Comparison:
    times: tuple[list[float], list[float]] = ([], [])
    for side in sides:
        side()
    until = time.perf_counter() + seconds
    while len(times[0]) < LEAST_TURNS or time.perf_counter() < until:
        for side, spent in zip(sides, times, strict=True):
            begun = time.perf_counter()
            side()
            spent.append(time.perf_counter() - begun)
    question, unit, other = named
    engine_speed, other_speed = (units / statistics.median(spent) for spent in times)
    ratio = statistics.median(b / a for a, b in zip(*times, strict=True))
    return Comparison(question, unit, other, engine_speed, other_speed, ratio, len(times[0]))
