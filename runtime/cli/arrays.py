"""The arrays that `run` gives a model: files, and random ones where there is no file."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping

import numpy as np
import onnx

from jacquard.proto.lib.errors import raise_if_any
from jacquard.runtime.api.inputs import converted, indices
from jacquard.runtime.api.seeded import table_rows
from jacquard.runtime.cli import data, options
from jacquard.runtime.generation.cache import POSITION
from jacquard.runtime.generation.stateful import step_inputs


def load_inputs(model: onnx.ModelProto, pairs: list[str], seed: int) -> dict[str, np.ndarray]:
    """--input NAME=FILE (.npy, or .npz with an array NAME), random where none is given.

    They come in the dtypes that the model declares. Raises UserError for everything that the
    graph alone shows to be wrong; the session finds the rest.
    """
    files = options.split_pairs(pairs, "input")
    arrays = data.random_inputs(model, seed, files)
    inputs = {value.name: value for value in model.graph.input}
    problems = []
    for name, path in files.items():
        if name not in inputs:
            problems.append(
                f"--input: {name} must be an input of the model; it has {', '.join(inputs)}"
            )
            continue
        try:
            array = _read(path, name)
        except ValueError as error:
            problems.append(str(error))
            continue
        try:
            arrays[name] = _fitting(array, model.graph, inputs[name])
        except ValueError as error:
            problems.append(f"input {name}: {error}")
    raise_if_any(problems)
    return arrays


def step_arrays(
    model: onnx.ModelProto, numbers: Mapping[str, int], pairs: list[str]
) -> dict[str, np.ndarray]:
    """Position and mask of a decode step at argument `position`, but what --input gives."""
    if POSITION not in numbers:
        return {}
    files = options.split_pairs(pairs, "input")
    made = step_inputs(model, numbers[POSITION])
    return {name: array for name, array in made.items() if name not in files}


def _read(path: str, name: str) -> np.ndarray:
    """The array in a file. Raises ValueError: what is wrong with the file."""
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found:
            if name not in found.files:
                raise KeyError(name)
            return found[name]
    except FileNotFoundError:
        raise ValueError(f"{path}: input file for {name} does not exist") from None
    except KeyError:
        held = ", ".join(found.files) or "none"
        raise ValueError(f"{path}: must hold an array {name}, got {held}; rename it") from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: must be a NumPy .npy or .npz file, {error}") from error


def _fitting(
    array: np.ndarray, graph: onnx.GraphProto, value: onnx.ValueInfoProto
) -> np.ndarray:
    """The array as the model takes it. Raises ValueError: why it cannot."""
    tensor_type = value.type.tensor_type
    shape = [dim.dim_value for dim in tensor_type.shape.dim]
    if list(array.shape) != shape:
        raise ValueError(
            f"shape must be {shape}, got {list(array.shape)}; pad or cut it, or give a model with "
            f"that shape"
        )
    # The reference and onnxruntime read it too, so it has the model's dtype, not a quantized one.
    array = converted(array, onnx.helper.tensor_dtype_to_np_dtype(tensor_type.elem_type))
    rows = table_rows(graph, value.name)
    if rows is not None:
        indices(array, rows, value.name)
    return array
