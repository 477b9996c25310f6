"""`opinion train`, whole: on a small data set, with the real bi-encoder, to a model that workers load."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from second_opinion.gateway.cli.program import program
from second_opinion.pipeline.adapters.onnx_model import CALIBRATION_FILE, read_manifest
from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
from second_opinion.pipeline.calibration import calibration_for
from tests.unit.training.conftest import PLACES, THINGS, write_lines

SMALL = {"queries": 4, "candidates": 3, "max_length": 48, "warmup": 2}


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """A hundred passages and two questions about each."""
    home = tmp_path / "questions"
    home.mkdir()
    pairs = [(thing, place) for thing in THINGS for place in PLACES]
    passages = [
        {"id": f"d{n}", "title": thing, "text": f"The {thing} is in the {place}."}
        for n, (thing, place) in enumerate(pairs)
    ]
    asked = [
        {"id": f"q{n}.{form}", "text": text.format(thing, place), "answerable": True, "split": "train"}
        for n, (thing, place) in enumerate(pairs)
        for form, text in enumerate(["is the {} in the {}?", "{} kept in the {}"])
    ]
    write_lines(home / "corpus.jsonl", [json.dumps(one) for one in passages])
    write_lines(home / "queries.jsonl", [json.dumps(one) for one in asked])
    write_lines(home / "qrels.tsv", [f"q{n}.{form}\td{n}\t1" for n in range(len(pairs)) for form in (0, 1)])
    return home


def opinion_train(*arguments: str | Path) -> Result:
    return CliRunner().invoke(program, ["train", *map(str, arguments)])


def test_a_training_ends_in_a_model_that_workers_load(questions: Path, tmp_path: Path) -> None:
    """Model, calibration of exactly this model, figures, and a card that names seed, slices and data."""
    into = tmp_path / "course"
    told = opinion_train(questions, "--into", into, "--steps", "4", "--recipe", json.dumps(SMALL), "--json")
    assert told.exit_code == 0, told.output
    figures = json.loads(told.stdout)["figures"]["questions"]
    assert figures["queries"] > 0
    assert {"start", "trained"} < figures.keys()
    reranker = OnnxReranker(into / "model")
    assert calibration_for(reranker, into / "model" / CALIBRATION_FILE).id is not None
    assert reranker.spec.trained_on == ("questions",)
    assert read_manifest(into / "model", "reranker").computed_again is not None
    card = (into / "model" / "README.md").read_text(encoding="utf-8")
    assert "- questions: " in card
    assert "4 steps, 48 pairs, seed 0" in card

    before = {path: path.stat().st_mtime_ns for path in into.rglob("*") if path.is_file() and path.name != "order.json"}
    again = opinion_train(questions, "--into", into, "--steps", "4", "--recipe", json.dumps(SMALL), "--json")
    assert json.loads(again.stdout)["figures"]["questions"] == figures
    checkpoint = into / "run" / "checkpoint.pt"
    assert {path: path.stat().st_mtime_ns for path in before if path != checkpoint} == {
        path: moment for path, moment in before.items() if path != checkpoint
    }


def test_a_folder_keeps_one_training(questions: Path, folder: Path, tmp_path: Path) -> None:
    """Going on with other data sets is refused before anything is touched."""
    into = tmp_path / "course"
    into.mkdir()
    (into / "order.json").write_text(
        json.dumps({"model": "own/reranker", "datasets": [str(folder)], "steps": 4, "recipe": {}}), encoding="utf-8"
    )
    told = opinion_train(questions, "--into", into, "--steps", "4")
    assert told.exit_code == 2
    assert "holds another training" in told.stderr
    assert [path.name for path in into.iterdir()] == ["order.json"]


def test_too_few_queries_are_refused(folder: Path, tmp_path: Path) -> None:
    """The error says how many may train and how many are needed."""
    write_lines(folder / "queries.jsonl", (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()[:9])
    write_lines(folder / "qrels.tsv", (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines()[:6])
    (folder / "topical.tsv").unlink()
    told = opinion_train(folder, "--into", tmp_path / "course", "--steps", "4")
    assert told.exit_code == 2
    assert "queries may train; 20 are needed" in told.stderr


def test_something_to_train_on_is_needed(tmp_path: Path) -> None:
    """Neither a data set nor a collection is wrong usage."""
    told = opinion_train("--into", tmp_path / "course")
    assert told.exit_code == 2
    assert "-c NAME" in told.stderr
