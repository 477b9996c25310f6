"""From a query to a judgement to a report, on a whole system: what an operator types, one command after the other."""

import json

import pytest

from second_opinion.schemas.floor_choice import FloorReport
from tests.acceptance.conftest import System

pytestmark = pytest.mark.stack
TEXT = "The tide tables for the northern harbour are pinned beside the boat shed door every Friday morning."


@pytest.fixture(scope="module")
def asked(system: System) -> tuple[System, str]:
    """One document, one answered query, and its job."""
    system.start("index", "retrieve", "rerank")
    with system.client() as client:
        client.submit_document(id="tides", text=TEXT)
        client.wait_document("tides", timeout=180.0)
    done = system.opinion("query", "when are the tide tables pinned?", "--floor", "0", "--json")
    assert done.returncode == 0, done.stderr
    return system, json.loads(done.stdout)["job_id"]


def test_the_trace_is_there_right_after_the_answer(asked: tuple[System, str]) -> None:
    """Though it is written a moment later: the command waits for it."""
    system, job = asked
    told = system.opinion("trace", job)
    assert told.returncode == 0, told.stderr
    (row,) = [line.split("\t") for line in told.stdout.splitlines()]
    assert (row[0], row[1], row[7]) == ("1", "kept", "tides")


def test_a_judgement_reaches_the_report(asked: tuple[System, str]) -> None:
    """The next report counts it."""
    system, job = asked
    judged = system.opinion("judge", job, "1", "relevant")
    assert judged.returncode == 0, judged.stderr
    told = system.opinion("floor", "report", "--floor", "0", "--json")
    report = FloorReport.model_validate_json(told.stdout)
    assert (report.spread.traces, report.judged_pairs) == (1, 1)
    precision = report.rows[0].precision
    assert precision is not None
    assert precision.value == 1.0
    assert precision.low < 0.5


def test_one_judgement_suggests_no_floor(asked: tuple[System, str]) -> None:
    """It is told how many are needed."""
    system, _ = asked
    told = system.opinion("floor", "suggest", "--precision", "0.9")
    assert told.returncode == 4
    assert "50 are needed" in told.stderr
