"""Guidance: what stronger bi-encoders think of the candidates, and what training makes of it."""

from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from second_opinion.pipeline.evaluation.slices import Slice
from second_opinion.schemas.errors import ModelUnusable
from second_opinion.training.__main__ import main
from second_opinion.training.batches import Step
from second_opinion.training.bert_onnx import take_in
from second_opinion.training.guidance import Guide, Habits, candidate_cosines, combine
from second_opinion.training.losses import combined_loss
from second_opinion.training.pool import Pool, Texts
from second_opinion.training.recipe import Recipe


def test_candidates_are_compared_with_their_own_query() -> None:
    """Each row holds the cosines of one query with its candidates, NaN where there is none."""
    queries = np.array([[1, 0], [0, 1]], np.float16)
    passages = np.array([[1, 0], [0.6, 0.8]], np.float16)
    found = candidate_cosines(queries, passages, np.array([[1, 0], [1, -1]]))
    np.testing.assert_allclose(found, [[0.6, 1.0], [0.8, np.nan]], atol=1e-3)


def test_guides_count_alike_whatever_their_spread() -> None:
    """A guide whose cosines lie close together has the same say as one that spreads them."""
    narrow = np.array([[0.80, 0.81], [0.80, 0.81]], np.float32)
    wide = np.array([[0.9, 0.1], [0.1, 0.9]], np.float32)
    together = combine([narrow, wide])
    assert together[0, 0] == pytest.approx(together[0, 1], abs=1e-4)
    assert together[1, 1] > together[1, 0] + 2
    assert np.nanstd(together) == pytest.approx(2.5, rel=1e-3)


def test_a_guide_agrees_with_itself_read_pair_by_pair(prepared: Path, guide_folder: Path) -> None:
    """Cosines of the whole pool are those of the single texts, each behind its prefix."""
    guide = Guide.open(guide_folder)
    texts, pool = Texts.load(prepared / "texts.npz"), Pool.load(prepared, Slice.TRAIN)
    found = guide.cosines(pool, texts, "cpu", lambda _done: None)
    assert guide.query_prefix
    row = texts.queries[int(pool.queries[0])]
    passage = texts.passages[int(pool.candidates[0, 0])]

    def vector(ids: list[int]) -> torch.Tensor:
        given = torch.tensor([[101, *map(int, ids), 102]])
        with torch.inference_mode():
            return guide.network.eval().vectors(given, torch.ones_like(given), "first")[0]

    alone = float(vector([*guide.query_prefix, *row]) @ vector(list(passage)))
    assert found[0, 0] == pytest.approx(alone, abs=0.02)


def test_guidance_travels_with_the_pool(prepared: Path, tmp_path: Path) -> None:
    """What was added is read again, and picked with its queries; a pool without it stays without."""
    pool = Pool.load(prepared, Slice.TRAIN)
    assert pool.guidance is None
    guidance = np.arange(pool.candidates.size, dtype=np.float32).reshape(pool.candidates.shape)
    replace(pool, guidance=guidance).save(tmp_path, Slice.TRAIN)
    again = Pool.load(tmp_path, Slice.TRAIN).pick(np.array([1]))
    assert again.guidance is not None
    np.testing.assert_array_equal(again.guidance, guidance[[1]])


def test_the_guide_decides_where_nobody_judged() -> None:
    """Among candidates with equal targets, the loss falls with an order that is the guide's."""
    step = Step([], torch.zeros(1, 2), torch.tensor([[2.0, -2.0]]))
    agreeing, against = torch.tensor([[1.0, -1.0]]), torch.tensor([[-1.0, 1.0]])
    assert combined_loss(agreeing, step, Recipe()) < combined_loss(against, step, Recipe())
    deaf = Recipe(guide_weight=0.0)
    assert combined_loss(agreeing, step, deaf) == pytest.approx(float(combined_loss(against, step, deaf)))


def test_a_bi_encoder_is_taken_out_of_its_export(
    bi_encoder: Path, guide_folder: Path, exported_bert: bytes, tmp_path: Path
) -> None:
    """The weights that PyTorch's exporter wrote are found again under their own names, matrices turned back."""
    archive = tmp_path / "model.jar"
    with ZipFile(archive, "w") as packed:
        packed.writestr("some-model.onnx", exported_bert)
        packed.writestr("some-model-tokenizer.json", (guide_folder / "tokenizer.json").read_bytes())
    take_in(archive, tmp_path / "taken", Habits(query="query: "))
    original = load_file(str(bi_encoder))
    taken = load_file(str(tmp_path / "taken" / "model.safetensors"))
    for name in ("embeddings.word_embeddings.weight", "encoder.layer.1.intermediate.dense.weight"):
        torch.testing.assert_close(taken[name], original[name])
    assert Habits.of(tmp_path / "taken").query == "query: "


def test_an_archive_without_a_model_is_refused_by_name(tmp_path: Path) -> None:
    """Nothing is written, and the file is named."""
    archive = tmp_path / "empty.jar"
    archive.write_bytes(b"not a zip")
    with pytest.raises(ModelUnusable, match=r"empty\.jar"):
        take_in(archive, tmp_path / "taken", Habits())
    assert not (tmp_path / "taken").exists()


def test_the_command_adds_guidance_to_prepared_data(prepared: Path, guide_folder: Path) -> None:
    """Afterwards the training pool has a figure for every candidate, and a run uses it."""
    outcome = CliRunner().invoke(main, ["guide", str(prepared), "--by", str(guide_folder)])
    assert outcome.exit_code == 0, outcome.output
    pool = Pool.load(prepared, Slice.TRAIN)
    assert pool.guidance is not None
    np.testing.assert_array_equal(np.isnan(pool.guidance), pool.candidates < 0)
