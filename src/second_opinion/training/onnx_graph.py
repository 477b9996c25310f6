"""Writes an ONNX graph node by node, for exactly the operators that ONNX Runtime is fast at.

Tracing a PyTorch module gives what the tracer made of it, and leaves it to the runtime to find attention and quantised
products again among the pieces. Here each fused operator is named.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET: Final = 17
FUSED: Final = "com.microsoft"
"""The domain of ONNX Runtime's own fused operators."""

Array = NDArray[Any]
Floats = NDArray[np.float32]


class Graph:
    """An ONNX graph under construction. Values are known by their names.

    Args:
        around: The graph of which this is a branch; its values and constants are known here too.
        place: What the names of a branch's own values begin with, so that they are nobody else's.
    """

    def __init__(self, around: "Graph | None" = None, place: str = "") -> None:
        self._around = around
        self._place = place
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: Array | float) -> str:
        """Keep an array in the graph; one that has this name already stays."""
        if not self._has(name):
            array = np.asarray(value, np.float32) if isinstance(value, float) else np.array(value, order="C")
            self._constants[name] = numpy_helper.from_array(array, name)
        return name

    def array(self, name: str) -> Array:
        """Return the constant of this name.

        Raises:
            KeyError: If there is none, here or around.
        """
        if name not in self._constants and self._around is not None:
            return self._around.array(name)
        return numpy_helper.to_array(self._constants[name])

    def _has(self, name: str) -> bool:
        return name in self._constants or (self._around is not None and self._around._has(name))  # noqa: SLF001

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node of one output and return the output's name."""
        return self.add_many(operator, *inputs, outputs=1, domain=domain, **attributes)[0]

    def add_many(
        self, operator: str, *inputs: str, outputs: int, domain: str = "", **attributes: Any
    ) -> tuple[str, ...]:
        """Add a node and return the names of its outputs."""
        name = f"{self._place}{operator}_{len(self._nodes)}"
        names = tuple(f"{name}:{number}" for number in range(outputs))
        self._nodes.append(
            helper.make_node(operator, list(inputs), list(names), name=name, domain=domain, **attributes)
        )
        return names

    def cast(self, value: str, to: int = TensorProto.FLOAT) -> str:
        """Return `value` in another type."""
        return self.add("Cast", value, to=to)

    def include(self, part: onnx.GraphProto, prefix: str, inputs: dict[str, str]) -> str:
        """Add the nodes of another graph of one output, its inputs joined to values of this one."""

        def renamed(value: str) -> str:
            name = f"{prefix}/{value}"
            return inputs.get(value, name if self._has(name) else f"{self._place}{name}") if value else ""

        for tensor in part.initializer:
            if not self._has(f"{prefix}/{tensor.name}"):
                kept = onnx.TensorProto()
                kept.CopyFrom(tensor)
                kept.name = f"{prefix}/{tensor.name}"
                self._constants[kept.name] = kept
        for node in part.node:
            kept_node = onnx.NodeProto()
            kept_node.CopyFrom(node)
            kept_node.name = f"{self._place}{prefix}/{node.name}"
            kept_node.input[:] = [renamed(value) for value in node.input]
            kept_node.output[:] = [renamed(value) for value in node.output]
            self._nodes.append(kept_node)
        return renamed(part.output[0].name)

    def either(self, condition: str, branch: "Graph", there: str, here: str, shape: Sequence[str | int]) -> str:
        """Return the float `there`, which `branch` computes, where the one truth `condition` holds, and else `here`.

        Nothing of the branch is computed elsewhere.
        """
        name = f"{self._place}If_{len(self._nodes)}"
        straight = helper.make_node("Identity", [here], [f"{name}/here"])
        then = branch._as_branch(there, shape)  # noqa: SLF001
        value = helper.make_tensor_value_info(f"{name}/here", TensorProto.FLOAT, list(shape))
        otherwise = helper.make_graph([straight], f"{name}/else", [], [value])
        self._nodes.append(
            helper.make_node("If", [condition], [f"{name}:0"], name=name, then_branch=then, else_branch=otherwise)
        )
        return f"{name}:0"

    def _as_branch(self, output: str, shape: Sequence[str | int]) -> onnx.GraphProto:
        value = helper.make_tensor_value_info(output, TensorProto.FLOAT, list(shape))
        return helper.make_graph(self._nodes, f"{self._place}then", [], [value], list(self._constants.values()))

    def save(self, path: Path, output: str, name: str, shape: Sequence[str | int]) -> None:
        """Write the graph with the inputs `input_ids` and `token_type_ids` (int64 [B, S]) and one float output."""
        self._nodes.append(helper.make_node("Identity", [output], [name], name="output"))
        inputs = [
            helper.make_tensor_value_info(each, TensorProto.INT64, ["batch", "tokens"])
            for each in ("input_ids", "token_type_ids")
        ]
        outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))]
        graph = helper.make_graph(self._nodes, "model", inputs, outputs, list(self._constants.values()))
        domains = [helper.make_opsetid("", OPSET), helper.make_opsetid(FUSED, 1)]
        model = helper.make_model(graph, opset_imports=domains, ir_version=8, producer_name="second-opinion")
        onnx.save(model, str(path))
