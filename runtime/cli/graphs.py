"""The graphs that `generate` runs: files of the user's own, or built-in models; compiled where they
are models."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterator, Sequence

import onnx
from absl import flags

import jacquard
from jacquard.compiler.frontend.import_model import import_model
from jacquard.compiler.frontend.quantize import is_quantized
from jacquard.compiler.main import CompileOptions, compile_model
from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.arch import Arch
from jacquard.proto.lib.errors import UserError
from jacquard.runtime.cli import options, screen
from jacquard.runtime.cli.run_flags import load_program
from jacquard.runtime.generation.decoder import DECODE, PREFILL

PROGRAM = ".npu"  # how the name of a compiled program ends


@dataclasses.dataclass(frozen=True)
class Graph:
    """One of the pair: its program, and the QDQ model where it was compiled here."""

    program: pb.Program
    model: onnx.ModelProto | None


def graph_paths(values: flags.FlagValues) -> tuple[pathlib.Path, list[pathlib.Path]]:
    """Files of the prefill and of each decode step. Raises UserError."""
    own = values["prefill"].value, values["decode"].value
    if values["model"].value:
        if any(own):
            raise UserError("--model: must come without --prefill and --decode, got both")
        return built_in(values["model"].value)
    if not all(own):
        raise UserError(
            "--model, or --prefill and --decode: must be given; a built-in model, or both graphs "
            "of your own"
        )
    options.check_file(own[0], "prefill")
    for path in own[1]:
        options.check_file(path, "decode")
    return pathlib.Path(own[0]), [pathlib.Path(path) for path in own[1]]


def built_in(name: str) -> tuple[pathlib.Path, list[pathlib.Path]]:
    """NAME_prefill.qdq.onnx and NAME_decode.qdq.onnx, NAME_decode_ROWS.qdq.onnx. UserError.

    They are where the build leaves them; the command itself builds none, it takes minutes.
    """
    folders = [pathlib.Path(root) / "benchmarks" for root in jacquard.__path__]
    if workspace := os.environ.get("BUILD_WORKSPACE_DIRECTORY"):  # set by `bazel run`
        folders.append(pathlib.Path(workspace) / "bazel-bin" / "benchmarks")
    found = {path.name: path for folder in folders for path in folder.glob("*.qdq.onnx")}
    names = re.compile(r"(\w+?)_(prefill|decode)(_\d+)?\.qdq\.onnx")
    prefills, decodes = {}, {}
    for file, path in sorted(found.items()):
        if match := names.fullmatch(file):
            kind = prefills if match[2] == PREFILL else decodes
            kind.setdefault(match[1], []).append(path)
    known = sorted(set(prefills) & set(decodes))
    if name not in known:
        raise UserError(
            f"--model {name}: must be a model with a prefill and a decode graph that is built, got "
            f"only {', '.join(known) or 'none'}; build //benchmarks:{name}_prefill_qdq and "
            f"//benchmarks:{name}_decode_qdq first, or give --prefill and --decode"
        )
    return prefills[name][0], decodes[name]


def load_graph(path: pathlib.Path, kind: str, arch: Arch, kv_cache: bool) -> Graph:
    """A program, compiled here where the file is a model. Raises UserError."""
    if path.name.endswith(PROGRAM):
        return Graph(load_program(path, arch), None)
    model = import_model(path, supported=options.SUPPORTED)
    if not is_quantized(model):
        raise UserError(
            f"{path}: {kind} must be quantized (QDQ), got a float model; `quantize` it, the decode "
            "step --like the prefill"
        )
    name = options.stem(path)
    wanted = CompileOptions(model_name=name, kv_cache=kv_cache)
    with screen.status(f"compiling {name}"):
        return Graph(compile_model(model, arch, wanted), model)


def load_decodes(
    values: flags.FlagValues, paths: Sequence[pathlib.Path], arch: Arch
) -> Iterator[Graph]:
    """The decode graphs; of a built-in model those whose cache the machine can hold. UserError."""
    kept = 0
    for number, path in enumerate(paths, 1):
        try:
            graph = load_graph(path, DECODE, arch, values["kv_cache"].value)
        except UserError as error:
            if not values["model"].value or (number == len(paths) and not kept):
                raise
            screen.print_line(f"{path.name} is left out: {error.lines[0]}")
            continue
        kept += 1
        yield graph
