"""A bi-encoder on ONNX Runtime: pooling and normalising are part of its graph."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from second_opinion.models import BUNDLED, model_folder
from second_opinion.pipeline.adapters.onnx_engine import Engine, Model
from second_opinion.pipeline.adapters.onnx_model import MODEL_FILE, TOKENIZER_FILE, read_manifest
from second_opinion.pipeline.adapters.onnx_tokens import ModelTokenizer
from second_opinion.pipeline.ports import EmbedderSpec, Guard, Vectors, no_guard
from second_opinion.schemas.errors import ModelUnusable, OpinionError


class OnnxEmbedder:
    """Implements `Embedder`. Any number of threads may call it; they share its runners.

    Args:
        folder: A model folder of kind `embedder`.
        threads: Runner threads; 0 is one for each core.

    Attributes:
        spec: What its vectors are.
        tokenizer: Counts as the model does: what a chunker needs to make chunks that are read whole.

    Raises:
        ModelUnusable: If the folder holds no whole and working bi-encoder.
    """

    def __init__(self, folder: Path, *, threads: int = 0) -> None:
        manifest = read_manifest(folder, "embedder")
        if manifest.dims is None:
            raise ModelUnusable(f"{folder}: the manifest does not say how long the vectors are")
        self.folder = folder
        self.spec = EmbedderSpec(
            model=manifest.model,
            revision=manifest.model_sha256[:12],
            dims=manifest.dims,
            max_tokens=manifest.max_tokens,
        )
        self.tokenizer = ModelTokenizer.read(
            folder / TOKENIZER_FILE, max_tokens=manifest.max_tokens, max_query_tokens=manifest.max_tokens
        )
        self._engine = Engine(Model(folder / MODEL_FILE, output_shape=(manifest.dims,)), threads=threads)

    @classmethod
    def open(cls, setting: str = BUNDLED, *, threads: int = 0) -> "OnnxEmbedder":
        """Open the model that a setting names: `bundled`, or a folder."""
        return cls(model_folder(setting, "embedder"), threads=threads)

    def embed_query(self, text: str) -> Vectors:
        """Return the query's vector, shape (dims,), unit length.

        Raises:
            TextUnreadable: If the model fails on it.
        """
        vector: Vectors = self.embed_passages([text])[0]
        return vector

    def embed_passages(self, texts: Sequence[str], *, guard: Guard = no_guard) -> Vectors:
        """Return the passages' vectors, shape (len(texts), dims), unit length; a text is read up to the window.

        Raises:
            TextUnreadable: If the model fails on a text; the message says on which.
            Overloaded: If the engine is shutting down or out of memory.
        """
        vectors = np.empty((len(texts), self.spec.dims), np.float32)
        for position, outcome in enumerate(self._engine.run(texts, self.tokenizer.single, guard=guard)):
            if isinstance(outcome, OpinionError):
                raise type(outcome)(f"passage {position}: {outcome.message}", hint=outcome.hint)
            vectors[position] = outcome
        return vectors

    def query_cut(self, query: str) -> int | None:
        """Return how many tokens of a query are read when it has more; None when it is read whole."""
        return self.tokenizer.query_cut(query, alone=True)

    def close(self) -> None:
        """End the runners."""
        self._engine.close()
