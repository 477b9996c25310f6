"""Reads trained models as they come: weights for the exporter, and a float32 reference in PyTorch to compare with."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from safetensors.numpy import load_file

from second_opinion.pipeline.adapters.onnx_model import TOKENIZER_FILE
from second_opinion.schemas.errors import ModelUnusable
from second_opinion.training.onnx_encoder import EncoderWeights, LayerWeights, Norm
from second_opinion.training.onnx_graph import Floats, Graph
from second_opinion.training.onnx_linear import Affine

WEIGHTS_FILE: Final = "model.safetensors"
_CLASSIFIER: Final = "BertForSequenceClassification"
_BI_ENCODER: Final = "BertModel"

Head = Callable[[Graph, str], str]
"""Adds what comes after the last states, and returns the output."""


@dataclass(frozen=True)
class Source:
    """A trained model.

    Attributes:
        kind: What it becomes.
        head: Adds its head to a graph.
        reference: Computes in PyTorch and float32: scores [N] of pairs, or unit vectors [N, dims] of texts.
        tokenizer: Description of the tokenizer, with the template of its pairs.
    """

    kind: Literal["reranker", "embedder"]
    folder: Path
    encoder: EncoderWeights
    head: Head
    reference: Callable[[Sequence[Any]], Floats]
    tokenizer: dict[str, Any]

    @property
    def revision(self) -> str:
        """First digits of the SHA-256 of its weights."""
        with (self.folder / WEIGHTS_FILE).open("rb") as stream:
            return file_digest(stream, "sha256").hexdigest()[:12]


def read_source(folder: Path) -> Source:
    """Read a BERT cross-encoder or bi-encoder in Hugging Face's layout, or a network of this package's training.

    Raises:
        ModelUnusable: If the folder holds none of these.
    """
    try:
        stored = {name: array.astype(np.float32) for name, array in load_file(str(folder / WEIGHTS_FILE)).items()}
        tokenizer = json.loads((folder / TOKENIZER_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise ModelUnusable(f"{folder} holds no model that can be exported: {problem}") from problem
    if "layers.0.opening" in stored:
        return _own(folder, stored, tokenizer)
    config = _config(folder)
    architecture = (config.get("architectures") or ["?"])[0]
    if architecture == _CLASSIFIER:
        weights = {name.removeprefix("bert."): array for name, array in stored.items()}
        head, encoder = _classifier(weights), _bert(weights, config)
        return Source("reranker", folder, encoder, head, lambda pairs: _cross_encoder(folder, pairs), tokenizer)
    if architecture == _BI_ENCODER and (folder / "modules.json").exists():
        encoder = _bert(stored, config)
        return Source("embedder", folder, encoder, _mean_pool, lambda texts: _bi_encoder(folder, texts), tokenizer)
    raise ModelUnusable(f"{folder} holds a {architecture}; {_CLASSIFIER} and mean-pooled {_BI_ENCODER} can be exported")


def _config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise ModelUnusable(f"{folder} holds no model that can be exported: {problem}") from problem
    return config


def _own(folder: Path, stored: dict[str, Floats], tokenizer: dict[str, Any]) -> Source:
    from second_opinion.training import network_source as own  # noqa: PLC0415 - this kind alone needs torch

    network, template = own.network_of(stored), own.twice_framed(tokenizer)
    return Source(
        "reranker",
        folder,
        own.encoder_of(stored, network.shape.layers),
        lambda graph, states: own.add_head(network, graph, states),
        lambda pairs: own.reference_scores(network, template, pairs),
        template,
    )


def _bert(weights: dict[str, Floats], config: dict[str, Any]) -> EncoderWeights:
    layers = tuple(_bert_layer(weights, f"encoder.layer.{n}") for n in range(config["num_hidden_layers"]))
    embeddings = {name: weights[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type")}
    return EncoderWeights(
        words=embeddings["word"],
        positions=embeddings["position"],
        sides=embeddings["token_type"],
        norm=_norm(weights, "embeddings.LayerNorm"),
        layers=layers,
        heads=config["num_attention_heads"],
        epsilon=config["layer_norm_eps"],
    )


def _bert_layer(weights: dict[str, Floats], name: str) -> LayerWeights:
    attention = [_affine(weights, f"{name}.attention.self.{part}") for part in ("query", "key", "value")]
    joined = Affine(np.concatenate([a.weight for a in attention], 1), np.concatenate([a.bias for a in attention]))
    return LayerWeights(
        qkv=joined,
        mix=_affine(weights, f"{name}.attention.output.dense"),
        mix_norm=_norm(weights, f"{name}.attention.output.LayerNorm"),
        up=_affine(weights, f"{name}.intermediate.dense"),
        down=_affine(weights, f"{name}.output.dense"),
        norm=_norm(weights, f"{name}.output.LayerNorm"),
    )


def _affine(weights: dict[str, Floats], name: str) -> Affine:
    # PyTorch keeps [outputs, inputs].
    return Affine(np.ascontiguousarray(weights[f"{name}.weight"].T), weights[f"{name}.bias"])


def _norm(weights: dict[str, Floats], name: str) -> Norm:
    return Norm(weights[f"{name}.weight"], weights[f"{name}.bias"])


def _classifier(weights: dict[str, Floats]) -> Head:
    def add(graph: Graph, states: str) -> str:
        first = graph.add("Gather", states, graph.constant("int0", np.array(0)), axis=1)
        value = graph.add("Tanh", _gemm(graph, first, "pooler", _affine(weights, "pooler.dense")))
        logits = _gemm(graph, value, "classifier", _affine(weights, "classifier"))
        return graph.add("Squeeze", logits, graph.constant("axes1", np.array([1])))

    return add


def _gemm(graph: Graph, value: str, name: str, layer: Affine) -> str:
    weight, bias = graph.constant(f"{name}.weight", layer.weight), graph.constant(f"{name}.bias", layer.bias)
    return graph.add("Gemm", value, weight, bias)


def _mean_pool(graph: Graph, states: str) -> str:
    mean = graph.add("ReduceMean", states, axes=[1], keepdims=0)
    return graph.add("LpNormalization", mean, axis=-1, p=2)


def _cross_encoder(folder: Path, pairs: Sequence[tuple[str, str]]) -> Floats:
    import torch  # noqa: PLC0415 - only this reference needs it
    from sentence_transformers import CrossEncoder  # noqa: PLC0415

    model = CrossEncoder(str(folder), device="cpu", max_length=384, model_kwargs={"dtype": torch.float32})
    scores: Floats = model.predict(list(pairs), activation_fn=torch.nn.Identity(), show_progress_bar=False)
    return scores.reshape(-1)


def _bi_encoder(folder: Path, texts: Sequence[str]) -> Floats:
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - only this reference needs it

    model = SentenceTransformer(str(folder), device="cpu")
    vectors: Floats = model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
    return vectors
