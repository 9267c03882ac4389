"""Profiles one run of a model: a page, a trace for Perfetto, a report."""

from __future__ import annotations

import dataclasses
import pathlib

from absl import flags

from jacquard.compiler.main import compile_model, import_once
from jacquard.proto import report_pb2
from jacquard.proto.lib.arch import read_message
from jacquard.proto.lib.errors import UserError
from jacquard.runtime.api import states
from jacquard.runtime.api.report import write_report
from jacquard.runtime.api.session import DeviceError, Session
from jacquard.runtime.cli import options, run_flags, screen
from jacquard.runtime.cli.arrays import load_inputs, step_arrays
from jacquard.runtime.cli.entry import start
from jacquard.runtime.device import open_device
from jacquard.runtime.profile import fill, measure, relief, report_page, trace

# func has no time of its own.
TIMED_BY = {"func": "perf"}


def define_flags() -> flags.FlagValues:
    values = flags.FlagValues()
    run_flags.add_flags(values)
    flags.DEFINE_string("html", None, "file for the page, which opens offline", flag_values=values)
    flags.DEFINE_string(
        "trace", None, "file for Perfetto's JSON trace; .gz compresses it", flag_values=values
    )
    flags.DEFINE_bool(
        "relief", True, "run the cycle model on better machines, too", flag_values=values
    )
    return values


def main(argv: list[str]) -> int:
    """`jacquard profile`."""
    values = define_flags()
    options.parse(values, "profile", argv)
    check_flags(values)
    config, backend = values["config"].value, values["backend"].value
    arch = options.arch_of(config)
    message = read_message(options.config_path(config))
    wanted = options.compile_options(values)
    numbers = run_flags.numbers(values)
    device = run_flags.device(values, arch)
    given = run_flags.given_program(values, arch)
    model = options.load_model(values)
    inputs = load_inputs(model, values["input"].value, values["seed"].value)
    qdq, _ = options.quantized(model, values)
    program = run_flags.program_of(values, given, qdq, arch, wanted)
    wanted = dataclasses.replace(wanted, kv_cache=bool(program.states))
    numbers = states.numbers(program, numbers)
    inputs |= step_arrays(qdq, numbers, values["input"].value)
    timed_by = TIMED_BY.get(backend, backend)
    try:
        for name in dict.fromkeys((backend, timed_by)):
            session = Session(
                program, device if name == backend else open_device.open_device(name, arch), arch
            )
            read = {key: inputs[key] for key in session.input_shapes if key in inputs}
            with screen.RunProgress(program, name) as progress:
                session.run(read, progress=progress, arguments=numbers)
        profile = measure.measure(program, arch, backend, timed_by, session.last.result)
    except (DeviceError, measure.NothingToShow) as error:
        profile = measure.failed(program, arch, backend, str(error))
        write(values, profile, report_pb2.Report(
            model=program.model, config=arch.name, backend=backend, error=str(error)
        ))  # fmt: skip
        if values["report_failure"].value:
            return 0
        raise
    if values["relief"].value:
        with screen.status("cycle model on better machines"):
            imported = import_once(qdq, wanted.model_name)
            profile = relief.relieved(
                profile,
                program,
                lambda other: compile_model(imported, other, wanted),
                relief.machines(message),
            )
    report = session.report()
    report.backend = backend
    report.arguments.update(numbers)
    fill.fill(profile, report)
    write(values, profile, report)
    tell(values, profile)
    return 0


def check_flags(values: flags.FlagValues) -> None:
    """What can be refused before any work. Raises UserError."""
    options.check_outputs(values, "html", "trace", "report")
    run_flags.check_flags(values)
    if not any(values[flag].value for flag in ("html", "trace", "report")):
        raise UserError(
            "profile: must have a file to write, got none; give --html, --trace or --report"
        )


def tell(values: flags.FlagValues, profile: measure.Profile) -> None:
    """A few lines: cycles, what bounds them, what would save some, where the files lie."""
    floor = f", {profile.cycles / profile.floor_cycles:.3f} x the layer floor"
    screen.print_line(
        f"{profile.model} on {profile.config}: {profile.cycles:,} cycles by {profile.timed_by}"
        + (floor if profile.floor_cycles else "")
    )
    bounds: dict[str, int] = {}
    for layer in profile.layers:
        bounds[layer.bound] = bounds.get(layer.bound, 0) + layer.cycles
    for bound, cycles in sorted(bounds.items(), key=lambda item: -item[1]):
        screen.print_line(f"  {100 * cycles / profile.cycles:5.1f} % bound by {bound}")
    for one in profile.reliefs:
        saved = 100 * (1 - one.cycles / profile.base_cycles)
        told = f"{abs(saved):.1f} % {'saved' if saved >= 0 else 'more'}"
        found = one.problem or f"{one.cycles:,} cycles, {told}"
        screen.print_line(f"  {one.name} ({one.what}): {found}")
    for flag in ("html", "trace", "report"):
        if values[flag].value:
            screen.print_line(f"{flag}: {values[flag].value}")


def write(
    values: flags.FlagValues, profile: measure.Profile, report: report_pb2.Report
) -> None:
    """The files that were asked for."""
    if values["html"].value:
        report_page.write_page(profile, pathlib.Path(values["html"].value))
    if values["trace"].value:
        trace.write_trace(profile, pathlib.Path(values["trace"].value))
    if values["report"].value:
        write_report(report, pathlib.Path(values["report"].value))


if __name__ == "__main__":
    start(main)
