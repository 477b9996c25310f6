"""What a model was trained on: kept from the run's checkpoint to the manifest of the exported model."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from second_opinion.models import model_folder
from second_opinion.pipeline.adapters.onnx_model import MANIFEST_FILE
from second_opinion.schemas.errors import ModelUnusable

torch = pytest.importorskip("torch", reason="needs the training extra")

from second_opinion.training import export  # noqa: E402 - after the check above
from second_opinion.training.checkpoints import write_model  # noqa: E402
from second_opinion.training.network import Reranker, Shape  # noqa: E402
from second_opinion.training.story import STORY_FILE, read_story, trained_on  # noqa: E402

CHECKPOINT = Path(__file__).parents[3] / "checkpoints" / "reranker"
BUNDLED = model_folder("bundled", "reranker")


def test_the_bundled_model_names_the_sets_that_its_checkpoint_was_trained_on() -> None:
    """Sets that were prepared but gave no training query are not among them."""
    manifest = json.loads((BUNDLED / MANIFEST_FILE).read_text(encoding="utf-8"))
    assert tuple(manifest["trained_on"]) == trained_on(read_story(CHECKPOINT))
    assert {"squad2_dev", "medquad"} <= set(manifest["trained_on"])
    assert not {"cranfield", "chunking_eval"} & set(manifest["trained_on"])


def test_what_the_start_was_trained_on_counts_too() -> None:
    """A model that goes on from another one has learnt from both."""
    start, own = {"trained_on": ["old"]}, {"training_queries": {"new": 5, "unused": 0}}
    assert trained_on(own, start) == ("new", "old")


def test_the_exporter_takes_the_sets_over(tmp_path: Path) -> None:
    """From the story beside the weights, and from the option for weights without one."""
    source = tmp_path / "whole"
    network = Reranker(Shape(width=48, layers=2, heads=4, inner=96))
    write_model(network, BUNDLED / "tokenizer.json", source, {"training_queries": {"leaflets": 3, "unused": 0}})
    arguments = [str(source), str(tmp_path / "model"), "--model", "own/reranker", "--trained-on", "handbook"]
    told = CliRunner().invoke(export.main, arguments)
    assert told.exit_code == 0, told.output
    manifest = json.loads((tmp_path / "model" / MANIFEST_FILE).read_text(encoding="utf-8"))
    assert manifest["trained_on"] == ["handbook", "leaflets"]


def test_a_story_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """Better no model than one that forgot what it learnt from."""
    (tmp_path / STORY_FILE).write_text("[", encoding="utf-8")
    with pytest.raises(ModelUnusable, match="cannot be read"):
        read_story(tmp_path)
    assert read_story(tmp_path / "nothing") == {}
