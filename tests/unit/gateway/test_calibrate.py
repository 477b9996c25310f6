"""`opinion calibrate`, run on a whole system in memory."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from second_opinion.pipeline.calibration import load_artefact, score_canaries
from second_opinion.pipeline.evaluation.datasets import read_dataset
from second_opinion.pipeline.evaluation.slices import Slice, slice_dataset
from second_opinion.schemas.calibration import CalibrationKey, RerankerRecord
from second_opinion.schemas.trace import Trace
from second_opinion.schemas.verdict import CalibrationSource
from second_opinion.testing.models import WordReranker
from second_opinion.testing.traces import a_trace
from tests.unit.gateway.conftest import MemorySystem

NOW = 1_700_000_000.0
FROM_JUDGEMENTS = ("calibrate", "-c", "default", "--from-judgements")


@pytest.fixture
def calibrating(handbook: MemorySystem) -> MemorySystem:
    """A system whose rerank worker has said what its model is."""
    handbook.parts.calibrations.publish(a_record())
    return handbook


def a_record(revision: str = "1", at: float = NOW) -> RerankerRecord:
    reranker = WordReranker()
    key = CalibrationKey.of(replace(reranker.spec, revision=revision))
    return RerankerRecord(key=key, canaries=score_canaries(reranker), published_at=at)


def a_judged_trace(number: int, raw: list[float], **fields: Any) -> Trace:
    """A past query with these raw scores, each of a document of its own."""
    made = a_trace(f"past-{number}", *([0.5] * len(raw)), at=NOW + number, **fields)
    candidates = tuple(
        one.model_copy(
            update={"document_id": f"d{number}-{one.rank}", "chunk_id": f"c{number}-{one.rank}", "raw_score": score}
        )
        for one, score in zip(made.candidates, sorted(raw, reverse=True), strict=True)
    )
    return made.model_copy(update={"candidates": candidates})


def judge(system: MemorySystem, queries: int, *, turned: bool = False, kind: bool | None = None, **fields: Any) -> None:
    """Write past queries of three candidates each and judge them: the higher the score, the likelier relevant."""
    chance = np.random.default_rng(5)
    traces = [a_judged_trace(number, chance.normal(0.0, 2.0, 3).tolist(), **fields) for number in range(queries)]
    system.parts.traces.write(traces)
    for trace in traces:
        for one in trace.candidates:
            likely = 1.0 / (1.0 + math.exp(-(one.raw_score * (-1.0 if turned else 1.0) - 1.0) * 2.0))
            relevant = bool(chance.random() < likely) if kind is None else kind
            system.client.evidence.judge(trace.job_id, str(one.rank), relevant=relevant)


def test_judgements_become_the_collections_calibration(calibrating: MemorySystem) -> None:
    """Shown before and after, stored, and from then on in every result; the canaries are the worker's own."""
    judge(calibrating, 60)
    told = calibrating.opinion(*FROM_JUDGEMENTS)
    assert told.exit_code == 0, told.stderr
    rows = [line.split("\t") for line in told.stdout.splitlines()]
    assert [row[0] for row in rows] == ["log loss", "top-1 ECE", "relevant of 0.3-0.5"]
    assert float(rows[0][2]) < float(rows[0][1])
    own = calibrating.client.collection("default").calibration
    assert own is not None
    artefact = calibrating.parts.calibrations.get(own)
    assert artefact is not None
    assert artefact.canaries == a_record().canaries
    assert artefact.fitted_on.pairs == 180
    result = json.loads(calibrating.opinion("query", "manager approves refunds", "--json").stdout)["result"]
    assert (result["calibration"], result["calibration_id"]) == (CalibrationSource.COLLECTION.value, own)
    shown = [artefact.curve.relevance(one["raw_score"]) for one in (*result["kept"], *result["dropped"])]
    assert [one["relevance"] for one in (*result["kept"], *result["dropped"])] == shown
    assert ("calibration", own) in [
        tuple(line.split("\t")) for line in calibrating.opinion("collections", "show", "default").stdout.splitlines()
    ]


def test_one_of_several_rerankers_is_calibrated_by_name(calibrating: MemorySystem) -> None:
    """Only its own scores count, and its key is in the artefact; a name that nobody serves is told."""
    for place, name in enumerate(("far", "near")):
        record = a_record(revision=name, at=NOW + place)
        calibrating.parts.calibrations.publish(record.model_copy(update={"name": name}))
    judge(calibrating, 60, reranker="word-reranker@far")
    assert calibrating.opinion(*FROM_JUDGEMENTS, "--reranker", "near").exit_code == 4
    told = calibrating.opinion(*FROM_JUDGEMENTS, "--reranker", "far", "--json")
    assert told.exit_code == 0, told.stderr
    artefact = json.loads(told.stdout)["proposal"]["artefact"]
    assert (artefact["key"]["revision"], artefact["fitted_on"]["queries"]) == ("far", 60)
    assert artefact["fitted_on"]["command"].endswith("--from-judgements --reranker far")
    stranger = calibrating.opinion(*FROM_JUDGEMENTS, "--reranker", "other")
    assert (stranger.exit_code, "has said what other is" in stranger.stderr) == (4, True)
    assert calibrating.opinion(*FROM_JUDGEMENTS, "--reranker", "far,near").exit_code == 2


def test_a_worse_calibration_is_not_stored_unless_forced(calibrating: MemorySystem) -> None:
    """The present one stays; --force replaces it."""
    judge(calibrating, 120)
    assert calibrating.opinion(*FROM_JUDGEMENTS).exit_code == 0
    present = calibrating.client.collection("default").calibration
    # Fitted and measured on the very same judgements, the present one cannot be beaten by its own held-out twin.
    told = calibrating.opinion(*FROM_JUDGEMENTS)
    assert told.exit_code == 4
    assert "worse than the present one" in told.stderr
    assert "--force" in told.stderr
    assert calibrating.client.collection("default").calibration == present
    assert calibrating.opinion(*FROM_JUDGEMENTS, "--force").exit_code == 0


def test_a_calibration_can_go_to_a_file_and_from_there_to_a_collection(
    calibrating: MemorySystem, tmp_path: Path
) -> None:
    """The collection is left alone until the file is set; `none` takes it away."""
    judge(calibrating, 60)
    path = tmp_path / "calibration.json"
    told = calibrating.opinion(*FROM_JUDGEMENTS, "--into", str(path), "--json")
    assert told.exit_code == 0, told.stderr
    artefact = load_artefact(path)
    assert json.loads(told.stdout)["proposal"]["artefact"]["id"] == artefact.id
    assert calibrating.client.collection("default").calibration is None
    assert [one.name for one in tmp_path.iterdir()] == ["calibration.json"]
    assert calibrating.opinion("collections", "set", "default", "--calibration", str(path)).exit_code == 0
    assert calibrating.client.collection("default").calibration == artefact.id
    assert calibrating.opinion("collections", "set", "default", "--calibration", "none").exit_code == 0
    assert calibrating.client.collection("default").calibration is None


def write_plants(folder: Path, plants: int, questions: int) -> Path:
    """A data set of one fact a plant: train questions, every fifth without a relevant plant, and one of dev."""
    folder.mkdir()
    names = [f"plant{number}" for number in range(plants)]
    rows = [
        {"id": one, "title": "", "text": f"the {one} wants {'sun' if place % 2 else 'shade'}"}
        for place, one in enumerate(names)
    ]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    asked = [
        {
            "id": f"q{number}",
            "text": f"what wants the {names[number % plants]} {'sun' if number % 3 else 'tea'}",
            "split": "dev" if number == questions else "train",
        }
        for number in range(questions + 1)
    ]
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked), "utf-8")
    grades = [f"q{number}\t{names[number % plants]}\t1\n" for number in range(questions + 1) if number % 5]
    (folder / "qrels.tsv").write_text("".join(grades), "utf-8")
    return folder


def asked_in(work: Path) -> set[str]:
    return {json.loads(line)["query_id"] for line in (work / "asked.jsonl").read_text("utf-8").splitlines()}


def test_a_data_set_calibrates_by_its_answers(calibrating: MemorySystem, tmp_path: Path) -> None:
    """Its train questions go through the whole pipeline; documents and answers end up in its collection."""
    folder = write_plants(tmp_path / "plants", 12, 60)
    work = tmp_path / "work"
    told = calibrating.opinion("calibrate", str(folder), "--work-folder", str(work), "--force", "--json")
    assert told.exit_code == 0, told.stderr
    proposal = json.loads(told.stdout)["proposal"]
    assert proposal["collection"] == "evaluate-plants"
    assert proposal["artefact"]["fitted_on"]["queries"] == 60
    assert proposal["artefact"]["fitted_on"]["slices"] == {"plants": 60}
    assert calibrating.client.collection("evaluate-plants").calibration == proposal["artefact"]["id"]
    assert asked_in(work) == {f"q{number}" for number in range(60)}


def test_a_set_that_trained_the_model_is_asked_only_what_training_left_out(
    handbook: MemorySystem, tmp_path: Path
) -> None:
    """Of the set that it learnt from the calibrate slice, and a line says so; of any other set the whole split."""
    handbook.parts.calibrations.publish(a_record().model_copy(update={"trained_on": ("plants",)}))
    learnt, other = write_plants(tmp_path / "plants", 150, 150), write_plants(tmp_path / "herbs", 12, 60)
    told = handbook.opinion("calibrate", str(learnt), "--work-folder", str(tmp_path / "learnt"), "--force")
    assert told.exit_code == 0, told.stderr
    slices = slice_dataset(read_dataset(learnt)).questions
    kept = {one for one, part in slices.items() if part is Slice.CALIBRATE}
    assert asked_in(tmp_path / "learnt") == kept
    assert f"was trained on plants: only {len(kept)} of 150 train questions" in told.stderr
    told = handbook.opinion("calibrate", str(other), "--work-folder", str(tmp_path / "other"), "--force")
    assert told.exit_code == 0, told.stderr
    assert len(asked_in(tmp_path / "other")) == 60
    assert "was trained on" not in told.stderr


def test_a_set_without_anything_that_training_left_out_is_refused(handbook: MemorySystem, tmp_path: Path) -> None:
    """The sentence says why, and nothing is asked."""
    handbook.parts.calibrations.publish(a_record().model_copy(update={"trained_on": ("tiny",)}))
    tiny = write_plants(tmp_path / "tiny", 1, 4)
    told = handbook.opinion("calibrate", str(tiny), "--work-folder", str(tmp_path / "work"))
    assert told.exit_code == 4
    assert "was trained on tiny and learnt from all 4 train questions" in told.stderr
    assert not (tmp_path / "work").exists()


def test_judgements_that_trained_the_model_are_told_of(handbook: MemorySystem) -> None:
    """`opinion train -c` made a model of these very judgements: what is measured on them is too good."""
    handbook.parts.calibrations.publish(a_record().model_copy(update={"trained_on": ("judged-default",)}))
    judge(handbook, 60)
    assert "was trained on judged queries of default" in handbook.opinion(*FROM_JUDGEMENTS).stderr


@pytest.mark.parametrize(
    ("evidence", "sentence"),
    [
        ({"queries": 10}, "30 pairs are judged, "),
        ({"queries": 20, "kind": True}, "all 60 judged pairs are relevant"),
        ({"queries": 20, "kind": False}, "all 60 judged pairs are irrelevant"),
        ({"queries": 60, "turned": True}, "a higher score does not mean more relevant"),
        ({"queries": 60, "reranker": "word-reranker@0"}, "0 of 180 judgements in collection 'default' belong to"),
    ],
)
def test_evidence_that_does_not_suffice_stores_nothing(
    calibrating: MemorySystem, tmp_path: Path, evidence: dict[str, Any], sentence: str
) -> None:
    """Too little, of one class, backwards, or of another model: an error with counts, and no half of anything."""
    judge(calibrating, evidence.pop("queries"), **evidence)
    path = tmp_path / "calibration.json"
    for more in ([], ["--into", str(path)]):
        told = calibrating.opinion(*FROM_JUDGEMENTS, *more)
        assert told.exit_code == 4
        assert f"error: {sentence}" in told.stderr or sentence in told.stderr
        assert "hint: " in told.stderr
    assert calibrating.client.collection("default").calibration is None
    assert list(tmp_path.iterdir()) == []


def test_scores_that_are_no_numbers_store_nothing(calibrating: MemorySystem) -> None:
    """They are named as what they are: a broken reranker."""
    judge(calibrating, 60)
    broken = a_judged_trace(0, [1.0, 0.0, math.nan])
    calibrating.parts.traces.write([broken])
    told = calibrating.opinion(*FROM_JUDGEMENTS)
    assert told.exit_code == 4
    assert "raw scores are not numbers" in told.stderr
    assert calibrating.client.collection("default").calibration is None


def test_without_a_word_of_a_rerank_worker_nothing_is_fitted(handbook: MemorySystem) -> None:
    """Nobody knows what the scores are of; the hint says what to start."""
    judge(handbook, 60)
    told = handbook.opinion(*FROM_JUDGEMENTS)
    assert told.exit_code == 4
    assert "no rerank worker has said what its model is" in told.stderr
    assert "opinion worker --role rerank" in told.stderr


def test_a_calibration_of_another_model_fails_queries_and_says_both_ways_out(calibrating: MemorySystem) -> None:
    """The model was changed under a calibrated collection: no query is answered by a curve that is not its own."""
    calibrating.parts.calibrations.publish(a_record("0", at=NOW + 1e6))
    judge(calibrating, 60, reranker="word-reranker@0")
    assert calibrating.opinion(*FROM_JUDGEMENTS).exit_code == 0
    told = calibrating.opinion("query", "manager approves refunds")
    assert told.exit_code == 4
    assert "belongs to another model: revision is '1', fitted for '0'" in told.stderr
    assert "opinion calibrate -c default" in told.stderr
    assert "opinion collections set default --calibration none" in told.stderr
    assert calibrating.opinion("collections", "set", "default", "--calibration", "none").exit_code == 0
    assert calibrating.opinion("query", "manager approves refunds").exit_code == 0


def test_a_file_that_does_not_belong_is_refused(calibrating: MemorySystem, tmp_path: Path) -> None:
    """Corrupt, or of another model: file and field are named, and the collection stays as it was."""
    judge(calibrating, 60)
    path = tmp_path / "calibration.json"
    calibrating.opinion(*FROM_JUDGEMENTS, "--into", str(path))
    content = json.loads(path.read_text("utf-8"))
    other = {**content, "key": {**content["key"], "dtype": "float16"}}
    broken = {**content, "curve": {"method": "isotonic", "breakpoints": [[0.0, 0.5], [1.0, 0.2]]}}
    for wrong, sentence in (
        (other, "dtype is 'none', fitted for 'float16'"),
        (broken, f"{path} is no calibration: curve"),
    ):
        path.write_text(json.dumps(wrong), "utf-8")
        told = calibrating.opinion("collections", "set", "default", "--calibration", str(path))
        assert told.exit_code == 4
        assert sentence in told.stderr
    assert calibrating.client.collection("default").calibration is None


@pytest.mark.parametrize("arguments", [[], ["-c", "default"], ["--from-judgements"], [".", "--from-judgements"]])
def test_evidence_has_to_be_named_once(system: MemorySystem, arguments: list[str]) -> None:
    """A data set or judgements, not both and not neither."""
    assert system.opinion("calibrate", *arguments).exit_code == 2


def test_a_deleted_collection_takes_its_evidence_with_it(calibrating: MemorySystem, tmp_path: Path) -> None:
    """Traces, judgements and calibrations go; a calibration that another collection has too stays for that one."""
    judge(calibrating, 60)
    path = tmp_path / "calibration.json"
    calibrating.opinion(*FROM_JUDGEMENTS)
    own = calibrating.client.collection("default").calibration
    calibrating.opinion("collections", "set", "alone", "--top-k", "5")
    calibrating.opinion("calibrate", "-c", "default", "--from-judgements", "--into", str(path))
    assert calibrating.opinion("collections", "set", "alone", "--calibration", str(path)).exit_code == 0
    assert calibrating.client.collection("alone").calibration == own
    assert calibrating.opinion("collections", "delete", "default", "--yes").exit_code == 0
    assert calibrating.parts.traces.get("past-0") is None
    assert list(calibrating.client.evidence.judgements()) == []
    assert calibrating.parts.calibrations.get(own or "") is not None
    assert calibrating.opinion("collections", "delete", "alone", "--yes").exit_code == 0
    assert calibrating.parts.calibrations.get(own or "") is None
    assert calibrating.opinion("collections", "delete", "alone", "--yes").exit_code == 4
