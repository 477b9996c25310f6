"""The inference engine behind both model ports: one copy of the model, one unpadded input a run, one runner a core.

Dynamic 8-bit scales are taken over everything in a run, so a pair in a batch scores differently than alone. Here
every input runs by itself: its result depends on nothing but itself, a text that breaks the model breaks only its own
run, and work can be abandoned between any two inputs.

Calls are served in the order in which they came; the inputs of one call are spread over all runners.
"""

import atexit
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from second_opinion.pipeline.adapters.onnx_kernel import runner_count, saturates
from second_opinion.pipeline.adapters.onnx_tokens import ModelInput
from second_opinion.pipeline.inferences import INFERENCES
from second_opinion.pipeline.ports import Guard, TimeIsOver, no_guard
from second_opinion.schemas.errors import InternalError, ModelUnusable, OpinionError, Overloaded, TextUnreadable

GUARD_SECONDS: Final = 0.01
_LEAVING_SECONDS: Final = 5.0
_WARM_UP_LENGTHS: Final = (16, 128)
_KNOWN_INPUTS: Final = frozenset({"input_ids", "token_type_ids", "attention_mask"})

# The fusion computes a layer norm five times slower on a CPU than the two operators that it replaces. Folding would
# keep all float32 weights of a second look (`training/second_look.py`) for as long as the model is loaded: 450 MB.
_LEFT_OUT: Final = ["SkipLayerNormFusion", "ConstantFolding"]

Output = NDArray[np.float32]
Outcome = Output | OpinionError
ItemT = TypeVar("ItemT")


class Model:
    """An ONNX model of one output, shared by all runners.

    Args:
        path: The `model.onnx`.
        output_shape: Shape of the output for one input.

    Raises:
        ModelUnusable: If the file is no model, wants other inputs than a BERT-like one, or does not compute.
    """

    def __init__(self, path: Path, output_shape: tuple[int, ...]) -> None:
        self._path = path
        self._output_shape = output_shape
        try:
            self._session = ort.InferenceSession(
                str(path), _options(), providers=["CPUExecutionProvider"], disabled_optimizers=_LEFT_OUT
            )
            self._inputs = frozenset(each.name for each in self._session.get_inputs())
        except Exception as problem:  # the runtime has many exceptions without a common base
            raise self._unusable(f"cannot be loaded: {problem}") from problem
        if "input_ids" not in self._inputs or not self._inputs <= _KNOWN_INPUTS:
            raise self._unusable(f"wants the inputs {', '.join(sorted(self._inputs))}")

    def run(self, tokens: ModelInput) -> Output:
        """Compute the output for one input.

        Raises:
            TextUnreadable: If the model fails on this input or its output is not finite.
            Overloaded: If there is not enough memory for it now.
        """
        feeds = {"input_ids": tokens.ids, "token_type_ids": tokens.types, "attention_mask": None}
        if "attention_mask" in self._inputs:
            feeds["attention_mask"] = np.ones_like(tokens.ids)
        try:
            output: Output = self._session.run(None, {name: feeds[name] for name in self._inputs})[0]
        except Exception as problem:
            if "allocat" in str(problem):
                raise Overloaded("not enough memory to run the model on this text") from problem
            raise TextUnreadable(f"the model fails on this text: {_first_line(problem)}") from problem
        if not np.isfinite(output).all():
            raise TextUnreadable("the model's output for this text is not finite")
        return output.reshape(self._output_shape)

    def warm_up(self) -> None:
        """Compute once on short and long input, so that the first caller does not wait for the runtime's set-up."""
        for length in _WARM_UP_LENGTHS:
            ids = np.zeros((1, length), np.int64)
            try:
                self.run(ModelInput(ids, np.zeros_like(ids), truncated=False))
            except (OpinionError, ValueError) as problem:
                raise self._unusable(f"does not compute: {problem}") from problem

    def _unusable(self, what: str) -> ModelUnusable:
        hint = "Export the model anew: python -m second_opinion.training.export"
        return ModelUnusable(f"model file {self._path} {what}", hint=hint)


class _Call(Generic[ItemT]):
    """The inputs of one caller on their way through the runners; the engine's lock guards every field."""

    def __init__(self, items: Sequence[ItemT], read: Callable[[ItemT], ModelInput]) -> None:
        self.items = items
        self.read = read
        self.outcomes: list[Outcome | None] = [None] * len(items)
        self.started = 0
        self.finished = 0
        self.over = threading.Event()


def never() -> bool:
    """Let the work take its time."""
    return False


class Engine:
    """Runner threads over one model.

    Args:
        model: The model; it is warmed up here.
        threads: How many runners; 0 is one for each core.
    """

    def __init__(self, model: Model, *, threads: int = 0) -> None:
        model.warm_up()
        self._model = model
        self._pid = os.getpid()
        self._calls: deque[_Call[Any]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._runners = [
            threading.Thread(target=self._serve, name=f"onnx-runner-{number}", daemon=True)
            for number in range(runner_count(threads))
        ]
        for runner in self._runners:
            runner.start()
        atexit.register(self._leave)

    @property
    def threads(self) -> int:
        """How many runners there are."""
        return len(self._runners)

    def run(
        self, items: Sequence[ItemT], read: Callable[[ItemT], ModelInput], *, guard: Guard = no_guard
    ) -> list[Outcome]:
        """Run the model on each item and return an output or an error for each, in order.

        Args:
            items: What to run on.
            read: Makes the model's input of an item; called on the runner.
            guard: As `run_in_time` takes it.

        Raises:
            OpinionError: What `guard` raised; inputs that have not begun by then never begin.
            Overloaded: If the engine is closed, or closes meanwhile.
        """
        return [outcome for outcome in self.run_in_time(items, read, guard=guard) if outcome is not None]

    def run_in_time(
        self,
        items: Sequence[ItemT],
        read: Callable[[ItemT], ModelInput],
        *,
        is_over: TimeIsOver = never,
        guard: Guard = no_guard,
    ) -> list[Outcome | None]:
        """Do as `run` does, but return None for each item that has no output yet when the time is over.

        Args:
            items: What to run on.
            read: Makes the model's input of an item; called on the runner.
            is_over: Asked before the work and about every 10 ms; items that have not begun by then never begin.
            guard: Called in the caller's thread before the work and about every 10 ms during it, waiting included.

        Raises:
            OpinionError: What `guard` raised; inputs that have not begun by then never begin.
            Overloaded: If the engine is closed, or closes meanwhile.
        """
        if os.getpid() != self._pid:
            raise InternalError("an inference engine was used in a process forked from the one that made it")
        guard()
        if not items or is_over():
            return [None] * len(items)
        call = _Call(items, read)
        with self._changed:
            if self._closed:
                raise Overloaded("the inference engine is shutting down")
            self._calls.append(call)
            self._changed.notify_all()
        try:
            while not call.over.wait(GUARD_SECONDS):
                guard()
                if is_over():
                    return self._abandon(call)
        except BaseException:
            self._abandon(call)
            raise
        if any(outcome is None for outcome in call.outcomes):
            raise Overloaded("the inference engine was shut down before the work was done")
        return call.outcomes

    def close(self) -> None:
        """End the runners after the inputs they are at; waiting calls are told `overloaded`."""
        atexit.unregister(self._leave)
        self._end()

    def _leave(self) -> None:
        """End the runners with the process: one that comes back from native code to no interpreter aborts it."""
        if os.getpid() == self._pid:
            self._end(_LEAVING_SECONDS)

    def _end(self, seconds: float | None = None) -> None:
        with self._changed:
            self._closed = True
            waiting, self._calls = list(self._calls), deque()
            self._changed.notify_all()
        for runner in self._runners:
            runner.join(seconds)
        for call in waiting:
            call.over.set()

    def _abandon(self, call: _Call[Any]) -> list[Outcome | None]:
        """Begin none of a call's inputs any more; return what has come out by now."""
        with self._changed:
            if call in self._calls:
                self._calls.remove(call)
            return list(call.outcomes)

    def _serve(self) -> None:
        while (work := self._take()) is not None:
            call, position = work
            outcome = self._compute(call, position)
            with self._changed:
                call.outcomes[position] = outcome
                call.finished += 1
                if call.finished == len(call.items):
                    call.over.set()

    def _take(self) -> tuple[_Call[Any], int] | None:
        with self._changed:
            while not self._calls:
                if self._closed:
                    return None
                self._changed.wait()
            call = self._calls[0]
            position = call.started
            call.started += 1
            if call.started == len(call.items):
                self._calls.popleft()
            return call, position

    def _compute(self, call: _Call[Any], position: int) -> Outcome:
        try:
            with INFERENCES.timed():
                return self._model.run(call.read(call.items[position]))
        except OpinionError as problem:
            return problem
        except MemoryError:
            return Overloaded("not enough memory to run the model on this text")
        except BaseException as problem:  # noqa: BLE001 - a runner that dies would leave its callers waiting for ever
            return InternalError(f"inference failed: {type(problem).__name__}: {_first_line(problem)}")


def _options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if saturates():
        # Weights are taken as unsigned then, of which no product saturates: slower, and the same score.
        options.add_session_config_entry("session.x64quantprecision", "1")
    # Memory patterns are kept for each length of input, of which there are hundreds here.
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    return options


def _first_line(problem: BaseException) -> str:
    return (str(problem).splitlines() or [""])[0]
