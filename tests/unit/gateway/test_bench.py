"""`opinion bench` measures both sides with the bundled models."""

import json

import pytest

from second_opinion.workers.settings import load_settings
from tests.unit.gateway.conftest import MemorySystem

QUESTIONS = ["embed", "rerank"]


def test_bench_prints_both_sides_and_the_ratio(system: MemorySystem) -> None:
    """One line a question for programs; the machine and where the long benchmarks are in the summary."""
    done = system.opinion("bench", "--seconds", "0")
    assert done.exit_code == 0
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == QUESTIONS
    for _, engine, other, ratio, _, told in rows:
        assert float(engine) > 0.0
        assert float(other) > 0.0
        assert float(ratio) > 0.0
        assert "ONNX Runtime" in told
    assert "threads" in done.stderr


def test_bench_as_json_names_the_machine(system: MemorySystem) -> None:
    """What a result means depends on it."""
    found = json.loads(system.opinion("bench", "--seconds", "0", "--json").stdout)
    assert [one["question"] for one in found["comparisons"]] == QUESTIONS
    assert found["machine"]["threads"] >= 1
    assert {"kernel", "onnxruntime", "second_opinion"} <= found["machine"].keys()


def test_bench_says_that_it_leaves_another_bi_encoder_out(
    system: MemorySystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who runs one outside the engine is not shown figures of the bundled one as if they were its own."""
    monkeypatch.setenv(
        "OPINION_EMBEDDER", json.dumps({"kind": "sentence-transformers", "model": "x", "revision": "y", "dims": 8})
    )
    load_settings.cache_clear()
    try:
        done = system.opinion("bench", "--seconds", "0")
    finally:
        load_settings.cache_clear()
    assert done.exit_code == 0
    assert "not measured" in done.stderr
