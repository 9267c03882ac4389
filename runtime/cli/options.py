"""Flags that several commands share, and how they become models and configurations."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import tempfile

import onnx
from absl import flags

from jacquard.compiler.codelets.registry import codelets
from jacquard.compiler.frontend.import_model import import_model
from jacquard.compiler.frontend.load import keep_real_inputs, read, set_shapes
from jacquard.compiler.frontend.quantize import METHODS, is_quantized, quantize_model
from jacquard.compiler.main import CompileOptions
from jacquard.compiler.overrides import LayerOverride, parse_override, read_overrides
from jacquard.compiler.passes.device_part import DROPPED
from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.arch import Arch, find_config, load_arch
from jacquard.proto.lib.errors import UserError, raise_if_any
from jacquard.runtime.api.files import write_whole
from jacquard.runtime.cli import data
from jacquard.runtime.plot.memory_plan import plan_chart

SUPPORTED = frozenset({*codelets(), *DROPPED})


def parse(values: flags.FlagValues, command: str, argv: list[str]) -> None:
    """Parses argv into values; --help prints them. Raises flags.Error."""
    if any(arg in ("--help", "-h", "-help") for arg in argv):
        print(f"usage: jacquard {command} [--flag=value ...]")
        for name in values:
            flag = values[name]
            print(
                f"  --{flag.name}: {flag.help}"
                + (f" (default {flag.default})" if flag.default else "")
            )
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
    """What makes a program: the model and how it is quantized, --config, --override, --fuse,
    --kv_cache."""
    add_quantization_flags(values)
    add_config_flag(values)
    flags.DEFINE_multi_string(
        "override",
        [],
        "LAYER:FIELD=VALUE,...: fixes a layer's tiling (docs/overrides.md)",
        flag_values=values,
    )
    flags.DEFINE_string(
        "overrides",
        None,
        "textproto of what is fixed for which layer (docs/overrides.md); --override wins over it",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "fuse", True, "--nofuse keeps every operator a layer of its own", flag_values=values
    )
    flags.DEFINE_bool(
        "kv_cache",
        False,
        "keys and values of a decode graph stay in the device from run to run",
        flag_values=values,
    )


def add_config_flag(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "config",
        "edge16",
        "configuration: a name, or a .textproto file (without RTL)",
        flag_values=values,
    )


def add_shape_flag(values: flags.FlagValues) -> None:
    flags.DEFINE_multi_string(
        "shape",
        [],
        "NAME=1,3,224,224: size of an input with dynamic dimensions",
        flag_values=values,
    )


def add_quantization_flags(values: flags.FlagValues) -> None:
    """What makes a quantized model: --model, --calibration and its method, --smooth_quant,
    --weight_bits, --shape, --seed."""
    flags.DEFINE_string("model", None, "ONNX file, float or quantized (QDQ)", flag_values=values)
    flags.DEFINE_string(
        "calibration",
        None,
        "folder of .npz files, an array per input, to calibrate a float model",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "calibration_method",
        "minmax",
        list(METHODS),
        "how calibration finds the ranges of 8-bit tensors",
        flag_values=values,
    )
    flags.DEFINE_float(
        "smooth_quant",
        None,
        "0 to 1, usually 0.5: calibration of a float transformer moves so much of its activations' "
        "outliers into the weights (SmoothQuant)",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "weight_bits",
        None,
        ["4", "8"],
        "bits of a weight of a float model; default: what the configuration's array has",
        flag_values=values,
    )
    add_shape_flag(values)
    flags.DEFINE_integer("seed", 0, "seed of random inputs", flag_values=values)


def compile_options(values: flags.FlagValues) -> CompileOptions:
    """What the shared flags say about compiling. Raises UserError for every bad override."""
    problems: list[str] = []
    overrides: dict[str, LayerOverride] = {}
    if values["overrides"].value:
        try:
            overrides |= read_overrides(values["overrides"].value)
        except UserError as error:
            problems += error.lines
    for text in values["override"].value:
        try:
            layer, wanted = parse_override(text)
        except UserError as error:
            problems += error.lines
            continue
        fixed = {k: v for k, v in dataclasses.asdict(wanted).items() if v is not None}
        overrides[layer] = dataclasses.replace(overrides.get(layer, LayerOverride()), **fixed)
    raise_if_any(problems)
    return CompileOptions(
        model_name=model_name(values),
        overrides=overrides,
        fuse=values["fuse"].value,
        kv_cache=values["kv_cache"].value,
    )


def add_plan_picture_flag(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "plan_picture",
        None,
        "SVG file to draw the plan of DRAM in: which activation lies where, and how long",
        flag_values=values,
    )


def write_plan_picture(values: flags.FlagValues, program: pb.Program) -> None:
    """Where the flag says so."""
    if values["plan_picture"].value:
        chart = plan_chart(program.memory_plan, [layer.name for layer in program.layers])
        write_whole(pathlib.Path(values["plan_picture"].value), chart.svg() + "\n")


def check_writable(path: str | None, flag: str) -> None:
    """Before long work: a file can be written at `path`, if one is given. Raises UserError."""
    if path is None:
        return
    folder = os.path.dirname(path) or "."
    got, way = None, "give another path"
    if os.path.isdir(path):
        got = "a folder"
    elif os.path.exists(path) and not os.path.isfile(path):
        got = "a device"  # which the file that is written would replace
    elif not os.path.isdir(folder):
        got, way = f"no folder {folder}", "make it first"
    elif not _takes_files(folder):
        got = f"folder {folder} that is not writable"
    if got:
        raise UserError(f"--{flag} {path}: must be a file that can be written, got {got}; {way}")


def _takes_files(folder: str) -> bool:
    """Tried, since permissions do not tell of a file system that takes none."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def check_outputs(values: flags.FlagValues, *names: str) -> None:
    """Before long work: all of those flags that are given name files that can be written, each its
    own. Raises UserError for every one that does not.
    """
    problems: list[str] = []
    taken: dict[str, str] = {}
    for name in names:
        path, flag = values[name].value, name.replace("_", "-")
        if path is None:
            continue
        try:
            check_writable(path, flag)
        except UserError as error:
            problems += error.lines
        first = taken.setdefault(os.path.realpath(path), flag)
        if first != flag:
            problems.append(f"--{flag} {path}: must be another file than that of --{first}")
    raise_if_any(problems)


def check_folder(path: str | None, flag: str) -> None:
    """Before long work: `path`, if given, is a folder to write into or can be made one. UserError.

    Nothing is made yet: a run that fails leaves nothing behind.
    """
    if path is None:
        return
    nearest = os.path.abspath(path)
    while not os.path.lexists(nearest):
        nearest = os.path.dirname(nearest)
    got = None
    if not os.path.isdir(nearest):
        got = f"file {nearest}"
    elif not os.access(nearest, os.W_OK | os.X_OK):
        got = f"folder {nearest} that is not writable"
    if got:
        raise UserError(
            f"--{flag} {path}: must be a folder that can be written, got {got}; give another path"
        )


def check_file(path: str | None, flag: str) -> None:
    """Before long work: `path`, if given, is a file that can be read. Raises UserError."""
    if path is not None and not (os.path.isfile(path) and os.access(path, os.R_OK)):
        got = "a folder" if os.path.isdir(path) else "none"
        raise UserError(f"--{flag} {path}: must be a file that can be read, got {got}")


def config_path(name: str, flag: str = "config") -> pathlib.Path:
    """File of a configuration by name, or a .textproto of the user's own. Raises UserError."""
    return pathlib.Path(name) if name.endswith(".textproto") else find_config(name, flag)


def arch_of(name: str) -> Arch:
    """Configuration by name, or a .textproto of the user's own. Raises UserError."""
    return load_arch(config_path(name))


def stem(path: str | pathlib.Path) -> str:
    """lenet of some/lenet.qdq.onnx."""
    return pathlib.Path(path).name.partition(".")[0]


def model_name(values: flags.FlagValues) -> str:
    """`stem` of --model. Raises UserError where no model is given."""
    if not values["model"].value:
        raise UserError("--model: an ONNX file must be given")
    return stem(values["model"].value)


def split_pairs(pairs: list[str], flag: str) -> dict[str, str]:
    """["a=b"] -> {"a": "b"}. Raises UserError naming every malformed one."""
    problems = [f"--{flag}: must be NAME=VALUE, got {pair}" for pair in pairs if "=" not in pair]
    names = [pair.partition("=")[0] for pair in pairs]
    again = sorted({name for name in names if names.count(name) > 1})
    problems += [
        f"--{flag}: {name} must be given once, got it {names.count(name)} times" for name in again
    ]
    raise_if_any(problems)
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


def load_model(values: flags.FlagValues) -> onnx.ModelProto:
    """The model as `import_model` gives it, float or QDQ. Raises UserError."""
    model_name(values)  # refuses a missing --model
    return import_model(
        pathlib.Path(values["model"].value),
        supported=SUPPORTED,
        shapes=shapes(values["shape"].value),
    )


def quantized(
    model: onnx.ModelProto, values: flags.FlagValues, like: onnx.ModelProto | None = None
) -> tuple[onnx.ModelProto, onnx.ModelProto | None]:
    """The QDQ model, and the float model that it was made from if `model` is that. UserError.

    like: a QDQ model whose grids are taken for what the two share.
    """
    smooth_quant = values["smooth_quant"].value
    if is_quantized(model):
        if smooth_quant is not None:
            raise UserError(
                "--smooth_quant: must go with a float model, got a quantized one; smooth it when "
                "it is quantized"
            )
        return model, None
    samples = data.calibration(model, values["calibration"].value, values["seed"].value)
    method = values["calibration_method"].value
    made = quantize_model(
        model, list(samples), method, like, smooth_quant=smooth_quant,
        weight_bits=weight_bits(values),
    )
    return made, model


def weight_bits(values: flags.FlagValues) -> int:
    """--weight_bits, else those of the configuration's array, else 8."""
    if values["weight_bits"].value:
        return int(values["weight_bits"].value)
    return arch_of(values["config"].value).weight_bits if "config" in values else 8


def load_float(path: str, qdq: onnx.ModelProto) -> onnx.ModelProto:
    """The float model that `qdq` was made from, as the file has it: only onnxruntime runs it.

    Raises UserError if its names or the sizes of its inputs differ.
    """
    sizes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in qdq.graph.input}
    model = read(path)
    graph = model.graph
    keep_real_inputs(graph)
    for kind in ("input", "output"):
        theirs, ours = ([v.name for v in getattr(g, kind)] for g in (graph, qdq.graph))
        if sorted(theirs) != sorted(ours):
            raise UserError(
                f"--float-model {path}: must have the {kind}s of the quantized model, "
                f"{', '.join(ours)}, got {', '.join(theirs)}"
            )
    set_shapes(graph, sizes)
    return model
