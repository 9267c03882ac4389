"""Compiles a model, runs it, checks it bit for bit, prints a table per layer."""

from __future__ import annotations

import json
import pathlib
import sys
import time

import numpy as np
import onnx
from absl import flags

from jacquard.proto import program_pb2 as pb
from jacquard.proto import report_pb2
from jacquard.proto.lib.errors import UserError, raise_if_any
from jacquard.runtime.api import states, verify
from jacquard.runtime.api.report import write_report
from jacquard.runtime.api.session import DeviceError, Session
from jacquard.runtime.cli import options, run_flags, screen
from jacquard.runtime.cli.arrays import load_inputs, step_arrays
from jacquard.runtime.cli.entry import start
from jacquard.runtime.generation.stateful import Stateful, kept
from jacquard.sim.reference.interpreter import run_reference


def define_flags() -> flags.FlagValues:
    values = flags.FlagValues()
    run_flags.add_flags(values)
    flags.DEFINE_multi_string(
        "state",
        [],
        "NAME=FILE, what the program has kept from runs before, as --input; random where not given",
        flag_values=values,
    )
    flags.DEFINE_string("output_dir", None, "folder for the outputs as .npy", flag_values=values)
    flags.DEFINE_bool(
        "check_layers",
        False,
        "compare every layer's tensor and say where the first differs; with "
        "--output-dir the tensors are written too",
        flag_values=values,
    )
    flags.DEFINE_string(
        "float_model", None, "float model, for the SQNR of a QDQ model", flag_values=values
    )
    flags.DEFINE_string(
        "compile_times", None, "JSON of `compile --times`, for the report", flag_values=values
    )
    flags.DEFINE_string(
        "simulator_build",
        None,
        "JSON of //sim/rtl:npu_sim_<config>_build_time, for the report",
        flag_values=values,
    )
    return values


def main(argv: list[str]) -> int:
    """`jacquard run`."""
    values = define_flags()
    options.parse(values, "run", argv)
    # What can be wrong with the arguments is found before calibration, which takes long.
    check_flags(values)
    arch = options.arch_of(values["config"].value)
    wanted = options.compile_options(values)
    numbers = run_flags.numbers(values)
    seconds_told = seconds(values["compile_times"].value, "--compile-times")
    build_seconds = seconds(values["simulator_build"].value, "--simulator-build")
    device = run_flags.device(values, arch)
    given = run_flags.given_program(values, arch)
    model = options.load_model(values)
    check_states(values, model, given)
    exact = None
    if values["float_model"].value:
        exact = options.load_float(values["float_model"].value, model)
        verify.onnxruntime_session(exact)
    pairs = values["input"].value + values["state"].value
    inputs = load_inputs(model, pairs, values["seed"].value)
    qdq, float_model = options.quantized(model, values)
    float_model = exact or float_model
    started = time.monotonic()
    program = run_flags.program_of(values, given, qdq, arch, wanted)
    compile_seconds = time.monotonic() - started if seconds_told is None else seconds_told
    numbers = states.numbers(program, numbers)
    session = Session(program, device, arch)
    stateful = Stateful(program, session, qdq, numbers)
    inputs |= step_arrays(qdq, numbers, values["input"].value)
    inputs = stateful.graph_inputs(inputs)
    stateful.write(inputs)
    try:
        with screen.RunProgress(program, values["backend"].value) as progress:
            read = {name: inputs[name] for name in session.input_shapes if name in inputs}
            outputs = session.run(read, keep_layers=True, progress=progress, arguments=numbers)
    except DeviceError as error:
        if values["report"].value:
            failed = report_pb2.Report(
                model=program.model,
                config=arch.name,
                backend=values["backend"].value,
                error=str(error),
            )
            write_report(failed, pathlib.Path(values["report"].value))
            if values["report_failure"].value:
                return 0
        raise
    report = session.report()
    report.compile_seconds = compile_seconds
    report.simulator_build_seconds = build_seconds or 0.0
    report.arguments.update(numbers)
    if not session.last.result.has_data:
        screen.print_layers(report)
        finish(report, values["report"].value)
        return 0
    with screen.status("integer reference"):
        reference = stateful.expected(run_reference(qdq, inputs))
    verify.compare_bits(report, program, session.last, reference)
    wrong_states = stateful.compare(report)
    with screen.status("onnxruntime"):
        accuracy = verify.accuracy(qdq, float_model, program, inputs, outputs)
    accuracy.fill(report)

    if values["output_dir"].value:
        save_outputs(
            pathlib.Path(values["output_dir"].value),
            {**outputs, **stateful.read()},
            session,
            values["check_layers"].value,
            program,
        )
    screen.print_layers(report)
    if not report.bit_exact:
        report.error = "outputs differ from the integer reference"
        for line in [
            *verify.describe_mismatch(program, session.last, reference),
            *wrong_states,
        ]:
            screen.print_line(line)
        print(f"error: {program.model}: {report.error}", file=sys.stderr)
    finish(report, values["report"].value, accuracy.judges_top1)
    return 0 if report.bit_exact or values["report_failure"].value else 1


def finish(report: report_pb2.Report, path: str | None, judges_top1: bool = False) -> None:
    """Writes the report and prints the summary."""
    if path:
        write_report(report, pathlib.Path(path))
    screen.print_summary(report, judges_top1, path)


def check_flags(values: flags.FlagValues) -> None:
    """What can be refused before any work. Raises UserError."""
    run_flags.check_flags(values)
    data = [flag for flag in ("output_dir", "check_layers") if values[flag].value]
    if values["backend"].value == "perf" and data:
        raise UserError(
            f"--{', --'.join(data)}: must come with a backend that computes (func, rtl), got perf, "
            "which has times alone"
        )
    options.check_folder(values["output_dir"].value, "output-dir")
    options.check_file(values["float_model"].value, "float-model")


def seconds(path: str | None, flag: str) -> float | None:
    """Seconds that a build action wrote, as `compile --times` does. Raises UserError."""
    if path is None:
        return None
    options.check_file(path, flag.removeprefix("--"))
    try:
        return float(json.loads(pathlib.Path(path).read_text())["seconds"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f'{flag} {path}: must be a JSON file with "seconds", got something else; give one that '
            "the build has made"
        ) from error


def check_states(
    values: flags.FlagValues, model: onnx.ModelProto, given: pb.Program | None
) -> None:
    """Refuses states where there are none, and inputs given as such. Raises UserError."""
    keeps = values["kv_cache"].value if given is None else bool(given.states)
    raise_if_any(
        f"--{flag}: must come with --kv-cache, or a --program that was compiled with it, got "
        f"{values[flag].value[0]}"
        for flag in ("state", "argument")
        if values[flag].value and not keeps
    )
    if not keeps:
        return
    names = list(kept(model))
    inputs, stored = (options.split_pairs(values[flag].value, flag) for flag in ("input", "state"))
    problems = [
        f"--state: {name} must be a state of the program; it has {', '.join(names) or 'none'}"
        for name in stored
        if name not in names
    ]
    problems += [
        f"--input: {name} must be given as --state {name}=FILE, the program keeps it"
        for name in inputs
        if name in names
    ]
    raise_if_any(problems)


def save_outputs(
    folder: pathlib.Path,
    outputs: dict[str, np.ndarray],
    session: Session,
    layers: bool,
    program: object,
) -> None:
    """NAME.npy per output and state (float32); if asked layers/NNN_name.npy per layer (integers).
    """

    def safe(name: str) -> str:
        return "".join(c if c.isalnum() or c in "._-" else "_" for c in name)

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in outputs.items():
            np.save(folder / f"{safe(name)}.npy", array)
        if layers:
            (folder / "layers").mkdir(exist_ok=True)
            for index, array in enumerate(session.last.layer_outputs or []):
                name = safe(program.layers[index].output.name)
                np.save(folder / "layers" / f"{index:03d}_{name}.npy", array)
    except OSError as error:
        raise UserError(
            f"{folder}: must be a folder that can be written, {error.strerror}"
        ) from error


if __name__ == "__main__":
    start(main)
