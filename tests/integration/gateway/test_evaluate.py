"""`opinion evaluate` on real servers, workers and models, with a data set in our own words."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from second_opinion import Client
from second_opinion.schemas.evaluation import AskedQuery, EvaluationReport
from tests.integration.gateway.conftest import System

pytestmark = pytest.mark.stack

DOCUMENTS = {
    "ferry": ("The harbour ferry", "The harbour ferry leaves the north pier every forty minutes from six until ten."),
    "lamp": ("Changing the lamp", "Switch the projector off, wait until it is cold, then turn the lamp to the left."),
    "bread": ("Rye bread", "Rye bread is baked for an hour at two hundred degrees and rests overnight in a cloth."),
    "bees": ("The hives", "The hives behind the orchard are inspected on the first warm day of April."),
    "kiln": ("The kiln", "The kiln needs nine hours to cool down before its door may be opened."),
    "boat": ("Rowing boats", "Rowing boats are lent for two hours against a deposit of twenty euros."),
}
QUESTIONS = {
    "q-ferry": ("How often does the ferry leave the north pier?", "ferry"),
    "q-lamp": ("How is the lamp of the projector changed?", "lamp"),
    "q-bread": ("How long is rye bread baked?", "bread"),
    "q-kiln": ("How many hours does the kiln need to cool down?", "kiln"),
    "q-boat": ("What is the deposit for a rowing boat?", "boat"),
    "q-router": ("Where is the reset button of the router?", None),
    "q-visa": ("Which embassy issues a visa for Bhutan?", None),
}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """The data set in the normalised layout."""
    folder = tmp_path / "island"
    folder.mkdir()
    files = {
        "corpus.jsonl": [
            json.dumps({"id": key, "title": title, "text": text}) for key, (title, text) in DOCUMENTS.items()
        ],
        "queries.jsonl": [
            json.dumps({"id": key, "text": text, "answerable": answer is not None, "split": "dev"})
            for key, (text, answer) in QUESTIONS.items()
        ],
        "qrels.tsv": [f"{key}\t{answer}\t1" for key, (_, answer) in QUESTIONS.items() if answer],
    }
    for name, lines in files.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def test_a_data_set_from_documents_to_report(system: System, client: Client, dataset: Path, tmp_path: Path) -> None:
    """Every stage is measured, pictures are drawn, and a second run asks nothing that was answered."""
    work, pictures = tmp_path / "work", tmp_path / "pictures"
    command = ("evaluate", str(dataset), "--into", str(work), "--json", "--misses")
    first = system.opinion(*command, "--pictures", str(pictures))
    assert first.returncode == 0, first.stderr
    told = json.loads(first.stdout)
    (report,) = (EvaluationReport.model_validate(one) for one in told["reports"])
    assert (report.queries, report.failed, report.ranked_queries) == (7, 0, 5)
    assert (report.corpus.searchable, report.corpus.others) == (6, 0)
    assert [one.stage for one in report.stages] == ["bm25", "knn", "fused", "reranked", "floored"]
    # Six documents, one of them plainly right: whatever the model, all are candidates.
    assert all(one.recall_100.value == 1.0 for one in report.stages if one.stage != "floored")
    assert report.refusal is not None
    assert (report.refusal.answerable, report.refusal.unanswerable) == (5, 2)
    assert {one.stage for one in report.latency} >= {"embed", "search", "fuse", "rerank", "judge", "total"}
    assert {one["query_id"] for one in told["misses"]["island"]} == {key for key, (_, one) in QUESTIONS.items() if one}
    for picture in ("reliability", "relevance", "floors", "risk-coverage"):
        assert ET.parse(pictures / f"island-{picture}.svg").getroot().tag.endswith("svg")  # noqa: S314 - made here

    recorded = (work / "asked.jsonl").read_bytes()
    answers = [AskedQuery.model_validate_json(line) for line in recorded.splitlines()]
    assert {one.query_id for one in answers} == set(QUESTIONS)
    jobs = {one.job_id for one in answers}
    second = system.opinion(*command)
    assert second.returncode == 0, second.stderr
    assert (work / "asked.jsonl").read_bytes() == recorded
    again = EvaluationReport.model_validate(json.loads(second.stdout)["reports"][0])
    assert again == report
    for job_id in jobs - {None}:
        assert client.evidence.trace(str(job_id)).collection == "evaluate-island"


def test_absent_servers_are_told(dataset: Path, tmp_path: Path) -> None:
    """Where nothing listens it says so, and how to start the stack; no work is recorded."""
    nowhere = System(
        {
            "OPINION_STATE_DIR": str(tmp_path / "state"),
            "OPINION_ELASTICSEARCH_URL": "http://127.0.0.1:9",
            "OPINION_BROKER_URL": "redis://127.0.0.1:9/0",
            "OPINION_JOBS_URL": "redis://127.0.0.1:9/1",
            "OPINION_CACHE_URL": "redis://127.0.0.1:9/2",
        }
    )
    done = nowhere.opinion("evaluate", str(dataset))
    assert done.returncode == 4
    assert "hint: Start the local stack: opinion up" in done.stderr
    assert "Traceback" not in done.stderr
