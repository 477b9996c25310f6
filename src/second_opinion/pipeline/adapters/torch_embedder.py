"""Any bi-encoder of Sentence Transformers, on torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from tokenizers import Tokenizer as RustTokenizer

from second_opinion.pipeline.adapters.onnx_tokens import ModelTokenizer
from second_opinion.pipeline.adapters.torch_model import (
    MAX_TOKENS,
    TorchOptions,
    Turns,
    batch_size,
    first_line,
    is_out_of_memory,
    load,
    readable,
)
from second_opinion.pipeline.ports import EmbedderSpec, Guard, Vectors, no_guard
from second_opinion.schemas.errors import ExtraMissing, ModelUnusable, Overloaded, TextUnreadable

try:
    import torch
    from sentence_transformers import SentenceTransformer
except ImportError as problem:
    raise ExtraMissing.of("torch", "sentence-transformers") from problem


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchEmbedderOptions(TorchOptions):
    """How to load a bi-encoder.

    Attributes:
        query_prompt: Put before each query; left out, what the model says of queries.
        passage_prompt: Put before each passage; likewise.
        dims: Keep only this many numbers of each vector, for models trained so (Matryoshka).
    """

    query_prompt: str | None = None
    passage_prompt: str | None = None
    dims: int | None = None


class TorchEmbedder:
    """Implements `Embedder`. Any number of threads may call it; their batches take turns.

    Args:
        options: Which model, and how.

    Attributes:
        spec: What its vectors are; prompts, dtype and truncation are part of the revision, because they change vectors.
        tokenizer: Counts as the model does: what a chunker needs to make chunks that are read whole.

    Raises:
        ModelUnusable: If the model cannot be loaded, or gives no vectors of the asked length.
    """

    def __init__(self, options: TorchEmbedderOptions) -> None:
        self._name = options.model
        self._model, weights = load(options, SentenceTransformer)
        if options.max_length is not None:
            self._model.max_seq_length = options.max_length
        self._query, self._passage = _prompts(self._model, options)
        self._batch_size = batch_size(options, self._model.device)
        self._turns = Turns()
        window = _window(self._model, options)
        whole = self._warm_up()
        self._dims = options.dims or whole
        if not 1 <= self._dims <= whole:
            raise ModelUnusable(
                f"{options.model} gives vectors of {whole} numbers, not {self._dims}", hint="Ask for fewer dims."
            )
        self.spec = EmbedderSpec(
            model=weights.model,
            revision=_revision(weights.revision, options, self._query, self._passage),
            dims=self._dims,
            max_tokens=window,
        )
        self.tokenizer = _tokenizer(self._model, options.model, window)

    @classmethod
    def open(cls, options: TorchEmbedderOptions) -> "TorchEmbedder":
        """Load the model that the options name."""
        return cls(options)

    def embed_query(self, text: str) -> Vectors:
        """Return the query's vector, shape (dims,), unit length.

        Raises:
            TextUnreadable: If the model fails on it.
            Overloaded: If it is closed or out of memory.
        """
        vector: Vectors = self._vectors([readable(text)], self._query, no_guard)[0]
        return vector

    def embed_passages(self, texts: Sequence[str], *, guard: Guard = no_guard) -> Vectors:
        """Return the passages' vectors, shape (len(texts), dims), unit length; a text is read up to the window.

        Raises:
            TextUnreadable: If the model fails on a text.
            Overloaded: If it is closed or out of memory.
        """
        guard()
        order = sorted(range(len(texts)), key=lambda position: len(texts[position]))
        vectors = np.empty((len(texts), self._dims), np.float32)
        for start in range(0, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            vectors[batch] = self._vectors([readable(texts[position]) for position in batch], self._passage, guard)
        return vectors

    def query_cut(self, query: str) -> int | None:
        """Return how many tokens of a query are read, its prompt included, when there are more; else None."""
        return self.tokenizer.query_cut(self._query + query, alone=True)

    def close(self) -> None:
        """Let no further batch run."""
        self._turns.closed = True

    def _vectors(self, texts: list[str], prompt: str, guard: Guard) -> Vectors:
        with self._turns.turn(guard):
            if self._turns.closed:
                raise Overloaded(f"the embedder {self._name} is shutting down")
            found = self._encode(texts, prompt)[:, : self._dims].astype(np.float64)
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or not lengths.all():
            raise TextUnreadable(f"{self._name} gives no vector with a direction for this text")
        unit: Vectors = (found / lengths).astype(np.float32)
        return unit

    def _warm_up(self) -> int:
        """Compute once, and return how long the model's vectors are."""
        try:
            return int(self._encode(["a text"], self._passage).shape[-1])
        except TextUnreadable as problem:
            raise ModelUnusable(f"{self._name} does not compute: {problem.message}") from problem

    def _encode(self, texts: list[str], prompt: str) -> Vectors:
        try:
            found: Vectors = self._model.encode(
                texts, prompt=prompt, batch_size=len(texts), show_progress_bar=False, convert_to_numpy=True
            )
        except Exception as problem:
            if not is_out_of_memory(problem):
                raise TextUnreadable(f"{self._name} fails on this text: {first_line(problem)}") from problem
        else:
            return found
        if self._model.device.type == "cuda":
            torch.cuda.empty_cache()
        raise Overloaded(f"not enough memory to run {self._name} on {len(texts)} texts")


def _prompts(model: SentenceTransformer, options: TorchEmbedderOptions) -> tuple[str, str]:
    """Return what goes before queries and passages: as asked, or as the model was trained."""
    said = {name: prompt or "" for name, prompt in (model.prompts or {}).items()}
    default = said.get(model.default_prompt_name or "", "")
    query = said.get("query") or default
    passage = next((said[name] for name in ("document", "passage", "corpus") if said.get(name)), default)
    return (
        query if options.query_prompt is None else options.query_prompt,
        passage if options.passage_prompt is None else options.passage_prompt,
    )


def _revision(weights: str, options: TorchEmbedderOptions, query: str, passage: str) -> str:
    parts = [weights[:12]]
    if options.dtype != "fp32":
        parts.append(options.dtype)
    if query or passage:
        parts.append(sha256(f"{query}\0{passage}".encode()).hexdigest()[:8])
    return "-".join(parts)


def _window(model: SentenceTransformer, options: TorchEmbedderOptions) -> int:
    said = model.max_seq_length
    if said is None or said > MAX_TOKENS:
        raise ModelUnusable(
            f"{options.model} does not say how many tokens it reads", hint="Set the length of the embedder."
        )
    return int(said)


def _tokenizer(model: SentenceTransformer, name: str, window: int) -> ModelTokenizer:
    rust = getattr(model.tokenizer, "backend_tokenizer", None)
    if rust is None:
        raise ModelUnusable(f"{name} has no tokenizer that chunks can be cut with", hint="Take another embedder.")
    # A copy, because the model's own one is set to cut and to pad.
    return ModelTokenizer(RustTokenizer.from_str(rust.to_str()), max_tokens=window, max_query_tokens=window)
