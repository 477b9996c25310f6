"""A small data set in words of our own, and what tests of its evaluation share."""

from pathlib import Path
from typing import Any, Self

import pytest

from second_opinion.gateway.evaluation import RunPlan
from second_opinion.schemas.job import Job
from tests.unit.gateway.conftest import MemorySystem

DOCUMENTS = {
    "refunds": "A manager approves refunds above one hundred euros.",
    "dogs": "Dogs may visit the office on Fridays.",
    "tea": "Green tea is in the third drawer.",
    "tides": "Tide tables are pinned beside the boat shed door.",
}
QUESTIONS = {
    "q1": ("who approves refunds?", "refunds"),
    "q2": ("may dogs visit the office?", "dogs"),
    "q3": ("where is green tea?", "tea"),
    "q4": ("how do I reset the router password?", None),
}


def write(path: Path, *lines: str) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def asked_texts(system: MemorySystem, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which every question is added that is asked from now on."""
    heard: list[str] = []
    submit = system.client.submit_query

    def submit_query(text: str, **options: Any) -> Job:
        heard.append(text)
        return submit(text, **options)

    monkeypatch.setattr(system.client, "submit_query", submit_query)
    return heard


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def plan(work: Path, **options: Any) -> RunPlan:
    """Return a plan that asks one question at a time: the system in memory has no workers of its own."""
    return RunPlan(work, in_flight=1, **options)


class Heard:
    """A watch that remembers what it is told."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def step(self, name: str, total: int) -> Self:  # noqa: ARG002 - the protocol's form
        """Show nothing."""
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Show nothing."""

    def advance(self, count: int = 1) -> None:
        """Show nothing."""

    def say(self, sentence: str) -> None:
        """Remember it."""
        self.sentences.append(sentence)
