"""Reads a network of `training.network` for export: layers by hand, the head as PyTorch traces it."""

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import onnx
import torch
from tokenizers import Tokenizer as RustTokenizer
from torch import Tensor, nn

from second_opinion.pipeline.adapters.onnx_tokens import ModelTokenizer
from second_opinion.training.network import Reranker, Shape
from second_opinion.training.onnx_encoder import EncoderWeights, LayerWeights, Norm
from second_opinion.training.onnx_graph import OPSET, Floats, Graph
from second_opinion.training.onnx_linear import Affine

_EXAMPLE_TOKENS: Final = 12
_REFERENCE_TOKENS: Final = 384


def network_of(stored: dict[str, Floats]) -> Reranker:
    """Build the network that these weights belong to."""
    heads = len(stored["layers.0.opening"])
    shape = Shape(
        vocabulary=len(stored["words.weight"]),
        width=stored["words.weight"].shape[1],
        layers=1 + max(int(name.split(".")[1]) for name in stored if name.startswith("layers.")),
        heads=heads,
        inner=len(stored["layers.0.up.bias"]),
        positions=len(stored["positions.weight"]),
    )
    network = Reranker(shape)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in stored.items()})
    return network.eval().requires_grad_(requires_grad=False)


def encoder_of(stored: dict[str, Floats], layers: int) -> EncoderWeights:
    """Return embeddings and layers for the exporter."""

    def affine(name: str) -> Affine:
        return Affine(np.ascontiguousarray(stored[f"{name}.weight"].T), stored[f"{name}.bias"])

    def norm(name: str) -> Norm:
        return Norm(stored[f"{name}.weight"], stored[f"{name}.bias"])

    def layer(name: str) -> LayerWeights:
        return LayerWeights(
            qkv=affine(f"{name}.qkv"),
            mix=affine(f"{name}.mix"),
            mix_norm=norm(f"{name}.mix_norm"),
            up=affine(f"{name}.up"),
            down=affine(f"{name}.down"),
            norm=norm(f"{name}.norm"),
            opening=stored[f"{name}.opening"],
        )

    return EncoderWeights(
        words=stored["words.weight"],
        positions=stored["positions.weight"],
        sides=stored["sides.weight"],
        norm=norm("norm"),
        layers=tuple(layer(f"layers.{number}") for number in range(layers)),
        heads=len(stored["layers.0.opening"]),
        restarts=True,
    )


def add_head(network: Reranker, graph: Graph, states: str) -> str:
    """Trace `network.judge` and add it to the graph; returns the logits [B]."""
    ids = torch.arange(_EXAMPLE_TOKENS).unsqueeze(0)
    sides = (ids >= _EXAMPLE_TOKENS // 2).long()
    names = ["states", "input_ids", "token_type_ids"]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "head.onnx"
        torch.onnx.export(
            _Head(network),
            (network.states(ids, torch.ones_like(ids), sides), ids, sides),
            path,
            input_names=names,
            output_names=["logit"],
            dynamic_axes={**{name: {0: "batch", 1: "tokens"} for name in names}, "logit": {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )
        part = onnx.load(str(path)).graph
    return graph.include(part, "head", {name: name for name in names} | {"states": states})


def reference_scores(network: Reranker, template: dict[str, Any], pairs: Sequence[tuple[str, str]]) -> Floats:
    """Score pairs in PyTorch and float32, one at a time. Returns [N]."""
    rust = RustTokenizer.from_str(json.dumps(template))
    tokenizer = ModelTokenizer(rust, max_tokens=_REFERENCE_TOKENS, max_query_tokens=_REFERENCE_TOKENS // 3)
    found = []
    with torch.inference_mode():
        for query, passage in pairs:
            given = tokenizer.pair(tokenizer.query(query), passage)
            ids, sides = torch.from_numpy(given.ids), torch.from_numpy(given.types)
            found.append(float(network(ids, torch.ones_like(ids), sides)))
    return np.array(found, np.float32)


def twice_framed(tokenizer: dict[str, Any]) -> dict[str, Any]:
    """Return a tokenizer description whose pairs are `[CLS] query [SEP] [CLS] passage [SEP]`, as this network reads."""
    processor = json.loads(json.dumps(tokenizer["post_processor"]))
    text = {"A": {"Sequence": {"id": "A", "type_id": 0}}, "B": {"Sequence": {"id": "B", "type_id": 1}}}

    def special(name: str, kind: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": name, "type_id": kind}}

    query = [special("[CLS]", 0), text["A"], special("[SEP]", 0)]
    processor["pair"] = [*query, special("[CLS]", 1), text["B"], special("[SEP]", 1)]
    return {**tokenizer, "post_processor": processor}


class _Head(nn.Module):
    """What `Reranker.judge` computes for unpadded input."""

    def __init__(self, network: Reranker) -> None:
        super().__init__()
        self.network = network

    def forward(self, states: Tensor, input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        """Return logits [B]."""
        mask = torch.ones_like(input_ids)
        return self.network.judge(states, input_ids, mask, token_type_ids).squeeze(-1)
