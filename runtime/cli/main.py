"""The `jacquard` command. Exit status 0 on success, 1 on failure, 2 for bad flags."""

from __future__ import annotations

import sys

from jacquard.runtime.cli import (
    command_compile,
    command_explore,
    command_generate,
    command_info,
    command_profile,
    command_quantize,
    command_run,
    command_text,
    command_tune,
)
from jacquard.runtime.cli.entry import Command, start

COMMANDS: dict[str, tuple[Command, str]] = {
    "run": (command_run.main, "compile a model, run it, check it bit for bit, report"),
    "generate": (command_generate.main, "generate tokens with a prefill and a decode graph"),
    "compile": (command_compile.main, "compile a model into a program file"),
    "profile": (command_profile.main, "run a model: where its cycles go, and what would save them"),
    "explore": (command_explore.main, "sweep configurations with the cycle model, show the best"),
    "tune": (command_tune.main, "search tilings with the cycle model, write those that help"),
    "quantize": (command_quantize.main, "calibrate a float model, write the quantized one"),
    "asm": (command_text.assemble_main, "assemble text into encoded instructions"),
    "disasm": (command_text.disassemble_main, "print a program or encoded instructions as text"),
    "info": (command_info.main, "describe a program file or a configuration"),
}


def usage() -> str:
    """All commands, a line each."""
    lines = ["usage: jacquard COMMAND [--flag=value ...]    (jacquard COMMAND --help: its flags)"]
    return "\n".join(lines + [f"  {name:8} {text}" for name, (_, text) in COMMANDS.items()])


def main(argv: list[str]) -> int:
    """Runs one command; argv without the program's name."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if argv else 2
    if argv[0] not in COMMANDS:
        known = ", ".join(COMMANDS)
        print(f"error: command must be one of {known}, got {argv[0]}", file=sys.stderr)
        return 2
    return COMMANDS[argv[0]][0](argv[1:])


if __name__ == "__main__":
    start(main)
