"""`opinion calibrate` on real servers, workers and models, with a data set in our own words."""

import json
from pathlib import Path

import pytest

from second_opinion import Client
from second_opinion.pipeline.calibration import named
from second_opinion.schemas.calibration import CalibrationKey
from tests.integration.gateway.conftest import System

pytestmark = pytest.mark.stack

FACTS = {
    "ferry": ("The harbour ferry leaves the north pier every forty minutes.", "How often does the ferry leave?"),
    "lamp": ("Turn the lamp of the projector to the left once it is cold.", "How is the projector's lamp taken out?"),
    "bread": ("Rye bread is baked for an hour at two hundred degrees.", "How long is rye bread baked?"),
    "bees": ("The hives are inspected on the first warm day of April.", "When are the hives inspected?"),
    "kiln": ("The kiln needs nine hours to cool down.", "How many hours does the kiln need to cool?"),
    "boat": ("Rowing boats are lent against a deposit of twenty euros.", "What is the deposit for a rowing boat?"),
    "piano": ("The piano in the hall is tuned every October.", "In which month is the piano tuned?"),
    "well": ("The old well behind the mill is eleven metres deep.", "How deep is the old well?"),
}
UNANSWERED = ["Which embassy issues a visa for Bhutan?", "Where is the router's reset button?"]
COLLECTION = "evaluate-island-facts"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Eight documents, a train question about each, two questions that none answers."""
    folder = tmp_path / "island-facts"
    folder.mkdir()
    asked = [(key, question) for key, (_, question) in FACTS.items()] + list(enumerate(UNANSWERED))
    lines = {
        "corpus.jsonl": [json.dumps({"id": key, "title": "", "text": text}) for key, (text, _) in FACTS.items()],
        "queries.jsonl": [json.dumps({"id": f"q-{key}", "text": text, "split": "train"}) for key, text in asked],
        "qrels.tsv": [f"q-{key}\t{key}\t1" for key in FACTS],
    }
    for name, rows in lines.items():
        (folder / name).write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return folder


def test_a_collection_is_calibrated_and_its_queries_say_so(
    system: System, client: Client, dataset: Path, tmp_path: Path
) -> None:
    """The worker's own key and canaries are in the artefact; the next query is judged by it; then by none of its own.

    A calibration of another model fails the query, with both ways out.
    """
    command = ("calibrate", str(dataset), "--work-folder", str(tmp_path / "work"), "--force", "--json")
    done = system.opinion(*command)
    assert done.returncode == 0, done.stderr
    artefact = json.loads(done.stdout)["proposal"]["artefact"]
    assert len(artefact["canaries"]) >= 10
    assert artefact["fitted_on"]["queries"] == len(FACTS) + len(UNANSWERED)

    question = FACTS["kiln"][1]
    result = client.query(question, collection=COLLECTION, floor=0.0, timeout=180.0)
    assert (result.calibration, result.calibration_id) == ("collection", artefact["id"])
    stored = client.parts.calibrations.get(artefact["id"])
    assert stored is not None
    best = result.kept[0]
    assert (best.document_id, best.relevance) == ("kiln", stored.curve.relevance(best.raw_score))

    theirs = named(
        stored.model_copy(update={"key": CalibrationKey.of(stored.key).model_copy(update={"revision": "0"})})
    )
    client.parts.calibrations.write(theirs)
    client.parts.stores.collections.calibrate(COLLECTION, theirs.id)
    failed = system.opinion("query", question, "-c", COLLECTION)
    assert failed.returncode == 4
    assert "belongs to another model: revision is" in failed.stderr
    assert f"opinion collections set {COLLECTION} --calibration none" in failed.stderr

    told = system.opinion("doctor")
    assert f"calibration {theirs.id} belongs to another model" in told.stdout + told.stderr

    assert system.opinion("collections", "set", COLLECTION, "--calibration", "none").returncode == 0
    assert client.query(question, collection=COLLECTION, timeout=180.0).calibration == "shipped"
