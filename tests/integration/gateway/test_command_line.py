"""The command line against real servers and workers, as separate processes."""

import json
import os
import signal
from pathlib import Path

import pytest

from second_opinion import Client
from second_opinion.schemas.document import DocumentState
from second_opinion.schemas.job import Job, JobState
from tests.integration.gateway.conftest import System, wait_until

pytestmark = pytest.mark.stack

QUESTION = "ibuprofen dosage for children"
CHILDREN = "ibuprofen-dosage-children.md"


def test_help_comes_at_once(bare_system: System) -> None:
    """The list of commands needs neither servers nor models: less than 0.3 s of processor time."""
    took = []
    for _ in range(5):
        before = os.times()
        done = bare_system.opinion("--help")
        after = os.times()
        took.append(after.children_user + after.children_system - before.children_user - before.children_system)
        assert "Ask a question" in done.stdout
    assert min(took) < 0.3


def test_ingest_query_why(system: System, tmp_path: Path) -> None:
    """A folder goes in, a question is answered from it, and `why` tells of a document that is not in the answer."""
    (tmp_path / "harbour").mkdir()
    (tmp_path / "harbour" / "tides.md").write_text(
        "# Tide tables\n\nThe tide tables are pinned beside the boat shed door every Friday.", encoding="utf-8"
    )
    (tmp_path / "broken.txt").write_bytes(b"\xff\xfe\xfd")
    sent = system.opinion("ingest", str(tmp_path), "--json", "-m", "place=harbour")
    summary = json.loads(sent.stdout)
    assert sent.returncode == 4
    assert (summary["accepted"], summary["searchable"], summary["failed"]) == (1, 1, 1)
    assert summary["failures"][0]["error"]["code"] == "invalid_encoding"
    asked = system.opinion(
        "query", "where are the tide tables pinned?", "--floor", "0.2", "--filter", "place=harbour", "--json"
    )
    assert asked.returncode == 0, asked.stdout + asked.stderr
    job = Job.model_validate_json(asked.stdout)
    assert job.state is JobState.DONE
    assert job.result is not None
    assert job.result.kept[0].document_id == "harbour/tides.md"
    told = system.opinion("why", job.job_id, CHILDREN)
    assert told.stdout.split("\t")[1] == "filtered out"
    assert system.opinion("why", job.job_id, "harbour/tides.md").stdout.split("\t")[1] == "kept"


def test_an_off_topic_question_is_refused(system: System) -> None:
    """Nothing in the samples answers it: exit code 3, no data, and the reason."""
    asked = system.opinion("query", "how do I reset the password of my router?")
    assert (asked.returncode, asked.stdout) == (3, "")
    assert asked.stderr.startswith("- Refused: best relevance 0.")


def test_a_closed_pipe_is_no_error(system: System) -> None:
    """When nobody reads on, the command ends quietly."""
    process = system.start("query", QUESTION, "--floor", "0", "--explain", "--all")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(60) == 141
    assert b"Traceback" not in process.stderr.read()


def test_ctrl_c_while_waiting_keeps_what_was_accepted(system: System, client: Client) -> None:
    """SIGINT ends an ingest from a slow producer with 130; what was sent before is durable and becomes searchable."""
    process = system.start("ingest", "-", "--no-wait")
    assert process.stdin is not None
    lines = [json.dumps({"id": f"slow/{number}", "text": f"Buoy {number} is green."}) for number in range(150)]
    process.stdin.write("\n".join(lines).encode() + b"\n")
    process.stdin.flush()
    wait_until(lambda: client.document_statuses([("default", "slow/0")]) != {}, 60)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=180.0)
    assert process.returncode == 130, err
    assert b"Interrupted" in err
    assert b"Traceback" not in err
    assert client.wait_document("slow/0", timeout=180.0).current


def test_dead_letters_are_listed(system: System, client: Client) -> None:
    """A document that failed is listed with its reason and a hint."""
    client.submit_document(id="no-text", content=b"\x80\x81")
    wait_until(lambda: client.document_status("no-text").state is DocumentState.FAILED, 60)
    wait_until(lambda: "no-text" in system.opinion("dead-letters", "list").stdout, 30)
    assert system.opinion("dead-letters", "retry", "no-text").returncode == 0
    wait_until(lambda: client.document_status("no-text").state is DocumentState.FAILED, 60)


def test_the_doctor_finds_all_well(system: System) -> None:
    """On a whole system every check passes, and each part is named."""
    examined = system.opinion("doctor", "--json")
    found = json.loads(examined.stdout)
    assert [one for one in found["findings"] if one["level"] == "failed"] == []
    assert examined.returncode == 0
    parts = {one["part"] for one in found["findings"]}
    assert {
        "settings",
        "elasticsearch",
        "english analyzer",
        "redis broker",
        "queue rerank",
        "reranker",
        "clock",
    } <= parts


def test_absent_servers_are_told_with_what_to_run(tmp_path: Path) -> None:
    """Where nothing listens, each command says so within seconds, and how to start the stack."""
    nowhere = System(
        {
            "OPINION_STATE_DIR": str(tmp_path),
            "OPINION_ELASTICSEARCH_URL": "http://127.0.0.1:9",
            "OPINION_BROKER_URL": "redis://127.0.0.1:9/0",
            "OPINION_JOBS_URL": "redis://127.0.0.1:9/1",
            "OPINION_CACHE_URL": "redis://127.0.0.1:9/2",
        }
    )
    for arguments in (["query", "anything"], ["ingest", "--samples"], ["job", "show", "x"], ["collections"]):
        done = nowhere.opinion(*arguments)
        assert done.returncode == 4, done.stderr
        assert done.stderr.startswith("error: ")
        assert "hint: Start the local stack: opinion up" in done.stderr
        assert "Traceback" not in done.stderr
    examined = nowhere.opinion("doctor")
    assert examined.returncode == 4
    assert "opinion up" in examined.stdout
