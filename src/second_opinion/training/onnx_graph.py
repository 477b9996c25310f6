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
    """An ONNX graph under construction. Values are known by their names."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: Array | float) -> str:
        """Keep an array in the graph; one that has this name already stays."""
        if name not in self._constants:
            array = np.asarray(value, np.float32) if isinstance(value, float) else np.array(value, order="C")
            self._constants[name] = numpy_helper.from_array(array, name)
        return name

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node of one output and return the output's name."""
        return self.add_many(operator, *inputs, outputs=1, domain=domain, **attributes)[0]

    def add_many(
        self, operator: str, *inputs: str, outputs: int, domain: str = "", **attributes: Any
    ) -> tuple[str, ...]:
        """Add a node and return the names of its outputs."""
        name = f"{operator}_{len(self._nodes)}"
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
            return inputs.get(value, f"{prefix}/{value}") if value else ""

        for tensor in part.initializer:
            kept = onnx.TensorProto()
            kept.CopyFrom(tensor)
            kept.name = renamed(tensor.name)
            self._constants[kept.name] = kept
        for node in part.node:
            kept_node = onnx.NodeProto()
            kept_node.CopyFrom(node)
            kept_node.name = f"{prefix}/{node.name}"
            kept_node.input[:] = [renamed(value) for value in node.input]
            kept_node.output[:] = [renamed(value) for value in node.output]
            self._nodes.append(kept_node)
        return renamed(part.output[0].name)

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
