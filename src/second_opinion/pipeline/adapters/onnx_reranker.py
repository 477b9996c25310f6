"""A cross-encoder on ONNX Runtime: the bundled second opinion."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import onnxruntime as ort

from second_opinion.models import BUNDLED, model_folder
from second_opinion.pipeline.adapters.onnx_engine import Engine, Model, Outcome, never
from second_opinion.pipeline.adapters.onnx_kernel import kernel_class
from second_opinion.pipeline.adapters.onnx_model import MODEL_FILE, TOKENIZER_FILE, read_manifest
from second_opinion.pipeline.adapters.onnx_tokens import ModelTokenizer
from second_opinion.pipeline.ports import Guard, RerankerSpec, TimeIsOver, no_guard
from second_opinion.schemas.errors import ModelUnusable, OpinionError, Overloaded, RerankUnavailable


class OnnxReranker:
    """Implements `TimedReranker`, `QueryReader` and `PassageReader`. Any number of threads may call it.

    They share its runners.

    Args:
        folder: A model folder of kind `reranker`.
        threads: Runner threads; 0 is one for each core.

    Attributes:
        spec: What its calibration is keyed by.
        tokenizer: Counts and cuts as the model does.

    Raises:
        ModelUnusable: If the folder holds no whole and working cross-encoder.
    """

    def __init__(self, folder: Path, *, threads: int = 0) -> None:
        manifest = read_manifest(folder, "reranker")
        if manifest.scale is None:
            raise ModelUnusable(f"{folder}: the manifest does not say what the scores are")
        self.folder = folder
        self.spec = RerankerSpec(
            model=manifest.model,
            revision=manifest.revision,
            backend="onnx",
            dtype=manifest.dtype,
            max_tokens=manifest.max_tokens,
            scale=manifest.scale,
            file_hash=manifest.model_sha256,
            runtime=f"onnxruntime {ort.__version__}",
            kernel=kernel_class(),
            trained_on=manifest.trained_on,
        )
        self.tokenizer = ModelTokenizer.read(
            folder / TOKENIZER_FILE, max_tokens=manifest.max_tokens, max_query_tokens=manifest.max_query_tokens
        )
        self._engine = Engine(Model(folder / MODEL_FILE, output_shape=(1,)), threads=threads)

    @classmethod
    def open(cls, setting: str = BUNDLED, *, threads: int = 0) -> "OnnxReranker":
        """Open the model that a setting names: `bundled`, or a folder."""
        return cls(model_folder(setting, "reranker"), threads=threads)

    def score(self, query: str, passages: Sequence[str], *, guard: Guard = no_guard) -> list[float]:
        """Return the raw score of each passage, in order, all finite; each is what the pair scores alone.

        The query is read up to `tokenizer.max_query_tokens`, a passage up to what is then left of the window.

        Raises:
            RerankUnavailable: If the engine is shutting down or out of memory.
            TextUnreadable: If the model fails on a passage.
        """
        scores = []
        for score in self.score_in_time(query, passages, guard=guard):
            if isinstance(score, OpinionError):
                raise score
            if score is not None:
                scores.append(score)
        return scores

    def score_in_time(
        self, query: str, passages: Sequence[str], *, is_over: TimeIsOver | None = None, guard: Guard = no_guard
    ) -> list[float | OpinionError | None]:
        """Return the raw score of each passage, or None for those that were not read when the time was over.

        A passage on which the model fails has the error in place of its score.

        Raises:
            RerankUnavailable: If the engine is shutting down or out of memory.
        """
        read = partial(self.tokenizer.pair, self.tokenizer.query(query))
        try:
            outcomes = self._engine.run_in_time(passages, read, is_over=is_over or never, guard=guard)
            return [None if outcome is None else _score(outcome) for outcome in outcomes]
        except Overloaded as problem:
            raise RerankUnavailable(problem.message) from problem

    def query_cut(self, query: str) -> int | None:
        """Return how many tokens of a query are read when it has more; None when it is read whole."""
        return self.tokenizer.query_cut(query)

    def reads_whole(self, query: str, passage: str) -> bool:
        """Tell whether the pair fits the window, so that nothing of the passage is left out."""
        return not self.tokenizer.pair(self.tokenizer.query(query), passage).truncated

    def beginning(self, passage: str, tokens: int) -> str:
        """Return the first `tokens` tokens of a passage as text; the passage itself when it has no more."""
        return self.tokenizer.beginning(passage, tokens)

    def close(self) -> None:
        """End the runners."""
        self._engine.close()


def _score(outcome: Outcome) -> float | OpinionError:
    if isinstance(outcome, Overloaded):
        raise outcome
    return outcome if isinstance(outcome, OpinionError) else float(outcome[0])
