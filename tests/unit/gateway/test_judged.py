"""Judged queries as a data set to train on."""

import json
from pathlib import Path

import pytest

from second_opinion.gateway.judged import gather, write_judged
from second_opinion.pipeline.evaluation.datasets import read_dataset
from second_opinion.schemas.errors import NotEnoughJudgements
from tests.unit.gateway.conftest import MemorySystem

CITIES = ["Bergen", "Cork", "Delft", "Evora", "Faro", "Ghent", "Hull", "Izola", "Jena", "Kotor", "Lund", "Mons", "Nice"]


def judge_all(system: MemorySystem, cities: list[str]) -> None:
    """Ask where each city's ferry goes, and judge its own passage relevant and the others not."""
    for city in CITIES:
        system.client.submit_document(id=city, title=city, text=f"The ferry from {city} leaves at noon.")
    for city in cities:
        told = system.opinion("query", f"ferry from {city}", "--json", "--floor", "0")
        job = json.loads(told.stdout)["job_id"]
        trace = system.client.evidence.trace(job)
        for one in trace.candidates[:6]:
            system.client.evidence.judge(job, one.chunk_id, relevant=one.document_id == city)


def test_judged_queries_become_a_data_set(system: MemorySystem, tmp_path: Path) -> None:
    """Every judged pair is a grade, every candidate a passage, every question a query of the train split."""
    judge_all(system, CITIES[:10])
    found = write_judged(system.client.evidence, "default", tmp_path / "judged")
    dataset = read_dataset(tmp_path / "judged")
    assert len(found.grades) == sum(len(row) for row in dataset.grades.values()) == 60
    assert {one.text for one in dataset.questions.values()} == {f"ferry from {city}" for city in CITIES[:10]}
    assert {one.split for one in dataset.questions.values()} == {"train"}
    for question in dataset.questions.values():
        good = [dataset.passages[row].title for row, grade in dataset.grades[question.id].items() if grade]
        assert good == [question.text.removeprefix("ferry from ")]
        assert question.answerable


def test_a_query_without_a_relevant_candidate_is_unanswerable(system: MemorySystem, tmp_path: Path) -> None:
    """It keeps the first judged passage as what it was asked about: the hardest negative."""
    judge_all(system, CITIES[:10])
    job = json.loads(system.opinion("query", "ferry from Delft", "--json", "--floor", "0").stdout)["job_id"]
    for one in system.client.evidence.trace(job).candidates[:6]:
        system.client.evidence.judge(job, one.chunk_id, relevant=False)
    write_judged(system.client.evidence, "default", tmp_path / "judged")
    dataset = read_dataset(tmp_path / "judged")
    (refused,) = [one for one in dataset.questions.values() if not one.answerable]
    assert refused.text == "ferry from Delft"
    assert refused.source in dataset.grades[refused.id]


def test_what_is_gone_is_counted(system: MemorySystem) -> None:
    """A judgement whose passage was deleted trains nothing, and is not lost silently."""
    judge_all(system, CITIES[:2])
    before = gather(system.client.evidence, "default")
    assert (before.gone, len(before.grades)) == (0, 12)
    system.client.delete_document("Bergen")
    after = gather(system.client.evidence, "default")
    assert after.gone > 0
    assert after.gone + len(after.grades) == 12


def test_too_few_judgements_are_refused(system: MemorySystem, tmp_path: Path) -> None:
    """The error counts them, and nothing is written."""
    judge_all(system, CITIES[:3])
    with pytest.raises(NotEnoughJudgements, match="18 judged pairs to train on; 50 are needed"):
        write_judged(system.client.evidence, "default", tmp_path / "judged")
    assert not (tmp_path / "judged").exists()
