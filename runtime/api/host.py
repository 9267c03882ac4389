"""The host's part of a program: a small ONNX model that onnxruntime runs before the device.

In: the model's own inputs (ids, masks). Out: what the program's inputs are bound to.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import onnx

from jacquard.proto.lib.errors import UserError

if TYPE_CHECKING:
    import onnxruntime


@dataclasses.dataclass(frozen=True)
class HostInput:
    """An input of the model that the host reads."""

    shape: tuple[int, ...]
    dtype: np.dtype


class HostModel:
    """Program.host_model, ready to run; deterministic: one thread, no graph optimisation.

    Attributes:
      inputs: by name.
      sources: output name -> names of the inputs that it depends on, sorted.
    """

    def __init__(self, data: bytes, name: str) -> None:
        """data: a serialised ModelProto. name: the program's, for messages. Raises UserError."""
        self._place = f"program {name}: host part"
        try:
            graph = onnx.load_from_string(data).graph
            self._session = session(data)
        except Exception as error:  # onnxruntime's and protobuf's own classes share no other base
            raise UserError(
                f"{self._place}: onnxruntime must be able to load it, got {first_line(error)}; "
                "recompile"
            ) from error
        self.inputs = {
            value.name: HostInput(
                tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim),
                onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type),
            )
            for value in graph.input
        }
        self.sources = _sources(graph)

    def run(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """arrays: of each input's shape and dtype. Output name -> array. Raises UserError."""
        names = [output.name for output in self._session.get_outputs()]
        try:
            results = self._session.run(names, {name: arrays[name] for name in self.inputs})
        except Exception as error:
            raise UserError(
                f"{self._place}: onnxruntime must be able to run it, got {first_line(error)}; "
                f"check the values of {', '.join(self.inputs)}"
            ) from error
        return dict(zip(names, results, strict=True))


def session(model: bytes) -> onnxruntime.InferenceSession:
    """onnxruntime on one thread, with graph optimisation off: the same results everywhere."""
    import onnxruntime  # takes a while; a program without a host part needs none

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # what it raises is told once, by whoever catches it
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def first_line(error: Exception) -> str:
    """What onnxruntime said, on one line."""
    said = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return " ".join(said.split())


def _sources(graph: onnx.GraphProto) -> dict[str, tuple[str, ...]]:
    """Output -> inputs that it depends on. Nodes stand in an order that can be run."""
    reached = {value.name: {value.name} for value in graph.input}
    for node in graph.node:
        found = set().union(*(reached.get(name, set()) for name in node.input))
        reached.update({name: found for name in node.output})
    return {value.name: tuple(sorted(reached.get(value.name, ()))) for value in graph.output}
