"""The founding example, end to end: real servers, real workers, bundled models, the samples, and the command line."""

import json

import pytest

from tests.acceptance.conftest import System

CHILDREN = "ibuprofen-dosage-children.md"
ADULTS = "ibuprofen-dosage-adults.md"
ACETAMINOPHEN = "acetaminophen-dosage-children.md"
MECHANISM = "how-ibuprofen-works.md"


@pytest.fixture(scope="module")
def samples(system: System) -> System:
    """A running system with the samples in it."""
    system.start_all()
    done = system.opinion("ingest", "--samples", "--json")
    assert done.returncode == 0, done.stderr
    return system


def test_the_right_leaflet_is_first_and_kept(samples: System) -> None:
    """The children's leaflet answers; its look-alikes are below it with lower relevance; the mechanism is dropped."""
    done = samples.opinion("query", "ibuprofen dosage for children", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)["result"]
    best: dict[str, float] = {}
    for passage in [*result["kept"], *result["dropped"]]:
        best[passage["document_id"]] = max(best.get(passage["document_id"], 0.0), passage["relevance"])
    assert result["outcome"] == "answered"
    assert result["kept"][0]["document_id"] == CHILDREN
    assert best[ADULTS] < best[CHILDREN]
    assert best[ACETAMINOPHEN] < best[CHILDREN]
    assert best[MECHANISM] < result["floor"]
    assert MECHANISM not in {passage["document_id"] for passage in result["kept"]}


def test_an_off_topic_question_is_refused_with_its_reason(samples: System) -> None:
    """What the samples do not answer is refused: exit code 3, a reason, and how close the best one came."""
    done = samples.opinion("query", "how do I reset the password of my router?", "--json")
    assert done.returncode == 3, done.stdout + done.stderr
    result = json.loads(done.stdout)["result"]
    assert result["outcome"] == "refused"
    assert result["reason"] == "below_floor"
    assert result["kept"] == []
    assert result["best_relevance"] < result["floor"]
    assert "0.40" in result["sentence"]


def test_every_number_of_a_kept_passage_is_there(samples: System) -> None:
    """A result tells both ranks, all scores, offsets into the document, timings and who judged."""
    done = samples.opinion("query", "ibuprofen dosage for children", "--json")
    result = json.loads(done.stdout)["result"]
    first = result["kept"][0]
    for name in ("bm25_rank", "bm25_score", "knn_rank", "knn_score", "fused_rank", "fused_score", "raw_score"):
        assert first[name] is not None
    assert first["end"] - first["start"] == len(first["text"])
    assert {"embed", "search", "verify", "fuse", "rerank", "judge", "total"} <= set(result["milliseconds"])
    assert result["calibration"] == "shipped"
    assert result["reranker"]
    assert result["embedder"]


def test_asking_again_for_the_samples_changes_nothing(samples: System) -> None:
    """Unchanged documents are recognised and not embedded again."""
    done = samples.opinion("ingest", "--samples", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["unchanged"] > 0
    assert summary["accepted"] == 0


def test_why_explains_a_dropped_document(samples: System) -> None:
    """`opinion why` says at which stage a document was left behind, with the numbers."""
    asked = samples.opinion("query", "ibuprofen dosage for children", "--json")
    job_id = json.loads(asked.stdout)["job_id"]
    done = samples.opinion("why", job_id, MECHANISM)
    assert done.returncode == 0, done.stderr
    assert "below the floor" in done.stdout


def test_the_floor_can_be_set_for_one_query(samples: System) -> None:
    """Floor 1.0 refuses what floor 0.4 answered; floor 0.0 keeps up to the caps."""
    strict = samples.opinion("query", "ibuprofen dosage for children", "--floor", "1.0", "--json")
    assert strict.returncode == 3
    loose = samples.opinion("query", "ibuprofen dosage for children", "--floor", "0.0", "--top-k", "5", "--json")
    assert len(json.loads(loose.stdout)["result"]["kept"]) == 5
