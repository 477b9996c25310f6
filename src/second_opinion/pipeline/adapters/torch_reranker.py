"""Any cross-encoder of Sentence Transformers, on torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from second_opinion.pipeline.adapters.torch_model import (
    MAX_TOKENS,
    TorchOptions,
    Turns,
    batch_size,
    first_line,
    is_out_of_memory,
    load,
    readable,
    runtime,
)
from second_opinion.pipeline.ports import Guard, RerankerSpec, TimeIsOver, no_guard
from second_opinion.schemas.errors import (
    ExtraMissing,
    ModelUnusable,
    OpinionError,
    RerankUnavailable,
    TextUnreadable,
)

try:
    import torch
    from sentence_transformers import CrossEncoder
except ImportError as problem:
    raise ExtraMissing.of("torch", "sentence-transformers") from problem

_BARE: Final = ("Model", "ForMaskedLM", "ForPreTraining")
"""How names of architectures end that have no head for scores; one made up of random numbers would be put on them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchRerankerOptions(TorchOptions):
    """How to load a cross-encoder."""


class TorchReranker:
    """Implements `TimedReranker`. Any number of threads may call it; their batches take turns.

    Scores are logits, without the activation that the model came with, so that nothing saturates. In fp32 a pair's
    score in a batch is within 1e-3 of its score alone; with batches of one it is the same to the bit.

    Args:
        options: Which model, and how.

    Attributes:
        spec: What its calibration is keyed by; `kernel` is the kind of device.

    Raises:
        ModelUnusable: If the model cannot be loaded, gives more than one number for a pair, or has no trained head.
    """

    def __init__(self, options: TorchRerankerOptions) -> None:
        self._name = options.model
        more: dict[str, Any] = {} if options.max_length is None else {"max_length": options.max_length}
        self._model, weights = load(options, CrossEncoder, activation_fn=torch.nn.Identity(), **more)
        _require_one_trained_label(self._model, options.model)
        device = self._model.device
        self._batch_size = batch_size(options, device)
        self._turns = Turns()
        self.spec = RerankerSpec(
            model=weights.model,
            revision=weights.revision,
            backend="sentence-transformers",
            dtype=options.dtype,
            max_tokens=_window(self._model, options),
            scale="logit",
            file_hash=weights.file_hash,
            runtime=runtime(),
            kernel=device.type,
        )
        self._warm_up()

    @classmethod
    def open(cls, options: TorchRerankerOptions) -> "TorchReranker":
        """Load the model that the options name."""
        return cls(options)

    def score(self, query: str, passages: Sequence[str], *, guard: Guard = no_guard) -> list[float]:
        """Return the logit of each passage, in order, all finite.

        Raises:
            RerankUnavailable: If it is closed or out of memory.
            TextUnreadable: If the model fails on a passage.
        """
        guard()
        # Of like length, passages need little padding beside each other.
        order = sorted(range(len(passages)), key=lambda position: len(passages[position]))
        scores = [0.0] * len(passages)
        for start in range(0, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            found = self._run(query, [passages[position] for position in batch], guard)
            for position, score in zip(batch, found, strict=True):
                scores[position] = score
        return scores

    def score_in_time(
        self, query: str, passages: Sequence[str], *, is_over: TimeIsOver | None = None, guard: Guard = no_guard
    ) -> list[float | OpinionError | None]:
        """Return the logit of each passage, or None for those that were not read when the time was over.

        The time is looked at between batches, which are made of the passages in their order. Of a batch on which the
        model fails each passage is read alone, and the one that it fails on has the error in place of its logit.

        Raises:
            RerankUnavailable: If it is closed or out of memory.
        """
        guard()
        if is_over is None:
            try:
                return [*self.score(query, passages, guard=guard)]
            except TextUnreadable:
                pass  # Which one it was, each batch tells.
        scores: list[float | OpinionError | None] = []
        while len(scores) < len(passages) and not (is_over and is_over()):
            scores += self._each(query, passages[len(scores) : len(scores) + self._batch_size], guard)
        return scores + [None] * (len(passages) - len(scores))

    def query_cut(self, query: str) -> int | None:
        """Return how many tokens of a query are sure to be read beside any passage; None when it is read whole.

        The tokenizer shortens whichever of the two is the longer one.
        """
        tokenizer = self._model.tokenizer
        sure = (self.spec.max_tokens - tokenizer.num_special_tokens_to_add(pair=True)) // 2
        tokens = tokenizer(readable(query), add_special_tokens=False, verbose=False)["input_ids"]
        return sure if len(tokens) > sure else None

    def close(self) -> None:
        """Let no further batch run."""
        self._turns.closed = True

    def _each(self, query: str, passages: Sequence[str], guard: Guard) -> Sequence[float | OpinionError]:
        """Return a logit or an error for each passage of one batch."""
        try:
            return self._run(query, passages, guard)
        except TextUnreadable as problem:
            if len(passages) == 1:
                return [problem]
        return [one for passage in passages for one in self._each(query, [passage], guard)]

    def _run(self, query: str, passages: Sequence[str], guard: Guard) -> list[float]:
        pairs = [(readable(query), readable(passage)) for passage in passages]
        with self._turns.turn(guard):
            if self._turns.closed:
                raise RerankUnavailable(f"the reranker {self._name} is shutting down")
            logits = self._predict(pairs)
        if len(logits) != len(pairs) or not all(map(math.isfinite, logits)):
            raise TextUnreadable(
                f"{self._name} gives no finite score for this text",
                hint="Take fp32 or bf16 instead of fp16, or leave this document out.",
            )
        return logits

    def _predict(self, pairs: list[tuple[str, str]]) -> list[float]:
        try:
            found = self._model.predict(pairs, batch_size=len(pairs), show_progress_bar=False)
        except Exception as problem:
            if not is_out_of_memory(problem):
                raise TextUnreadable(f"{self._name} fails on this text: {first_line(problem)}") from problem
        else:
            return [float(logit) for logit in found]
        # Behind the handler the failed run's tensors are gone, so that the cache can be given back.
        if self._model.device.type == "cuda":
            torch.cuda.empty_cache()
        raise RerankUnavailable(
            f"not enough memory to run {self._name} on {len(pairs)} passages",
            hint="Lower the reranker's batch size or its length, or give it more memory.",
        )

    def _warm_up(self) -> None:
        try:
            self._run("a question", ["a passage"], no_guard)
        except TextUnreadable as problem:
            raise ModelUnusable(f"{self._name} does not compute: {problem.message}") from problem


def _require_one_trained_label(model: CrossEncoder, name: str) -> None:
    if model.num_labels != 1:
        raise ModelUnusable(
            f"{name} gives {model.num_labels} numbers for a pair; a reranker gives one",
            hint="Take a cross-encoder that was trained to rank, such as cross-encoder/ms-marco-MiniLM-L6-v2.",
        )
    architectures = getattr(model.config, "architectures", None) or [""]
    if architectures[0].endswith(_BARE):
        raise ModelUnusable(
            f"{name} is no cross-encoder: a {architectures[0]} has no head that gives scores",
            hint="Take a cross-encoder, such as cross-encoder/ms-marco-MiniLM-L6-v2; this may be a bi-encoder.",
        )


def _window(model: CrossEncoder, options: TorchRerankerOptions) -> int:
    said = options.max_length or getattr(model.tokenizer, "model_max_length", None)
    if said is None or said > MAX_TOKENS:
        raise ModelUnusable(
            f"{options.model} does not say how many tokens it reads", hint="Set the length of the reranker."
        )
    return int(said)
