"""QDQ models of one operator, and how far the reference's integers lie from float, for tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

from jacquard.sim.reference.interpreter import run_reference
from jacquard.sim.reference.value import AnyArray


@dataclass(frozen=True)
class Grid:
    """An integer type with its scale and zero point."""

    dtype: str
    scale: float
    zero: int = 0

    @property
    def limits(self) -> tuple[int, int]:
        info = np.iinfo(self.dtype)
        return int(info.min), int(info.max)

    def quantize(self, x: AnyArray) -> AnyArray:
        lo, hi = self.limits
        steps = np.rint(np.asarray(x) / np.float64(np.float32(self.scale))) + self.zero
        q: AnyArray = np.clip(steps, lo, hi).astype(self.dtype)
        return q


@dataclass(frozen=True)
class Errors:
    """In output steps, over the elements that the output's type can hold.

    Attributes:
      largest, rms: distance of the integers from the unrounded float result (0.5, 0.289 at best).
      beyond: share of elements further than 0.6 away.
      far: share of elements that differ by more than 1 from the rounded float result.
    """

    largest: float
    rms: float
    beyond: float
    far: float


def qdq_model(
    op: str,
    inputs: Sequence[tuple[AnyArray, Grid] | AnyArray],
    output: Grid,
    attributes: Mapping[str, Any] | None = None,
    opset: int = 21,
) -> onnx.ModelProto:
    """Integers (`q0`, ... graph inputs) -> DequantizeLinear -> op -> QuantizeLinear (`y`).

    Args:
      inputs: integers with their grid, or a plain constant.
      output: where the result goes; `f` is the float between.
    """
    nodes, names, tensors, values = [], [], [], []

    def constant(name: str, array: AnyArray) -> str:
        tensors.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    for i, given in enumerate(inputs):
        if isinstance(given, tuple):
            q, grid = given
            kind = helper.np_dtype_to_tensor_dtype(np.dtype(grid.dtype))
            values.append(helper.make_tensor_value_info(f"q{i}", kind, q.shape))
            nodes.append(helper.make_node(
                "DequantizeLinear",
                [f"q{i}", constant(f"s{i}", np.array(grid.scale, np.float32)),
                 constant(f"z{i}", np.array(grid.zero, grid.dtype))], [f"x{i}"]))
            names.append(f"x{i}")
        else:
            names.append(constant(f"c{i}", given))
    nodes.append(helper.make_node(op, names, ["f"], name=op.lower(), **(attributes or {})))
    nodes.append(helper.make_node(
        "QuantizeLinear",
        ["f", constant("sy", np.array(output.scale, np.float32)),
         constant("zy", np.array(output.zero, output.dtype))], ["y"]))
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(output.dtype))
    graph = helper.make_graph(
        nodes, op, values, [helper.make_tensor_value_info("y", kind, None)], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def float_result(model: onnx.ModelProto, inputs: Mapping[str, AnyArray]) -> npt.NDArray[np.float64]:
    """onnxruntime's float32 tensor `f`."""
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    exposed.graph.output.append(onnx.helper.make_empty_tensor_value_info("f"))
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(exposed.SerializeToString(), options)
    result: npt.NDArray[np.float64] = session.run(["f"], dict(inputs))[0].astype(np.float64)
    return result


def errors(
    model: onnx.ModelProto,
    inputs: Mapping[str, AnyArray],
    output: Grid,
    exact: npt.NDArray[np.float64] | None = None,
) -> Errors:
    """The reference against onnxruntime's float result (or `exact`) on the same integers."""
    ours = run_reference(model, inputs).tensors["y"].astype(np.int64)
    real = float_result(model, inputs) if exact is None else exact
    lo, hi = output.limits
    steps = np.clip(real / np.float64(np.float32(output.scale)) + output.zero, lo, hi)
    off = np.abs(ours - steps)
    return Errors(
        float(off.max()),
        float(np.sqrt((off * off).mean())),
        float((off > 0.6).mean()),
        float((np.abs(ours - np.rint(steps)) > 1).mean()),
    )
