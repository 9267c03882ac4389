"""The cuts of GPT-2 and of a Llama-style decoder as `generate` takes them: a prefill and decode
steps, quantized on the same grids.

For tests; made in seconds.
"""

from __future__ import annotations

import functools
import pathlib

import numpy as np
import onnx
from onnx import numpy_helper

from jacquard.benchmarks.models.fill import fill, load_graph
from jacquard.benchmarks.models.seeded import calibration_batches
from jacquard.compiler.frontend.import_model import import_model
from jacquard.compiler.frontend.quantize import quantize_model
from jacquard.runtime.device.files import repo_file

ROWS = 32  # of the prefill and of the decode graph's cache


@functools.cache
def float_pair(family: str = "gpt2") -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Prefill and decode of `gpt2` or `llama`, as exported; treat them as constants."""
    filled = fill(_graph(family, "prefill"), 1)
    return filled, fill(_graph(family, "decode"), 1, filled)


@functools.cache
def quantized_pair(family: str = "gpt2") -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The same, quantized; treat them as constants."""
    prefill, decode = float_pair(family)
    first = _quantized(prefill)
    return first, _quantized(decode, first)


@functools.cache
def longer() -> onnx.ModelProto:
    """GPT-2's decode step with a cache of 64 rows."""
    prefill, _ = quantized_pair()
    filled = fill(_graph("gpt2", "decode_64"), 1, fill(_graph("gpt2", "prefill"), 1))
    return _quantized(filled, prefill)


def _graph(family: str, kind: str) -> onnx.ModelProto:
    return load_graph(repo_file(f"benchmarks/models/graphs/{family}_tiny2_{kind}.textproto"))


def _quantized(model: onnx.ModelProto, like: onnx.ModelProto | None = None) -> onnx.ModelProto:
    imported = import_model(model.SerializeToString())
    return quantize_model(imported, calibration_batches(imported, 0, 4), like=like)


def with_rows(decode: onnx.ModelProto, rows: int) -> onnx.ModelProto:
    """The decode graph with a smaller cache; scales stay as they are."""
    made = onnx.ModelProto()
    made.CopyFrom(decode)
    for tensor in made.graph.initializer:
        array = numpy_helper.to_array(tensor)
        cut = array[tuple(slice(rows + 1 if size == ROWS + 1 else size) for size in array.shape)]
        if array.ndim == 1 and array.dtype == np.int64:  # shapes
            cut = np.where(cut == ROWS + 1, rows + 1, cut)
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(cut), tensor.name))
    for value in [*made.graph.input, *made.graph.output]:
        dims = value.type.tensor_type.shape.dim
        for axis, dim in enumerate(dims):
            if dim.dim_value == ROWS + 1:
                dim.dim_value = rows + 1
            elif value.name.startswith("past") and axis == 2:
                dim.dim_value = rows
    del made.graph.value_info[:]
    return import_model(made.SerializeToString())


def save(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """prefill.onnx and decode.onnx in a folder."""
    paths = folder / "prefill.onnx", folder / "decode.onnx"
    for model, path in zip(quantized_pair(), paths, strict=True):
        onnx.save(model, path)
    return paths
