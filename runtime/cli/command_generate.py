"""Generates tokens: a prefill of the prompt's ids, then a decode step for each token."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import sys
import time
from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from absl import flags

import jacquard
from jacquard.compiler.frontend.import_model import import_model
from jacquard.compiler.frontend.quantize import is_quantized
from jacquard.compiler.main import CompileOptions, compile_model
from jacquard.proto import program_pb2 as pb
from jacquard.proto import report_pb2
from jacquard.proto.lib.arch import Arch
from jacquard.proto.lib.errors import UserError
from jacquard.runtime.api.cache import open_stages
from jacquard.runtime.api.decoder import DECODE, PREFILL
from jacquard.runtime.api.generate import Generator, Step, check_counts
from jacquard.runtime.api.reference_generation import reference_tokens
from jacquard.runtime.api.report import peak_rss_bytes, write_report
from jacquard.runtime.api.sampling import Sampler, sampler
from jacquard.runtime.api.session import DeviceError
from jacquard.runtime.cli import device_flags, options, screen
from jacquard.runtime.cli.command_run import check_device, load_program
from jacquard.runtime.cli.entry import start
from jacquard.runtime.device import open_device

PROGRAM = ".npu"  # how the name of a compiled program ends


@dataclasses.dataclass(frozen=True)
class Graph:
    """One of the pair: its program, and the QDQ model where it was compiled here."""

    program: pb.Program
    model: onnx.ModelProto | None


def define_flags() -> flags.FlagValues:
    values = flags.FlagValues()
    flags.DEFINE_string("model", None, "a built-in model, e.g. gpt2", flag_values=values)
    flags.DEFINE_string(
        "prefill", None, f"prefill of your own: ONNX (QDQ) or {PROGRAM}", flag_values=values
    )
    flags.DEFINE_multi_string(
        "decode",
        [],
        f"its decode step: ONNX (QDQ) or {PROGRAM}; once for each cache length",
        flag_values=values,
    )
    flags.DEFINE_string(
        "config",
        "edge16",
        "configuration: a name, or a .textproto file (without RTL)",
        flag_values=values,
    )
    flags.DEFINE_string("prompt_ids", None, "token ids, e.g. 464,3290", flag_values=values)
    flags.DEFINE_integer("tokens", 16, "how many are generated", flag_values=values)
    flags.DEFINE_integer(
        "top_k", None, "draw from the K likeliest; default: the likeliest", flag_values=values
    )
    flags.DEFINE_float("temperature", None, "of --top-k; default 1", flag_values=values)
    flags.DEFINE_integer("seed", 0, "of the draws", flag_values=values)
    flags.DEFINE_bool(
        "kv_cache",
        True,
        "--nokv_cache: keys and values go through the host with every step",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "check",
        False,
        "compare tokens and logits with the integer reference's, bit for bit",
        flag_values=values,
    )
    # The cycle model has no tokens.
    device_flags.add_flags(values, backends=("func", "rtl"))
    return values


def main(argv: list[str]) -> int:
    """`jacquard generate`."""
    values = define_flags()
    options.parse(values, "generate", argv)
    prompt = parse_ids(values["prompt_ids"].value)
    count = values["tokens"].value
    check_flags(values, prompt)
    prefill_path, decode_paths = graph_paths(values)
    arch = options.arch_of(values["config"].value)
    backend = values["backend"].value
    device = open_device.open_device(backend, arch, values["simulator"].value)
    check_device(device, arch)
    started = time.monotonic()
    in_place = values["kv_cache"].value
    prefill = load_graph(prefill_path, PREFILL, arch, in_place)
    decodes = list(load_decodes(values, decode_paths, arch))
    compile_seconds = time.monotonic() - started

    programs = [graph.program for graph in (prefill, *decodes)]
    memory, (first, *others) = open_stages(programs, device, arch)
    generator = Generator(first, others)
    generator.check(prompt, count)
    report = report_pb2.Generation(
        model=values["model"].value or prefill.program.model,
        config=arch.name,
        backend=backend,
        fingerprint=f"{arch.fingerprint:016x}",
        prompt=prompt,
        compile_seconds=compile_seconds,
        loaded_bytes=memory.loaded_bytes,
    )
    logits = []
    try:
        for step in generator.steps(
            prompt,
            count,
            chosen(values),
            lambda program: screen.RunProgress(program, backend),
        ):
            add_step(report, step)
            screen.print_line(step_line(report.steps[-1], len(report.tokens)))
            if step.logits is not None:
                logits.append(step.logits)
    except DeviceError as error:
        report.error = str(error)
        finish(report, values["report"].value)
        if values["report_failure"].value:
            return 0
        raise
    if values["check"].value:
        with screen.status("integer reference"):
            check(report, logits, values, prefill, decodes)
        if report.error:
            print(f"error: {report.model}: {report.error}", file=sys.stderr)
    finish(report, values["report"].value)
    print_summary(report, values["report"].value)
    return 1 if report.error and not values["report_failure"].value else 0


def chosen(values: flags.FlagValues) -> Sampler:
    """A sampler as the flags say. Raises UserError."""
    return sampler(values["top_k"].value, values["temperature"].value, values["seed"].value)


def parse_ids(text: str | None) -> list[int]:
    """`464,3290` -> [464, 3290]. Raises UserError."""
    if text is None:
        raise UserError("--prompt-ids: token ids must be given, e.g. --prompt-ids=464,3290")
    try:
        return [int(token) for token in text.split(",")] if text.strip() else []
    except ValueError as error:
        raise UserError(
            f"--prompt-ids: must be integers with commas between, got {text}; e.g. 464,3290"
        ) from error


def check_flags(values: flags.FlagValues, prompt: Sequence[int]) -> None:
    """What can be refused before any work. Raises UserError."""
    check_counts(prompt, values["tokens"].value)
    chosen(values)
    device_flags.check_flags(values)
    paths = [values["prefill"].value or "", *values["decode"].value]
    compiled = [path for path in paths if path.endswith(PROGRAM)]
    if values["check"].value and compiled:
        raise UserError(
            f"--check: must have the models, got the program {compiled[0]}; give the QDQ model "
            "that it was compiled from"
        )


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
        return Graph(load_program(str(path), arch), None)
    model = import_model(path, supported=options.SUPPORTED)
    if not is_quantized(model):
        raise UserError(
            f"{path}: {kind} must be quantized (QDQ), got a float model; `quantize` it, the decode "
            "step --like the prefill"
        )
    name = path.name.partition(".")[0]
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


def add_step(report: report_pb2.Generation, step: Step) -> None:
    """Adds one run to the report."""
    result = step.result
    report.steps.add(
        stage=step.stage,
        bucket=step.bucket,
        position=step.position,
        gave_token=step.token is not None,
        token=step.token or 0,
        cycles=result.cycles,
        wall_seconds=result.seconds,
        dram_read_bytes=result.dram_read_bytes,
        dram_write_bytes=result.dram_write_bytes,
        to_device_bytes=step.to_device_bytes,
        from_device_bytes=step.from_device_bytes,
    )
    if step.token is not None:
        report.tokens.append(step.token)


def finish(report: report_pb2.Generation, path: str | None) -> None:
    """Sums of the steps; writes the report if there is a file for it."""
    decodes = [step.cycles for step in report.steps if step.stage == DECODE]
    report.prefill_cycles = sum(step.cycles for step in report.steps if step.stage == PREFILL)
    report.decode_cycles_per_token = round(sum(decodes) / len(decodes)) if decodes else 0
    report.wall_seconds = sum(step.wall_seconds for step in report.steps)
    report.peak_rss_bytes = peak_rss_bytes()
    if path:
        write_report(report, pathlib.Path(path))


def check(
    report: report_pb2.Generation,
    logits: Sequence[np.ndarray],
    values: flags.FlagValues,
    prefill: Graph,
    decodes: Sequence[Graph],
) -> None:
    """Compares tokens and logits with the integer reference's; the first difference is the error.
    """
    models = [graph.model for graph in decodes]
    theirs = reference_tokens(
        prefill.model, models, report.prompt, len(report.tokens), chosen(values)
    )
    report.checked, report.bit_exact = True, True
    pairs = zip(report.tokens, logits, theirs, strict=True)
    for number, (token, ours, (wanted, row)) in enumerate(pairs, 1):
        wrong = int(np.count_nonzero(ours != row))
        if wrong or token != wanted:
            report.bit_exact = False
            report.error = (
                f"token {number} differs from the integer reference: {token}, reference {wanted}; "
                f"{wrong} of {row.size} logits differ"
            )
            return


def step_line(step: report_pb2.GenerationStep, number: int) -> str:
    """`token 3: 380   decode of position 6, cache of 32 rows, 1,234 cycles`."""
    token = f"token {number}: {step.token}" if step.gave_token else "prompt"
    what = (
        f"prefill of positions 0 to {step.position}"
        if step.stage == PREFILL
        else f"decode of position {step.position}, cache of {step.bucket} rows"
    )
    cycles = f", {step.cycles:,} cycles" if step.cycles else ""
    return f"{token:16}  {what}{cycles}"


def print_summary(report: report_pb2.Generation, path: str | None) -> None:
    """All tokens, cycles per token, speed, where the report lies."""
    screen.print_line("tokens: " + ",".join(str(token) for token in report.tokens))
    if report.checked:
        exact = "bit-exact with" if report.bit_exact else "NOT bit-exact with"
        screen.print_line(f"{exact} the integer reference (tokens and logits)")
    decodes = [step for step in report.steps if step.stage == DECODE]
    if report.decode_cycles_per_token:
        prefill = f"prefill {report.prefill_cycles:,} cycles, " if report.prefill_cycles else ""
        screen.print_line(
            f"{prefill}decode {report.decode_cycles_per_token:,} cycles per token "
            f"(mean of {len(decodes)} steps)"
        )
    total = sum(step.cycles for step in report.steps)
    steps = [(step.to_device_bytes, step.from_device_bytes) for step in decodes]
    if steps:
        most = [max(column) for column in zip(*steps, strict=True)]
        screen.print_line(
            f"host and device: {report.loaded_bytes:,} bytes loaded once, a step takes {most[0]:,} "
            f"bytes in and {most[1]:,} out"
        )
    speed = f" at {total / report.wall_seconds / 1e3:,.0f} kHz" if total else ""
    screen.print_line(f"{len(report.steps)} runs in {report.wall_seconds:.1f} s{speed}")
    if path:
        screen.print_line(f"report: {path}")


if __name__ == "__main__":
    start(main)
