"""Compiles a model into a program file."""

from __future__ import annotations

import json
import pathlib
import time

from absl import flags

from jacquard.compiler.main import CompileOptions, compile_model
from jacquard.proto.lib.errors import UserError
from jacquard.runtime.api import program as programs
from jacquard.runtime.cli import options, screen
from jacquard.runtime.cli.entry import start


def main(argv: list[str]) -> int:
    values = flags.FlagValues()
    options.add_model_flags(values)
    flags.DEFINE_string("output", None, "program file to write", flag_values=values)
    flags.DEFINE_string("times", None, "JSON file for the compile time in seconds", flag_values=values)
    flags.DEFINE_multi_string(
        "dump_after", [], "passes (compiler/passes/pipeline.py) after which the program is printed as text",
        flag_values=values,
    )
    options.parse(values, "compile", argv)
    if not values["output"].value:
        raise UserError("--output: a file for the program must be given")
    output = pathlib.Path(values["output"].value)
    arch = options.arch_of(values["config"].value)
    qdq, _ = options.load_quantized(values)
    started = time.monotonic()
    with screen.status("compiling"):
        wanted = CompileOptions(
            model_name=options.model_name(values),
            dump_after=tuple(values["dump_after"].value),
            dump=lambda name, text: screen.print_line(f"# after {name}\n{text}"),
        )
        program = compile_model(qdq, arch, wanted)
    seconds = time.monotonic() - started
    try:
        programs.save(program, output)
    except OSError as error:
        raise UserError(f"{output}: must be a file that can be written, {error.strerror}") from error
    if values["times"].value:
        pathlib.Path(values["times"].value).write_text(json.dumps({"seconds": seconds}) + "\n")
    screen.print_line(
        f"{output}: {program.instruction_count} instructions, {len(program.layers)} layers, "
        f"{sum(len(s.data) for s in program.segments)} bytes of constants, "
        f"{program.memory_plan.planned_bytes} bytes of activations, {seconds:.1f} s"
    )
    return 0


if __name__ == "__main__":
    start(main)
