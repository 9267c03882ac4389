"""Flags that several commands share, and how they become models, configurations and arrays."""

from __future__ import annotations

import pathlib
import sys
import zipfile
from collections.abc import Iterator

import numpy as np
import onnx
from absl import flags

from jacquard.compiler.codelets.registry import codelets
from jacquard.compiler.frontend.import_model import import_model
from jacquard.compiler.frontend.quantize import is_quantized, quantize_model
from jacquard.proto.lib.arch import Arch, load_arch, load_config
from jacquard.proto.lib.errors import UserError

CALIBRATION_SAMPLES = 4
SUPPORTED = frozenset({*codelets(), "QuantizeLinear", "DequantizeLinear"})


def parse(values: flags.FlagValues, command: str, argv: list[str]) -> None:
    """Parses argv into values; --help prints them. Raises flags.Error."""
    if any(arg in ("--help", "-h", "-help") for arg in argv):
        print(f"usage: jacquard {command} [--flag=value ...]")
        for name in values:
            flag = values[name]
            print(f"  --{flag.name}: {flag.help}" + (f" (default {flag.default})" if flag.default else ""))
        raise SystemExit(0)
    # People write --output-dir; absl names flags with underscores.
    rest = values(["jacquard", *(_underscored(arg) for arg in argv)])
    if len(rest) > 1:
        raise flags.Error(f"unexpected argument {rest[1]}")


def _underscored(arg: str) -> str:
    """--output-dir=X -> --output_dir=X."""
    if not arg.startswith("--"):
        return arg
    name, equals, value = arg.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value


def add_model_flags(values: flags.FlagValues) -> None:
    """--model, --config, --calibration, --shape, --seed."""
    flags.DEFINE_string("model", None, "ONNX file, float or quantized (QDQ)", flag_values=values)
    flags.DEFINE_string("config", "edge16", "configuration: a name, or a .textproto file (without RTL)", flag_values=values)
    flags.DEFINE_string(
        "calibration", None, "folder of .npz files, an array per input, to calibrate a float model",
        flag_values=values,
    )
    flags.DEFINE_multi_string(
        "shape", [], "NAME=1,3,224,224: size of an input with dynamic dimensions", flag_values=values
    )
    flags.DEFINE_integer("seed", 0, "seed of random inputs", flag_values=values)


def arch_of(name: str) -> Arch:
    """Configuration by name, or a .textproto of the user's own. Raises UserError."""
    if name.endswith(".textproto"):
        return load_arch(name)
    return load_config(name)


def model_name(values: flags.FlagValues) -> str:
    """lenet of some/lenet.qdq.onnx."""
    return pathlib.Path(values["model"].value).name.partition(".")[0]


def split_pairs(pairs: list[str], flag: str) -> dict[str, str]:
    """["a=b"] -> {"a": "b"}. Raises UserError naming every malformed one."""
    bad = [pair for pair in pairs if "=" not in pair]
    if bad:
        raise UserError("\n".join(f"--{flag}: must be NAME=VALUE, got {pair}" for pair in bad))
    return dict(pair.split("=", 1) for pair in pairs)


def shapes(pairs: list[str]) -> dict[str, list[int]]:
    """--shape values. Raises UserError."""
    found = {}
    for name, text in split_pairs(pairs, "shape").items():
        try:
            found[name] = [int(size) for size in text.split(",")]
        except ValueError:
            raise UserError(f"--shape: sizes must be integers, got {text}; e.g. {name}=1,3,224,224")
    return found


def load_quantized(values: flags.FlagValues) -> tuple[onnx.ModelProto, onnx.ModelProto | None]:
    """The QDQ model, and the float model that it was made from if that was given."""
    if not values["model"].value:
        raise UserError("--model: an ONNX file must be given")
    model = import_model(
        pathlib.Path(values["model"].value),
        supported=SUPPORTED,
        shapes=shapes(values["shape"].value),
    )
    if is_quantized(model):
        return model, None
    return quantize_model(model, list(calibration(model, values))), model


def calibration(model: onnx.ModelProto, values: flags.FlagValues) -> Iterator[dict[str, np.ndarray]]:
    """Calibration inputs: the folder's, else random ones with a warning."""
    folder = values["calibration"].value
    if folder is None:
        print(
            "warning: float model calibrated with random data; scales will not fit real inputs: "
            "give --calibration DIR",
            file=sys.stderr,
        )
        for sample in range(CALIBRATION_SAMPLES):
            yield random_inputs(model, values["seed"].value + 1000 + sample)
        return
    files = sorted(pathlib.Path(folder).glob("*.npz"))
    if not files:
        raise UserError(f"{folder}: must hold .npz files, found none; one array per input in each")
    for file in files:
        try:
            with np.load(file) as arrays:
                yield {name: arrays[name] for name in arrays.files}
        except (ValueError, OSError, zipfile.BadZipFile) as error:
            raise UserError(f"{file}: must be a NumPy .npz file, {error}") from error


def random_inputs(model: onnx.ModelProto, seed: int) -> dict[str, np.ndarray]:
    """Standard normal float32 arrays, one per graph input."""
    generator = np.random.Generator(np.random.PCG64(seed))
    arrays = {}
    for value in model.graph.input:
        dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        arrays[value.name] = generator.standard_normal(dims, dtype=np.float32)
    return arrays


def load_inputs(model: onnx.ModelProto, pairs: list[str], seed: int) -> dict[str, np.ndarray]:
    """--input NAME=FILE.npy, random where none is given. Raises UserError for every bad one."""
    arrays = random_inputs(model, seed)
    problems = []
    for name, path in split_pairs(pairs, "input").items():
        if name not in arrays:
            problems.append(f"--input: {name} must be an input of the model; it has {', '.join(arrays)}")
            continue
        try:
            arrays[name] = np.load(path, allow_pickle=False)
        except FileNotFoundError:
            problems.append(f"{path}: input file for {name} does not exist")
        except (ValueError, OSError) as error:
            problems.append(f"{path}: must be a NumPy .npy file, {error}")
    if problems:
        raise UserError("\n".join(problems))
    return arrays
