"""Small checkpoints that can be kept in a repository, and whole models that can be exported.

A small checkpoint holds the averaged weights in half precision, and of them only those that are no longer the
bi-encoder's: the rest is taken from there again.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file

from second_opinion.pipeline.whole_files import whole_file, write_whole
from second_opinion.schemas.errors import ModelUnusable
from second_opinion.training.encoder import from_bi_encoder
from second_opinion.training.network import Reranker, Shape
from second_opinion.training.story import STORY_FILE

WEIGHTS: Final = "model.safetensors"


def land(network: Reranker, story: dict[str, Any], folder: Path, bi_encoder: Path) -> None:
    """Write the weights that differ from the bi-encoder's and the `story` of the run, each file whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    origin = from_bi_encoder(bi_encoder, network.shape).state_dict()
    changed = {
        name: value.detach().half().cpu().contiguous()
        for name, value in network.state_dict().items()
        if not torch.equal(value.cpu(), origin[name])
    }
    with whole_file(folder / WEIGHTS) as draft:
        save_file(changed, str(draft))
    kept = {"shape": network.shape.as_dict(), **story}
    write_whole(folder / STORY_FILE, json.dumps(kept, indent=2, sort_keys=True) + "\n")


def take_up(folder: Path, bi_encoder: Path) -> Reranker:
    """Build the network of a small checkpoint on the weights of its bi-encoder.

    Raises:
        ModelUnusable: If the checkpoint does not belong to this kind of network.
    """
    try:
        story = json.loads((folder / STORY_FILE).read_text(encoding="utf-8"))
        changed = {name: value.float() for name, value in load_file(str(folder / WEIGHTS)).items()}
        network = from_bi_encoder(bi_encoder, Shape(**story["shape"]))
        known = network.state_dict()
        network.load_state_dict({**known, **changed})
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as problem:
        raise ModelUnusable(f"{folder} holds no checkpoint of the reranker: {problem}") from problem
    return network


def mix(trained: Reranker, start: Reranker, share: float) -> Reranker:
    """Return a network between two: `share` of the trained weights, the rest of those that training started from.

    On data unlike the training set the way back to the start is often worth more than the last steps (Wortsman et al.,
    "Robust fine-tuning of zero-shot models", 2022). What training did not change stays exactly as it was.
    """
    between = Reranker(trained.shape)
    first, last = start.state_dict(), trained.state_dict()
    between.load_state_dict(
        {
            name: value if torch.equal(value, first[name]) else torch.lerp(first[name], value, share)
            for name, value in last.items()
        }
    )
    return between.eval()


def write_model(network: Reranker, tokenizer: Path, folder: Path, story: Mapping[str, Any] | None = None) -> None:
    """Write a whole model as the exporter reads it: all weights in float32, the tokenizer, and the story if known."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().float().cpu().contiguous() for name, value in network.state_dict().items()}
    save_file(weights, str(folder / WEIGHTS))
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    if story:
        write_whole(folder / STORY_FILE, json.dumps(story, indent=2, sort_keys=True) + "\n")


def network_from(checkpoint: Path) -> tuple[Reranker, dict[str, Any]]:
    """Return the averaged network of a run's full checkpoint, and that run's progress."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    network = Reranker(Shape(**state["shape"]))
    network.load_state_dict({**state["network"], **state["average"]})
    return network.eval(), {"recipe": state["recipe"], "progress": state["progress"]}
