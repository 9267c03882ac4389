"""Compiles a model into a program file."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import time

from absl import flags

from jacquard.compiler.main import compile_model
from jacquard.proto.lib.errors import UserError
from jacquard.runtime.api import program as programs
from jacquard.runtime.api.files import write_whole
from jacquard.runtime.cli import options, screen
from jacquard.runtime.cli.entry import start


def main(argv: list[str]) -> int:
    values = flags.FlagValues()
    options.add_model_flags(values)
    flags.DEFINE_string("output", None, "program file to write", flag_values=values)
    flags.DEFINE_string(
        "times", None, "JSON file for the compile time in seconds, pass by pass", flag_values=values
    )
    options.add_plan_picture_flag(values)
    flags.DEFINE_multi_string(
        "dump_after",
        [],
        "passes (compiler/passes/pipeline.py) after which the program is printed as text",
        flag_values=values,
    )
    options.parse(values, "compile", argv)
    if not values["output"].value:
        raise UserError("--output: a file for the program must be given")
    output = pathlib.Path(values["output"].value)
    options.check_outputs(values, "output", "times", "plan_picture")
    arch = options.arch_of(values["config"].value)
    qdq, _ = options.quantized(options.load_model(values), values)
    passes: dict[str, float] = {}
    started = time.monotonic()
    with screen.status("compiling"):
        wanted = dataclasses.replace(
            options.compile_options(values),
            dump_after=tuple(values["dump_after"].value),
            dump=lambda name, text: screen.print_line(f"# after {name}\n{text}"),
            clock=passes.__setitem__,
        )
        program = compile_model(qdq, arch, wanted)
    seconds = time.monotonic() - started
    programs.save(program, output)
    if values["times"].value:
        told = {"seconds": seconds, "passes": passes}
        write_whole(pathlib.Path(values["times"].value), json.dumps(told) + "\n")
    options.write_plan_picture(values, program)
    screen.print_line(
        f"{output}: {program.instruction_count} instructions, {len(program.layers)} layers, "
        f"{sum(len(s.data) for s in program.segments)} bytes of constants, "
        f"{program.memory_plan.planned_bytes} bytes of activations, {seconds:.1f} s"
    )
    return 0


if __name__ == "__main__":
    start(main)
