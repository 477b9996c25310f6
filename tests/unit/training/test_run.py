from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from second_opinion.pipeline.evaluation.slices import Slice
from second_opinion.schemas.errors import ModelUnusable
from second_opinion.training.checkpoints import land, mix, network_from, take_up
from second_opinion.training.encoder import from_bi_encoder, shape_for
from second_opinion.training.lanes import Lanes
from second_opinion.training.losses import pair_loss
from second_opinion.training.measurement import network_scorer, score_pool
from second_opinion.training.network import SHUT, Reranker
from second_opinion.training.pool import Pool, Texts
from second_opinion.training.recipe import Recipe
from second_opinion.training.run import Progress, Run, train

RECIPE = Recipe(queries=4, candidates=3, max_length=48, warmup=2, layer_rate=1e-3)


def new_run(prepared: Path, network: Reranker, recipe: Recipe = RECIPE) -> Run:
    texts = Texts.load(prepared / "texts.npz")
    return Run(deepcopy(network), Pool.load(prepared, Slice.TRAIN), texts, recipe)


def test_a_resumed_run_ends_where_an_unbroken_one_does(prepared: Path, network: Reranker, tmp_path: Path) -> None:
    """Weights, averages and position after 3 + 3 steps in two processes' lives equal those after 6 in one."""
    whole, first, second = (new_run(prepared, network) for _ in range(3))
    heard: list[Progress] = []
    train(whole, 6, tmp_path / "whole.pt", 100, heard.append)
    train(first, 3, tmp_path / "broken.pt", 100, heard.append)
    second.restore(tmp_path / "broken.pt")
    train(second, 6, tmp_path / "broken.pt", 100, heard.append)
    assert vars(second.progress) == vars(whole.progress)
    for averaged in (False, True):
        ours, theirs = (one.averaged() if averaged else one.network for one in (second, whole))
        for name, value in ours.state_dict().items():
            torch.testing.assert_close(value, theirs.state_dict()[name], rtol=0, atol=0)


def test_training_lowers_the_loss_and_leaves_the_words_alone(prepared: Path, network: Reranker) -> None:
    """On a task that can be learned the loss falls, and frozen embeddings stay as they were."""
    run = new_run(prepared, network)
    losses = [run.advance() for _ in range(60)]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
    for name in ("words", "positions"):
        torch.testing.assert_close(getattr(run.network, name).weight, getattr(network, name).weight, rtol=0, atol=0)


def test_layers_that_stay_apart_are_left_alone(prepared: Path, bi_encoder: Path) -> None:
    """The lowest layers and what feeds them keep the bi-encoder's weights to the bit; the others learn."""
    start = from_bi_encoder(bi_encoder, replace(shape_for(bi_encoder), apart=1))
    run = new_run(prepared, start)
    before = {name: value.clone() for name, value in start.state_dict().items()}
    for _ in range(3):
        run.advance()
    changed = {name for name, value in run.network.state_dict().items() if not torch.equal(value, before[name])}
    assert not {name for name in changed if name.startswith(("layers.0", "norm", "sides", "words", "positions"))}
    assert {"layers.1.opening", "layers.1.up.weight"} <= changed
    assert run.network.layers[0].opening.max() == SHUT


def test_lanes_compute_what_one_thread_does(prepared: Path, network: Reranker) -> None:
    """Two lanes leave the gradients of the weighted mean of both shares' losses, and the loss that belongs to it."""
    run = new_run(prepared, network)
    step = run._sampler.step(0)
    found = {}
    for lanes in (1, 2):
        twin = deepcopy(network).train()
        loss = Lanes(twin, lanes).backward(step, lambda lane, share: pair_loss(run._logits(lane, share), share.targets))
        found[lanes] = loss, {name: value.grad for name, value in twin.named_parameters() if value.grad is not None}
    assert found[1][0] == pytest.approx(found[2][0], abs=2e-3)
    assert found[1][1].keys() == found[2][1].keys()
    for name, gradient in found[1][1].items():
        torch.testing.assert_close(gradient, found[2][1][name], rtol=0.05, atol=0.02 * float(gradient.abs().max()))


def test_the_warm_start_explains_the_first_steps_better(prepared: Path, network: Reranker) -> None:
    """Fitting the reading of the evidence leaves a lower loss than the weights it starts from."""
    cold, warm = new_run(prepared, network), new_run(prepared, network)
    texts = Texts.load(prepared / "texts.npz")
    left = warm.warm_up(texts)
    cold.network.overlap.rarity.data.copy_(torch.from_numpy(texts.rarity))
    assert left < np.mean([cold.advance() for _ in range(5)])


def test_a_pair_scores_the_same_alone_and_beside_others(prepared: Path, network: Reranker) -> None:
    """Neither padding nor neighbours move a logit."""
    texts, pool = Texts.load(prepared / "texts.npz"), Pool.load(prepared, Slice.MEASURE)
    together = score_pool(network_scorer(network, max_length=48), pool, texts, 5)
    alone = score_pool(network_scorer(network, max_length=48, tokens=1), pool, texts, 5)
    np.testing.assert_allclose(together, alone, atol=0.05)


def test_untrained_and_closed_the_network_reads_texts_apart(network: Reranker) -> None:
    """With its openings shut the passage's states in a pair are those of the passage alone."""
    for layer in network.layers:
        torch.nn.init.constant_(layer.opening, -1e4)
    query, passage = [101, 5, 6, 102], [101, 9, 8, 7, 102]
    ids = torch.tensor([query + passage])
    sides = torch.tensor([[0] * len(query) + [1] * len(passage)])
    network.sides.weight.data[1] = network.sides.weight.data[0]
    apart = network.states(
        torch.tensor([passage]), torch.ones(1, 5, dtype=torch.long), torch.zeros(1, 5, dtype=torch.long)
    )
    joint = network.states(ids, torch.ones_like(ids), sides)
    torch.testing.assert_close(joint[:, 4:], apart)


def test_a_landed_checkpoint_gives_the_trained_network_back(
    prepared: Path, network: Reranker, bi_encoder: Path, tmp_path: Path
) -> None:
    """On the bi-encoder's own weights, in half precision, with the run's story; nothing of a part file is left."""
    run = new_run(prepared, from_bi_encoder(bi_encoder, network.shape))
    train(run, 2, tmp_path / "checkpoint.pt", 100, lambda _progress: None)
    averaged, story = network_from(tmp_path / "checkpoint.pt")
    land(averaged, story, tmp_path / "landed", bi_encoder)
    taken = take_up(tmp_path / "landed", bi_encoder).state_dict()
    for name, value in averaged.state_dict().items():
        torch.testing.assert_close(taken[name], value, rtol=1e-3, atol=1e-3)
    stored = load_file(str(tmp_path / "landed" / "model.safetensors"))
    assert not {"words.weight", "positions.weight"} & set(stored)
    assert story["progress"]["step"] == run.progress.step
    assert sorted(one.name for one in (tmp_path / "landed").iterdir()) == ["model.safetensors", "progress.json"]


def test_a_mix_lies_between_the_start_and_what_was_trained(prepared: Path, network: Reranker) -> None:
    """Every changed weight has moved by the share; what training left alone is the same to the bit."""
    run = new_run(prepared, network)
    for _ in range(5):
        run.advance()
    between = mix(run.network, network, 0.25).state_dict()
    for name, first in network.state_dict().items():
        last = run.network.state_dict()[name]
        torch.testing.assert_close(between[name], first + 0.25 * (last - first))
        if torch.equal(first, last):
            assert torch.equal(between[name], first)


def test_a_run_of_no_steps_keeps_the_start(prepared: Path, network: Reranker, tmp_path: Path) -> None:
    """Its checkpoint holds the weights as they were, so that a later landing can mix them in."""
    train(new_run(prepared, network), 0, tmp_path / "start.pt", 100, lambda _progress: None)
    kept, story = network_from(tmp_path / "start.pt")
    assert story["progress"]["step"] == 0
    for name, value in network.state_dict().items():
        assert torch.equal(kept.state_dict()[name], value)


def test_what_is_no_checkpoint_is_refused(bi_encoder: Path, tmp_path: Path) -> None:
    """A folder of something else is a clear error, not a network with random weights."""
    (tmp_path / "progress.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelUnusable, match="holds no checkpoint"):
        take_up(tmp_path, bi_encoder)
