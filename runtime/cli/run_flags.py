"""Flags of the commands that run programs, and what they become: the device, the program, the
numbers of its arguments, the report.

Apart from options.py, so that `compile` depends on no device.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import onnx
from absl import flags

from jacquard.compiler.main import CompileOptions, compile_model, model_digest
from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.arch import Arch
from jacquard.proto.lib.errors import UserError, raise_if_any
from jacquard.runtime.api import program as programs
from jacquard.runtime.cli import options, screen
from jacquard.runtime.device import open_device
from jacquard.runtime.device.base import Device


def add_device_flags(
    values: flags.FlagValues, backends: Sequence[str] = open_device.BACKENDS
) -> None:
    """The device, of `backends`, and the report."""
    flags.DEFINE_enum("backend", "func", backends, "what runs it", flag_values=values)
    flags.DEFINE_string("report", None, "JSON file for the report", flag_values=values)
    flags.DEFINE_string(
        "simulator", None, "RTL simulator; default: the configuration's own", flag_values=values
    )
    flags.DEFINE_bool(
        "report_failure",
        False,
        "exit 0 and let the report tell a failed run (for build actions)",
        flag_values=values,
    )


def add_flags(values: flags.FlagValues) -> None:
    """A model (options.add_model_flags) or its program, what it is given, the device."""
    options.add_model_flags(values)
    flags.DEFINE_multi_string(
        "input",
        [],
        "NAME=FILE, a .npy or a .npz with an array NAME; random where not given",
        flag_values=values,
    )
    flags.DEFINE_multi_string(
        "argument", [], "NAME=NUMBER, e.g. position=5 of a decode step", flag_values=values
    )
    flags.DEFINE_string("program", None, "compiled program of this model", flag_values=values)
    add_device_flags(values)


def check_device_flags(values: flags.FlagValues) -> None:
    """What can be refused of `add_device_flags` before any work. Raises UserError."""
    options.check_writable(values["report"].value, "report")
    if values["simulator"].value and values["backend"].value != "rtl":
        raise UserError("--simulator: must come with --backend=rtl, which runs it")


def check_flags(values: flags.FlagValues) -> None:
    """What can be refused of `add_flags` before any work. Raises UserError."""
    check_device_flags(values)
    changed = [values[flag].value for flag in ("override", "overrides", "kv_cache")]
    if values["program"].value and (any(changed) or not values["fuse"].value):
        raise UserError(
            "--override, --overrides, --nofuse, --kv-cache: must be given to `compile` when "
            "--program is; it is fixed"
        )


def device(values: flags.FlagValues, arch: Arch) -> Device:
    """The device of the flags. Raises UserError: it is not of this configuration."""
    made = open_device.open_device(values["backend"].value, arch, values["simulator"].value)
    found = made.fingerprint()
    if found != arch.fingerprint:
        raise UserError(
            f"backend {made.name}: fingerprint must be that of config {arch.name}, "
            f"{arch.fingerprint:016x}, got {found:016x}; give the simulator of that configuration"
        )
    return made


def load_program(path: pathlib.Path, arch: Arch) -> pb.Program:
    """A program of this configuration. Raises UserError."""
    program = programs.load(path)
    programs.check_fingerprint(program, arch.fingerprint, arch.name)
    return program


def given_program(values: flags.FlagValues, arch: Arch) -> pb.Program | None:
    """That of --program, if it is given. Raises UserError."""
    path = values["program"].value
    return None if path is None else load_program(pathlib.Path(path), arch)


def program_of(
    values: flags.FlagValues,
    given: pb.Program | None,
    qdq: onnx.ModelProto,
    arch: Arch,
    wanted: CompileOptions,
) -> pb.Program:
    """The program that is given, which must be of this model, or the model compiled. UserError."""
    if given is not None:
        programs.check_model(given, model_digest(qdq), f"--program {values['program'].value}")
        return given
    with screen.status("compiling"):
        return compile_model(qdq, arch, wanted)


def numbers(values: flags.FlagValues) -> dict[str, int]:
    """--argument values. Raises UserError for every one that is no number."""
    found, problems = {}, []
    for name, text in options.split_pairs(values["argument"].value, "argument").items():
        try:
            found[name] = int(text)
        except ValueError:
            problems.append(f"--argument: {name} must be an integer, got {text}; e.g. {name}=5")
    raise_if_any(problems)
    return found
