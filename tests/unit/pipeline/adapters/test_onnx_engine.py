"""The engine on a tiny model of its own: the logarithm of the sum of looked-up token values."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from second_opinion.pipeline.adapters.onnx_engine import Engine, Model
from second_opinion.pipeline.adapters.onnx_tokens import ModelInput
from second_opinion.schemas.errors import (
    DeadlineExceeded,
    InternalError,
    JobCancelled,
    ModelUnusable,
    OpinionError,
    Overloaded,
    TextUnreadable,
)

ROWS = 10
NOT_FINITE = 9


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a table of ten rows, the last of which sums to zero."""
    values = np.array([*range(1, ROWS), 0], np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["values"]),
        helper.make_node("ReduceSum", ["values", "axes"], ["sum"], keepdims=0),
        helper.make_node("Log", ["sum"], ["logit"]),
    ]
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])
    logit = helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["batch"])
    constants = [numpy_helper.from_array(values, "table"), numpy_helper.from_array(np.array([1]), "axes")]
    graph = helper.make_graph(nodes, "tiny", [ids], [logit], constants)
    path = tmp_path_factory.mktemp("tiny") / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


@pytest.fixture
def engine(model_path: Path) -> Iterator[Engine]:
    """An engine with two runners."""
    running = Engine(Model(model_path, output_shape=(1,)), threads=2)
    yield running
    running.close()


@pytest.fixture
def single(model_path: Path) -> Iterator[Engine]:
    """An engine with one runner, whose order of work can be seen."""
    running = Engine(Model(model_path, output_shape=(1,)), threads=1)
    yield running
    running.close()


def tokens(row: int) -> ModelInput:
    ids = np.array([[row]], np.int64)
    return ModelInput(ids, np.zeros_like(ids), truncated=False)


def value(outcome: object) -> float:
    assert isinstance(outcome, np.ndarray)
    return float(outcome[0])


def test_outputs_come_in_the_order_of_the_items(engine: Engine) -> None:
    """Each item's output stands where the item stood, whichever runner computed it."""
    items = [n % (ROWS - 1) for n in range(200)]
    found = [value(outcome) for outcome in engine.run(items, tokens)]
    assert found == [pytest.approx(np.log(item + 1), abs=1e-6) for item in items]


def test_no_items_need_no_runner(engine: Engine) -> None:
    """An empty call returns at once."""
    assert engine.run([], tokens) == []


def test_a_poisonous_text_fails_alone(engine: Engine) -> None:
    """A result that is not finite and a failure inside the runtime leave the items around them untouched."""
    outcomes = engine.run([0, NOT_FINITE, 1, ROWS + 5, 2], tokens)
    assert [type(outcome) for outcome in outcomes] == [
        np.ndarray,
        TextUnreadable,
        np.ndarray,
        TextUnreadable,
        np.ndarray,
    ]
    assert value(outcomes[4]) == pytest.approx(np.log(3), abs=1e-6)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [(MemoryError(), Overloaded), (ValueError("bad"), InternalError), (SystemExit(), InternalError)],
)
def test_a_runner_outlives_whatever_reading_raises(
    single: Engine, raised: BaseException, expected: type[OpinionError]
) -> None:
    """An item that raises becomes an outcome; the only runner goes on with the next one."""

    def read(item: int) -> ModelInput:
        if item == 1:
            raise raised
        return tokens(item)

    outcomes = single.run([0, 1, 2], read)
    assert isinstance(outcomes[1], expected)
    assert value(outcomes[2]) == pytest.approx(np.log(3), abs=1e-6)


def test_calls_are_served_in_the_order_in_which_they_came(single: Engine) -> None:
    """The second call begins when all items of the first have begun."""
    begun: list[str] = []
    first_has_begun = threading.Event()

    def read(name: str) -> ModelInput:
        begun.append(name)
        first_has_begun.set()
        time.sleep(0.002)
        return tokens(0)

    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(single.run, ["first"] * 20, read)
        assert first_has_begun.wait(5)
        second = callers.submit(single.run, ["second"] * 5, read)
        assert len(first.result(5)) + len(second.result(5)) == 25
    assert begun == ["first"] * 20 + ["second"] * 5


def test_one_call_uses_all_runners(engine: Engine) -> None:
    """Two items of one call are computed at the same time."""
    together = threading.Barrier(2, timeout=5)

    def read(item: int) -> ModelInput:
        together.wait()
        return tokens(item)

    assert [value(outcome) for outcome in engine.run([0, 1], read)] == [0.0, pytest.approx(np.log(2), abs=1e-6)]


def test_a_guard_stops_work_between_items(single: Engine) -> None:
    """When the guard raises, its error reaches the caller, the rest is never begun, and the next call is served."""
    begun: list[int] = []

    def read(item: int) -> ModelInput:
        begun.append(item)
        time.sleep(0.005)
        return tokens(0)

    def guard() -> None:
        if len(begun) > 2:
            raise DeadlineExceeded("time is up")

    with pytest.raises(DeadlineExceeded):
        single.run(list(range(500)), read, guard=guard)
    at_the_end = len(begun)
    assert len(single.run([0], tokens)) == 1
    assert at_the_end < 50
    assert len(begun) <= at_the_end + 1


def test_a_guard_is_asked_while_the_call_waits_behind_others(single: Engine) -> None:
    """A cancelled call leaves the queue although no runner has come to it."""
    release = threading.Event()

    def block(_item: int) -> ModelInput:
        release.wait(5)
        return tokens(0)

    def guard() -> None:
        if busy.running():
            raise JobCancelled("not wanted any more")

    with ThreadPoolExecutor(1) as callers:
        busy = callers.submit(single.run, [0], block)
        begun: list[int] = []
        with pytest.raises(JobCancelled):
            single.run([1], lambda item: begun.append(item) or tokens(item), guard=guard)
        release.set()
        assert len(busy.result(5)) == 1
    assert begun == []


def test_closing_tells_those_who_wait(model_path: Path) -> None:
    """Calls that were not served when the engine closed, and calls after it, are told to come back."""
    engine = Engine(Model(model_path, output_shape=(1,)), threads=1)
    begun = threading.Event()

    def read(_item: int) -> ModelInput:
        begun.set()
        time.sleep(0.01)
        return tokens(0)

    with ThreadPoolExecutor(1) as callers:
        waiting = callers.submit(engine.run, list(range(1_000)), read)
        assert begun.wait(5)
        engine.close()
        with pytest.raises(Overloaded):
            waiting.result(5)
    with pytest.raises(Overloaded):
        engine.run([0], tokens)


def test_a_process_that_ends_in_the_middle_of_an_inference_ends_in_order() -> None:
    """A runner in native code is waited for: coming back to no interpreter, it would abort the process."""
    script = """
import threading, time
from second_opinion.pipeline.adapters.onnx_reranker import OnnxReranker
reranker = OnnxReranker.open(threads=2)
passages = [f"A manager approves refund {number}. " * 20 for number in range(500)]
threading.Thread(target=reranker.score, args=("who approves refunds?", passages), daemon=True).start()
time.sleep(0.3)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_forked_process_is_told_instead_of_waiting_for_ever(engine: Engine) -> None:
    """Runners do not survive a fork, so using the engine there is an error at once."""
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        try:
            engine.run([0], tokens)
        except InternalError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    """The error says which file cannot be loaded and what to do."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelUnusable, match=r"model\.onnx cannot be loaded") as caught:
        Model(path, output_shape=(1,))
    assert caught.value.hint


def test_a_model_of_another_shape_is_refused_at_start(model_path: Path) -> None:
    """A model whose output has another length than declared never serves a call."""
    with pytest.raises(ModelUnusable, match="does not compute"):
        Engine(Model(model_path, output_shape=(3,)), threads=1)
