"""Inputs drawn for a model: seeded numbers that are the same on every machine.

Normals of `numpy.random.Generator` pass through libm and may change between NumPy releases; the
raw stream of PCG64 is guaranteed. A sum of uniform 16-bit integers is close enough to a normal for
weights and inputs, and exact.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

# A uniform integer in [0, 2**16) has variance (2**32 - 1) / 12; four of them are added.
_FOUR_UNIFORMS_STD = float(np.sqrt(4 * (2.0**32 - 1) / 12))
_FOUR_UNIFORMS_MEAN = 4 * (2**16 - 1) / 2
_INTEGERS = {
    onnx.TensorProto.BOOL: np.bool_,
    onnx.TensorProto.INT32: np.int32,
    onnx.TensorProto.INT64: np.int64,
}
# What hands an index on to the Gather that reads it.
_MOVES = ("Cast", "Expand", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")


class SeededStream:
    """Approximately normal float32 values, mean 0, variance 1, within +-3.47."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def normal(self, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        count = int(np.prod(shape, dtype=np.int64))
        raw = np.asarray(self._bits.random_raw(count), np.uint64).reshape(shape)
        total = np.zeros(shape, np.int64)
        for part in range(4):
            total += ((raw >> np.uint64(16 * part)) & np.uint64(0xFFFF)).astype(np.int64)
        return ((total - _FOUR_UNIFORMS_MEAN) / _FOUR_UNIFORMS_STD).astype(np.float32)

    def uniform(self, shape: tuple[int, ...], lo: float, hi: float) -> npt.NDArray[np.float32]:
        count = int(np.prod(shape, dtype=np.int64))
        raw = np.asarray(self._bits.random_raw(count), np.uint64).reshape(shape)
        unit = (raw >> np.uint64(40)).astype(np.float64) / 2.0**24
        return (lo + (hi - lo) * unit).astype(np.float32)

    def integers(self, shape: tuple[int, ...], below: int) -> npt.NDArray[np.int64]:
        """Uniform in [0, below), but for a bias of below / 2**64."""
        raw = self._bits.random_raw(int(np.prod(shape, dtype=np.int64)))
        return (np.asarray(raw, np.uint64) % np.uint64(below)).astype(np.int64).reshape(shape)


def seeded_inputs(model: onnx.ModelProto, seed: int) -> dict[str, npt.NDArray[Any]]:
    """One array per real input of a model with static shapes, in the graph's order.

    float32: normal. Integers that index a table (Gather): uniform over its rows. Other integers and
    booleans are masks: ones, and zeros at the end of each row, over at most half of it.

    Raises:
      ValueError: an input is neither float32, int32, int64 nor bool, or has a dimension without a
        size.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    stream = SeededStream(seed)
    inputs: dict[str, npt.NDArray[Any]] = {}
    for value in model.graph.input:
        if value.name in constants:
            continue
        tensor_type = value.type.tensor_type
        shape = tuple(dim.dim_value for dim in tensor_type.shape.dim)
        kind = tensor_type.elem_type
        if kind not in (onnx.TensorProto.FLOAT, *_INTEGERS) or 0 in shape:
            raise ValueError(
                f"input {value.name}: must be float32, int32, int64 or bool of a static shape, got "
                f"{onnx.TensorProto.DataType.Name(kind)} {shape}; give arrays instead"
            )
        if kind == onnx.TensorProto.FLOAT:
            inputs[value.name] = stream.normal(shape)
            continue
        inputs[value.name] = seeded_integers(model.graph, value, stream)
    return inputs


def seeded_integers(
    graph: onnx.GraphProto, value: onnx.ValueInfoProto, stream: SeededStream
) -> npt.NDArray[Any]:
    """Ids or a mask for one int32, int64 or bool input, as `seeded_inputs` draws them."""
    tensor_type = value.type.tensor_type
    shape = tuple(dim.dim_value for dim in tensor_type.shape.dim)
    rows = table_rows(graph, value.name)
    drawn = stream.integers(shape, rows) if rows else _padded(stream, shape)
    return drawn.astype(_INTEGERS[tensor_type.elem_type])


def table_rows(graph: onnx.GraphProto, name: str) -> int | None:
    """Rows of the smallest table that the input `name` indexes; None where it indexes none."""
    rows = {tensor.name: tensor.dims[0] for tensor in graph.initializer if tensor.dims}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in rows:
            rows[node.output[0]] = rows[node.input[0]]
    names, found = {name}, []
    for node in graph.node:  # in an order that can be run
        if node.op_type in _MOVES and node.input[0] in names:
            names.add(node.output[0])
        elif node.op_type == "Gather" and node.input[1] in names and node.input[0] in rows:
            found.append(rows[node.input[0]])
    return min(found, default=None)


def _padded(stream: SeededStream, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Ones, then zeros along the last axis; at least half of each row is ones."""
    length = shape[-1] if shape else 1
    zeros = stream.integers((*shape[:-1], 1), length // 2 + 1)
    return (np.arange(length) < length - zeros).astype(np.int64).reshape(shape)
