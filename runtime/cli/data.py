"""Arrays for a model where the user gives none, and its calibration data."""

from __future__ import annotations

import os
import pathlib
import sys
import zipfile
from collections.abc import Collection, Iterator

import numpy as np
import onnx

from jacquard.proto.lib.errors import UserError, raise_if_any
from jacquard.runtime.api.seeded import SeededStream, seeded_integers

CALIBRATION_SAMPLES = 4


def calibration(
    model: onnx.ModelProto, folder: str | None, seed: int
) -> Iterator[dict[str, np.ndarray]]:
    """Calibration inputs: the folder's, else random ones with a warning. Raises UserError."""
    if folder is None:
        print(
            "warning: float model calibrated with random data; scales will not fit real inputs: "
            "give --calibration DIR",
            file=sys.stderr,
        )
        for sample in range(CALIBRATION_SAMPLES):
            yield random_inputs(model, seed + 1000 + sample)
        return
    if not os.path.isdir(folder):
        raise UserError(
            f"--calibration {folder}: must be a folder of .npz files, got no such folder"
        )
    files = sorted(pathlib.Path(folder).glob("*.npz"))
    if not files:
        raise UserError(f"{folder}: must hold .npz files, found none; one array per input in each")
    wanted = dtypes(model)
    for file in files:
        try:
            with np.load(file) as arrays:
                sample = {name: arrays[name] for name in arrays.files}
        except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
            raise UserError(f"{file}: must be a NumPy .npz file of numbers") from error
        for name, array in sample.items():
            dtype = wanted.get(name, array.dtype)
            if not np.can_cast(array.dtype, dtype, "same_kind"):
                raise UserError(f"{file}: {name} must be {dtype}, got {array.dtype}; convert it")
            sample[name] = array.astype(dtype)
        yield sample


def dtypes(model: onnx.ModelProto) -> dict[str, np.dtype]:
    """NumPy dtype of every graph input."""
    return {
        value.name: onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        for value in model.graph.input
    }


def random_inputs(
    model: onnx.ModelProto, seed: int, given: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """An array per graph input: standard normal float32, bytes over their whole range, integers
    that are rows of a table or a mask (runtime/api/seeded.py).

    Raises UserError for an input of another type that is not among `given`.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    stream = SeededStream(seed)
    arrays, problems = {}, []
    kinds = dtypes(model)
    for value in model.graph.input:
        dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        dtype = kinds[value.name]
        if dtype == np.float32:
            arrays[value.name] = generator.standard_normal(dims, dtype=np.float32)
        elif dtype in (np.int8, np.uint8):
            low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
            arrays[value.name] = generator.integers(low, high, dims, dtype, endpoint=True)
        elif dtype in (np.int32, np.int64, np.bool_):
            arrays[value.name] = seeded_integers(model.graph, value, stream)
        elif value.name not in given:
            problems.append(
                f"input {value.name}: must be given, {dtype} cannot be drawn at random; use "
                f"--input {value.name}=FILE.npy, and --calibration DIR for a float model"
            )
    raise_if_any(problems)
    return arrays
