"""Describes a program file or a configuration."""

from __future__ import annotations

import dataclasses
import pathlib

from absl import flags

from jacquard.proto.lib.errors import UserError
from jacquard.runtime.api import program as programs
from jacquard.runtime.api.host import HostModel
from jacquard.runtime.cli import options, screen


def main(argv: list[str]) -> int:
    values = flags.FlagValues()
    flags.DEFINE_string("program", None, "program file to describe", flag_values=values)
    flags.DEFINE_string("config", None, "configuration to describe", flag_values=values)
    options.add_plan_picture_flag(values)
    options.parse(values, "info", argv)
    if not values["program"].value and not values["config"].value:
        raise UserError("info: give --program FILE or --config NAME")
    if values["plan_picture"].value and not values["program"].value:
        raise UserError("--plan-picture: must come with --program, got none; name the program")
    options.check_writable(values["plan_picture"].value, "plan-picture")
    if values["config"].value:
        arch = options.arch_of(values["config"].value)
        for field in dataclasses.fields(arch):
            screen.print_line(f"{field.name}: {getattr(arch, field.name)}")
        screen.print_line(f"fingerprint: {arch.fingerprint:016x}")
    if values["program"].value:
        program = programs.load(pathlib.Path(values["program"].value))
        host = HostModel(program.host_model, program.model) if program.host_model else None
        screen.print_program(
            program,
            {k: f"{v.dtype}{list(v.shape)}" for k, v in host.inputs.items()} if host else {},
            host.sources if host else {},
        )
        options.write_plan_picture(values, program)
    return 0
