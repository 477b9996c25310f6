"""The bi-encoder inside the network: where training starts, and what mines candidates, one text a row, read alone."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file

from second_opinion.training.network import Reranker, Shape
from second_opinion.training.tokens import CLS, SEP, TokenStore

HEAD_WIDTH: Final = 32
"""Of the small BERT encoders, 384 wide; the weights do not tell."""
_LAYER_NAMES: Final = {
    "mix": "attention.output.dense",
    "mix_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "norm": "output.LayerNorm",
}


def from_bi_encoder(weights: Path, shape: Shape | None = None) -> Reranker:
    """Build the network whose layers are those of a BERT bi-encoder stored as safetensors at `weights`.

    Without a `shape`, it is that of the weights, and all its layers learn.
    """
    stored = load_file(str(weights))
    shape = shape or shape_for(weights)
    network = Reranker(shape)
    state = network.state_dict()
    embeddings = {"words": "word", "positions": "position", "sides": "token_type"}
    for ours, theirs in embeddings.items():
        state[f"{ours}.weight"] = stored[f"embeddings.{theirs}_embeddings.weight"]
    # The bi-encoder has only ever seen side 0: both texts start from it.
    state["sides.weight"] = state["sides.weight"][:1].repeat(2, 1)
    for part in ("weight", "bias"):
        state[f"norm.{part}"] = stored[f"embeddings.LayerNorm.{part}"]
        for number in range(shape.layers):
            source, target = f"encoder.layer.{number}", f"layers.{number}"
            fused = [stored[f"{source}.attention.self.{name}.{part}"] for name in ("query", "key", "value")]
            state[f"{target}.qkv.{part}"] = torch.cat(fused)
            for ours, theirs in _LAYER_NAMES.items():
                state[f"{target}.{ours}.{part}"] = stored[f"{source}.{theirs}.{part}"]
    network.load_state_dict(state)
    return network


def shape_for(weights: Path, apart: int = 0) -> Shape:
    """Return the shape of a network that starts from these weights and keeps its lowest `apart` layers as they are."""
    with safe_open(str(weights), "pt") as stored:
        layers = [name.split(".")[2] for name in list(stored.keys()) if name.startswith("encoder.layer.")]
        vocabulary, width = stored.get_slice("embeddings.word_embeddings.weight").get_shape()
        return Shape(
            vocabulary=vocabulary,
            width=width,
            layers=1 + max(map(int, layers)),
            heads=max(1, width // HEAD_WIDTH),
            inner=stored.get_slice("encoder.layer.0.intermediate.dense.bias").get_shape()[0],
            positions=stored.get_slice("embeddings.position_embeddings.weight").get_shape()[0],
            apart=apart,
        )


def embed(  # noqa: PLR0913 - how a bi-encoder wants its texts, and where to compute
    network: Reranker,
    texts: TokenStore,
    *,
    prefix: Sequence[int] = (),
    pooling: Literal["mean", "first"] = "mean",
    tokens_a_batch: int = 8_192,
    device: str = "cpu",
    tick: Callable[[int], Any] = lambda _done: None,
) -> NDArray[np.float16]:
    """Embed every text, longest first. Returns unit vectors [len(texts), width].

    Args:
        network: Its layers are used; its openings and head are not.
        texts: What to embed.
        prefix: Tokens that are written before each text.
        pooling: Whether a text's vector is the mean of its tokens' or that of the first.
        tokens_a_batch: Padded tokens of one batch.
        device: Where to compute, in bfloat16.
        tick: Called with the number of texts done so far.
    """
    order = sorted(range(len(texts)), key=texts.length, reverse=True)
    vectors = np.zeros((len(texts), network.shape.width), dtype=np.float16)
    network = network.to(device).eval()
    done = 0
    while done < len(order):
        width = texts.length(order[done]) + len(prefix) + 2
        rows = order[done : done + max(1, tokens_a_batch // width)]
        ids = np.zeros((len(rows), width), dtype=np.int64)
        for line, row in zip(ids, rows, strict=True):
            line[: texts.length(row) + len(prefix) + 2] = [CLS, *prefix, *texts[row], SEP]
        given = torch.from_numpy(ids).to(device)
        with torch.inference_mode(), torch.autocast(device, dtype=torch.bfloat16):
            found = network.vectors(given, (given != 0).long(), pooling)
        vectors[rows] = found.float().cpu().numpy()
        done += len(rows)
        tick(done)
    return vectors
