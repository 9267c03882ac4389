"""What is seeded about the benchmark models: weights, inputs, calibration data."""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from jacquard.runtime.api.seeded import SeededStream, seeded_inputs

__all__ = ["SeededStream", "calibration_batches", "seeded_inputs", "weights_digest"]


def calibration_batches(
    model: onnx.ModelProto, seed: int, count: int
) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """`count` seeded inputs, other ones than `seeded_inputs(model, 0..999)` gives."""
    for index in range(count):
        yield seeded_inputs(model, 1_000_000 + 1_000 * seed + index)


def weights_digest(model: onnx.ModelProto) -> str:
    """sha256 (hex) over the initializers: names, dimensions, little-endian bytes, by name."""
    whole = hashlib.sha256()
    for tensor in sorted(model.graph.initializer, key=lambda tensor: tensor.name):
        array = numpy_helper.to_array(tensor)
        whole.update(f"{tensor.name}{array.dtype}{array.shape}".encode())
        whole.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return whole.hexdigest()
