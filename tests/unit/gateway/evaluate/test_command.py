"""`opinion evaluate` as a command, on a whole system in memory."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from second_opinion.gateway.cli.rendering.evaluate import layout, miss_layout
from second_opinion.gateway.evaluation import run_dataset
from second_opinion.gateway.evaluation_log import ASKED, WorkFolder
from second_opinion.pipeline.evaluation.datasets import read_dataset
from second_opinion.pipeline.evaluation.misses import misses
from second_opinion.schemas.errors import OpinionError, RerankUnavailable
from second_opinion.schemas.evaluation import EvaluationReport
from second_opinion.schemas.job import JobState
from tests.unit.gateway.conftest import MemorySystem
from tests.unit.gateway.evaluate.harbour import lines, plan


def evaluate(system: MemorySystem, folder: Path, work: Path, *options: str) -> Any:
    """Run the command."""
    return system.opinion("evaluate", str(folder), "--into", str(work), "--in-flight", "1", *options)


def test_the_command_prints_a_plain_table(system: MemorySystem, folder: Path, work: Path) -> None:
    """In a pipe: data set, part, figure, value, low, high."""
    told = evaluate(system, folder, work)
    assert told.exit_code == 0, told.stderr
    cells = {tuple(row[1:3]): row for row in (line.split("\t") for line in told.stdout.splitlines())}
    assert all(len(row) == 6 for row in cells.values())
    assert cells["reranked", "ndcg_10"][3] == "1.000000"
    assert cells["misses", "hit"][3] == "3"
    assert cells["refusal", "recall"][3] == "1.000000"
    assert "4 of 4 queries answered or refused" in told.stderr


def test_the_command_prints_json(system: MemorySystem, folder: Path, work: Path) -> None:
    """The report as its schema has it, and the queries when they are asked for."""
    told = json.loads(evaluate(system, folder, work, "--json", "--misses").stdout)
    (found,) = (EvaluationReport.model_validate(one) for one in told["reports"])
    assert (found.name, found.queries, found.failed) == ("harbour", 4, 0)
    assert told["pooled"] is None
    assert [one["miss"] for one in told["misses"]["harbour"]] == ["hit"] * 3
    assert EvaluationReport.model_validate_json((work / "report.json").read_bytes()).stages == found.stages


def test_misses_are_listed(system: MemorySystem, folder: Path, work: Path) -> None:
    """With a floor that nothing clears each is the floor's; hits are left out of the list."""
    told = evaluate(system, folder, work, "--misses", "--floor", "1.0")
    rows = [line.split("\t") for line in told.stdout.splitlines()]
    assert [row[:4] for row in rows] == [["harbour", key, "floor_miss", "1"] for key in ("q1", "q2", "q3")]
    assert evaluate(system, folder, work, "--misses").stdout == ""


def test_several_data_sets_are_pooled(system: MemorySystem, folder: Path, work: Path, tmp_path: Path) -> None:
    """One report each, and one of all."""
    other = tmp_path / "quay"
    other.mkdir()
    for name in ("corpus.jsonl", "queries.jsonl", "qrels.tsv"):
        (other / name).write_bytes((folder / name).read_bytes())
    told = json.loads(
        system.opinion("evaluate", str(folder), str(other), "--into", str(work), "--in-flight", "1", "--json").stdout
    )
    assert [one["name"] for one in told["reports"]] == ["harbour", "quay"]
    assert told["pooled"]["datasets"] == ["harbour", "quay"]
    assert told["pooled"]["queries"] == 8
    assert (work / "quay" / ASKED).exists()


def test_pictures_are_drawn(system: MemorySystem, folder: Path, work: Path, tmp_path: Path) -> None:
    """Four well-formed SVG files; the same report gives the same bytes."""
    drawn = []
    for place in (tmp_path / "one", tmp_path / "two"):
        assert evaluate(system, folder, work, "--pictures", str(place)).exit_code == 0
        drawn.append({path.name: path.read_bytes() for path in sorted(place.iterdir())})
    kinds = ("floors", "relevance", "reliability", "risk-coverage")
    assert list(drawn[0]) == [f"harbour-{kind}.svg" for kind in kinds]
    assert drawn[0] == drawn[1]
    for content in drawn[0].values():
        root = ET.fromstring(content)  # noqa: S314 - made here
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) > 3


def test_a_terminal_has_eighty_columns(system: MemorySystem, folder: Path, work: Path) -> None:
    """No line is wider, and every stage and measure is there."""
    done = run_dataset(system.client, read_dataset(folder), plan(work))
    evaluate(system, folder, work)
    found = EvaluationReport.model_validate_json((work / "report.json").read_bytes())
    shown = [line.plain for line in layout(found)]
    assert max(map(len, shown)) <= 80
    for word in ("bm25", "knn", "fused", "reranked", "floored", "recall@100", "AUROC", "ECE", "Brier", "hit 3"):
        assert any(word in line for line in shown), word
    missed = {"harbour": misses(done.dataset, done.asked)}
    assert list(miss_layout(missed, 80)) == []


@pytest.mark.parametrize(("library", "options"), [("ir_measures", []), ("matplotlib", ["--pictures", "pictures"])])
def test_a_missing_extra_is_told_before_anything_is_sent(  # noqa: PLR0917 - fixtures are parameters
    system: MemorySystem, folder: Path, work: Path, monkeypatch: pytest.MonkeyPatch, library: str, options: list[str]
) -> None:
    """The error names the command that installs it."""
    real = importlib.import_module

    def absent(name: str, package: str | None = None) -> Any:
        if name == library:
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", absent)
    told = evaluate(system, folder, work, *options)
    assert told.exit_code == 4
    assert 'pip install "second-opinion[evaluation]"' in told.stderr
    assert not work.exists()


@pytest.mark.parametrize(
    ("break_it", "complaint"),
    [
        ("qrels.tsv", "qrels.tsv, line 4: names document 'nowhere'"),
        ("corpus.jsonl", "corpus.jsonl, line 5: not an object with an id"),
    ],
)
def test_a_broken_data_set_is_told_before_anything_is_sent(
    system: MemorySystem, folder: Path, work: Path, break_it: str, complaint: str
) -> None:
    """File and line, exit code 2, and no document went in."""
    line = "q1\tnowhere\t1" if break_it == "qrels.tsv" else "[]"
    with (folder / break_it).open("a", encoding="utf-8") as stream:
        stream.write(f"{line}\n")
    told = evaluate(system, folder, work)
    assert told.exit_code == 2
    assert complaint in told.stderr
    assert system.client.collections() == []


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--with", "nothing.jsonl"], "nothing.jsonl does not exist"),
        (["--split", "test"], "split 'test' has no queries"),
        (["--queries", "0"], "invalid value"),
    ],
)
def test_wrong_options_are_told(
    system: MemorySystem, folder: Path, work: Path, options: list[str], complaint: str
) -> None:
    """Each with exit code 2."""
    told = evaluate(system, folder, work, *options)
    assert told.exit_code == 2
    assert complaint in told.stderr


def test_interrupted_it_says_how_to_go_on(
    system: MemorySystem, folder: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C keeps what was answered; the same command then asks only the rest."""
    interrupted = _interrupt_after(2, WorkFolder.record)
    monkeypatch.setattr(WorkFolder, "record", interrupted)
    told = evaluate(system, folder, work)
    assert told.exit_code == 130
    assert "same command again" in told.stderr
    monkeypatch.undo()
    recorded = lines(work / ASKED)
    assert len(recorded) == 2
    assert evaluate(system, folder, work).exit_code == 0
    assert lines(work / ASKED)[:2] == recorded
    assert len(lines(work / ASKED)) == 4


def _interrupt_after(count: int, real: Any) -> Any:
    left: Iterator[int] = iter(range(count))

    def record(self: WorkFolder, asked: Any) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        real(self, asked)

    return record


def test_failed_queries_make_the_command_fail(
    system: MemorySystem, folder: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report is printed, the failures are named, and the exit code is 4."""
    real = MemorySystem._answer

    def answer(self: MemorySystem, job_id: str) -> None:
        if "dogs" in self.jobs.get(job_id).query.text:
            problem: OpinionError = RerankUnavailable("the reranker is away")
            self.jobs.finish(job_id, JobState.FAILED, at=self.stores.clock.now(), error=problem.info())
        else:
            real(self, job_id)

    monkeypatch.setattr(MemorySystem, "_answer", answer)
    told = evaluate(system, folder, work)
    assert told.exit_code == 4
    assert "1 queries failed" in told.stderr
    assert "q2: the reranker is away" in told.stderr
    assert "reranked" in told.stdout
