"""`opinion trace`, `judge` and `floor`, run on a whole system in memory."""

import json
import re
from collections.abc import Callable

import numpy as np
import pytest

from second_opinion.gateway.cli.rendering import floor as floor_rendering
from second_opinion.gateway.cli.rendering.trace import TraceView, layout
from second_opinion.schemas.floor_choice import FloorReport
from second_opinion.schemas.trace import Trace
from second_opinion.schemas.verdict import Decision
from second_opinion.testing.traces import a_trace
from tests.unit.gateway.conftest import MemorySystem

NOW = 1_700_000_000.0


def ask(system: MemorySystem, question: str) -> str:
    """Ask a question and return its job."""
    job: str = json.loads(system.opinion("query", question, "--json").stdout)["job_id"]
    return job


def fill(system: MemorySystem, queries: int, *, relevant_at: Callable[[float, np.random.Generator], bool]) -> None:
    """Write traces of two candidates each and judge all of them."""
    rng = np.random.default_rng(7)
    traces = [
        a_trace(f"past-{number}", *sorted(rng.random(2).tolist(), reverse=True), at=NOW + number)
        for number in range(queries)
    ]
    system.parts.traces.write(traces)
    for trace in traces:
        for candidate in trace.candidates:
            judgement = relevant_at(candidate.relevance, rng)
            system.client.evidence.judge(trace.job_id, str(candidate.rank), relevant=judgement)


def calibrated(relevance: float, rng: np.random.Generator) -> bool:
    return bool(rng.random() < relevance)


def by_chance(_relevance: float, rng: np.random.Generator) -> bool:
    return bool(rng.random() < 0.5)


# opinion trace


def test_a_trace_tells_of_every_candidate(handbook: MemorySystem) -> None:
    """One row each, kept and dropped, in final order, with every number and where it stands."""
    job = ask(handbook, "manager approves refunds")
    told = handbook.opinion("trace", job)
    assert told.exit_code == 0
    cells = [line.split("\t") for line in told.stdout.splitlines()]
    trace = handbook.client.evidence.trace(job)
    assert [row[0] for row in cells] == [str(one.rank) for one in trace.candidates] == ["1", "2", "3", "4"]
    assert [row[1] for row in cells] == [one.decision.value for one in trace.candidates]
    assert cells[0][1] == Decision.KEPT.value
    assert cells[0][10] == "refunds.md › Refunds"


def test_a_trace_as_json_is_the_trace(handbook: MemorySystem) -> None:
    """As its schema has it, with what is judged beside it."""
    job = ask(handbook, "manager approves refunds")
    handbook.opinion("judge", job, "1", "relevant")
    told = json.loads(handbook.opinion("trace", job, "--json").stdout)
    trace = handbook.client.evidence.trace(job)
    assert told.pop("judged_relevant") == {trace.candidates[0].chunk_id: True}
    assert Trace.model_validate(told) == trace


def test_an_unknown_job_has_no_trace(system: MemorySystem) -> None:
    """The error says so at once, and what may be the reason."""
    told = system.opinion("trace", "nobody")
    assert told.exit_code == 4
    assert "error: there is no trace of job nobody" in told.stderr
    assert "OPINION_TRACE_DAYS" in told.stderr


def test_a_trace_on_a_terminal_has_a_line_at_the_floor(handbook: MemorySystem) -> None:
    """Kept ones above it, dropped ones below, each labelled; judged ones say so."""
    job = ask(handbook, "manager approves refunds")
    trace = handbook.client.evidence.trace(job)
    first = trace.candidates[0].chunk_id
    view = TraceView(trace, handbook.client.evidence.chunks(trace), {first: True})
    lines = [str(line) for line in layout(view, everything=False, width=100)]
    (floor,) = [place for place, line in enumerate(lines) if "── floor 0.40 ─" in line]
    (kept,) = [place for place, line in enumerate(lines) if re.match(r"\s+1 .*relevant", line)]
    dropped = [place for place, line in enumerate(lines) if line.rstrip().endswith(".md › Travel") or "dropped" in line]
    assert kept < floor < min(dropped)
    assert any("manager approves refunds" in line for line in lines)


def test_a_trace_goes_with_its_collection(handbook: MemorySystem) -> None:
    """Nothing of a deleted collection can be read any more: its traces quote it."""
    job = ask(handbook, "manager approves refunds")
    handbook.client.delete_collection("default")
    assert handbook.opinion("trace", job).exit_code == 4


# opinion judge


def test_a_judgement_is_kept(handbook: MemorySystem) -> None:
    """By rank or chunk id; the later one counts."""
    job = ask(handbook, "manager approves refunds")
    chunk = handbook.client.evidence.trace(job).candidates[0].chunk_id
    assert handbook.opinion("judge", job, "1", "relevant").stderr.startswith("✓ Judged refunds.md relevant to 'manager")
    assert handbook.opinion("judge", job, chunk, "irrelevant").exit_code == 0
    kept = [(one.chunk_id, one.relevant, one.query) for one in handbook.client.evidence.judgements()]
    assert kept == [(chunk, False, "manager approves refunds")]


@pytest.mark.parametrize("chunk", ["0", "5", "nothing"])
def test_a_judgement_needs_a_candidate(handbook: MemorySystem, chunk: str) -> None:
    """What was no candidate of that query has no scores, so its judgement could say nothing of a floor."""
    told = handbook.opinion("judge", ask(handbook, "manager"), chunk, "relevant")
    assert told.exit_code == 4
    assert f"has no candidate {chunk}; it has 4" in told.stderr
    assert "hint: Take a rank or chunk id from: opinion trace" in told.stderr
    assert list(handbook.client.evidence.judgements()) == []


def test_a_judgement_is_one_of_two_words(handbook: MemorySystem) -> None:
    """Anything else is wrong usage."""
    assert handbook.opinion("judge", "j", "1", "maybe").exit_code == 2


# opinion floor report


def test_a_report_without_traces_says_so(system: MemorySystem) -> None:
    """There is nothing to tell, and that is no failure."""
    told = system.opinion("floor", "report")
    assert told.exit_code == 0
    assert "- No traces yet" in told.stderr


def test_a_report_without_judgements_tells_what_floors_would_do(handbook: MemorySystem) -> None:
    """Answered, kept and trimmed, but no precision; and what to do about that."""
    for question in ("manager approves refunds", "xylophone lesson Reykjavik"):
        ask(handbook, question)
    told = handbook.opinion("floor", "report", "--floor", "0", "--floor", "1")
    rows = [line.split("\t") for line in told.stdout.splitlines()]
    assert [row[0] for row in rows] == ["0", "0.4", "1"]
    assert [float(row[1]) for row in rows] == [1.0, 0.5, 0.0]
    assert float(rows[2][3]) == 1.0
    assert all(set(row[4:]) == {""} for row in rows)
    assert "! Nothing is judged yet" in told.stderr
    assert "hint: opinion judge JOB RANK relevant" in told.stderr


def test_a_report_measures_what_is_judged(system: MemorySystem) -> None:
    """The same figures as data, as rows and on a terminal."""
    fill(system, 60, relevant_at=calibrated)
    report = FloorReport.model_validate_json(system.opinion("floor", "report", "--json").stdout)
    assert (report.spread.traces, report.judged_pairs, report.judged_queries, report.floor) == (60, 120, 60, 0.4)
    row = next(row for row in report.rows if row.floor == 0.4)
    assert row.precision is not None
    assert row.precision.low < 0.7 < row.precision.high
    lines = [str(line) for line in floor_rendering.report_layout(report)]
    assert "60 traces · 120 judged · word-reranker@1 c1" in lines[0]
    (marked,) = [line for line in lines if line.startswith(">")]
    assert f"{row.precision.value:.2f} ({row.precision.low:.2f}-{row.precision.high:.2f})" in marked
    assert "| floor 0.40" in "\n".join(lines)
    told = system.opinion("floor", "report")
    assert f"0.4\t{row.answered:.6f}" in told.stdout
    assert "120 judged pairs; " in told.stderr


def test_a_report_leaves_out_other_models(system: MemorySystem) -> None:
    """Their relevance means something else; how many there are is said."""
    system.parts.traces.write([a_trace("old", 0.9, at=NOW, calibration_id="c0"), a_trace("new", 0.1, at=NOW + 1)])
    told = system.opinion("floor", "report", "--json")
    report = FloorReport.model_validate_json(told.stdout)
    assert (report.scorer, report.spread.traces) == ("word-reranker@1 c1", 1)
    assert [one.scorer for one in report.others] == ["word-reranker@1 c0"]
    assert "! 1 trace of other models" in system.opinion("floor", "report").stderr


def test_a_report_of_a_collection_uses_its_own_floor(handbook: MemorySystem) -> None:
    """That is the floor in force there; queries to other collections are left out."""
    ask(handbook, "manager")
    handbook.client.set_collection("elsewhere", floor=0.33)
    here = FloorReport.model_validate_json(handbook.opinion("floor", "report", "-c", "default", "--json").stdout)
    there = FloorReport.model_validate_json(handbook.opinion("floor", "report", "-c", "elsewhere", "--json").stdout)
    assert [(one.spread.traces, one.floor) for one in (here, there)] == [(1, 0.4), (0, 0.33)]
    assert handbook.opinion("floor", "report", "-c", "nowhere").exit_code == 4


# opinion floor replay


def test_a_replay_tells_what_would_change(system: MemorySystem) -> None:
    """Which queries would be refused or answered, and how many passages would be shown."""
    system.parts.traces.write([a_trace("high", 0.9, 0.5), a_trace("middle", 0.5), a_trace("low", 0.2)])
    told = system.opinion("floor", "replay", "--floor", "0.6")
    assert told.stdout == "middle\trefused\t0.500000\t1\t0\tquestion of middle\n"
    assert "✓ At floor 0.60: answered 33 % (was 67 %), passages 1 (was 3), 3 traces" in told.stderr
    told = system.opinion("floor", "replay", "--floor", "0.1")
    assert told.stdout == "low\tanswered\t0.200000\t0\t1\tquestion of low\n"


def test_a_replay_needs_a_floor_between_zero_and_one(system: MemorySystem) -> None:
    """Another number is wrong usage; without traces there is nothing to replay."""
    assert system.opinion("floor", "replay", "--floor", "1.5").exit_code == 2
    assert system.opinion("floor", "replay").exit_code == 2
    assert "- No traces yet" in system.opinion("floor", "replay", "--floor", "0.5").stderr


# opinion floor suggest


def test_a_floor_is_suggested_with_its_intervals(system: MemorySystem) -> None:
    """The floor, what it reaches, how sure that is, and the command that sets it."""
    fill(system, 300, relevant_at=calibrated)
    told = system.opinion("floor", "suggest", "--precision", "0.8", "-c", "default")
    assert told.exit_code == 0
    floor, low, high, value, value_low, value_high = map(float, told.stdout.split("\t"))
    assert low <= floor <= high
    assert floor == pytest.approx(0.6, abs=0.1)
    assert value_low <= 0.8 <= value <= value_high
    assert f"✓ Floor {floor:.2f} (95 %:" in told.stderr
    assert f"hint: opinion collections set default --floor {floor:.2f}" in told.stderr


def test_traces_that_do_not_separate_are_called_so(system: MemorySystem) -> None:
    """Exit code 3, no floor on stdout, and the AUROC with its interval."""
    fill(system, 100, relevant_at=by_chance)
    told = system.opinion("floor", "suggest", "--precision", "0.5")
    assert told.exit_code == 3
    assert told.stdout == ""
    assert "- These traces do not separate: AUROC 0." in told.stderr


def test_a_goal_out_of_reach_is_refused(system: MemorySystem) -> None:
    """With the best that a floor reaches."""
    fill(system, 150, relevant_at=lambda relevance, rng: bool(rng.random() < relevance * 0.8))
    told = system.opinion("floor", "suggest", "--precision", "1")
    assert told.exit_code == 3
    assert "- No floor has precision ≥ 1; the best is 0." in told.stderr


def test_too_few_judgements_are_an_error(system: MemorySystem) -> None:
    """It says how many there are, how many are needed, and what to do."""
    fill(system, 5, relevant_at=calibrated)
    told = system.opinion("floor", "suggest", "--refusal-f1")
    assert told.exit_code == 4
    assert "error: 10 judged pairs belong to these traces; 50 are needed" in told.stderr
    assert "hint: Judge more candidates" in told.stderr


@pytest.mark.parametrize("goals", [(), ("--precision", "0.9", "--recall", "0.9"), ("--precision", "90")])
def test_exactly_one_goal_is_named(system: MemorySystem, goals: tuple[str, ...]) -> None:
    """Anything else is wrong usage."""
    assert system.opinion("floor", "suggest", *goals).exit_code == 2
