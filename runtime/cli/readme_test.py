"""The README's commands exist as they are written: targets, subcommands, flags, files."""

from __future__ import annotations

import pathlib
import re
import shlex

import pytest

from jacquard.runtime.cli import (
    command_explore,
    command_generate,
    command_profile,
    command_quantize,
    command_run,
    command_tune,
    main,
)
from jacquard.runtime.cli.demo import REPORT

README = pathlib.Path("README.md").read_text()
COMMANDS = [
    shlex.split(line, comments=True)
    for block in re.findall(r"```sh\n(.*?)```", README, re.S)
    for line in block.replace("\\\n", " ").splitlines()
    if line.strip()
]


def test_there_are_commands():
    assert ["./bazelw", "run", "//:demo"] in COMMANDS
    assert ["./bazelw", "test", "//..."] in COMMANDS


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_target_exists(command):
    assert command[0] == "./bazelw"
    target = command[2]
    if target != "//...":
        name = target.removeprefix("//:")
        assert f'name = "{name}"' in pathlib.Path("BUILD.bazel").read_text()


def test_benchmarks_that_are_named_are_of_models_that_exist():
    build = pathlib.Path("benchmarks/BUILD.bazel").read_text()
    named = re.findall(r"//benchmarks:(\w+?)_(?:sqnr|nano4|edge16)", README)
    assert named
    forms = {"_generate": 'npu_generation(\n    "{}",', "_outliers": 'npu_outliers("{}")'}
    for name in named:
        kind = next((suffix for suffix in forms if name.endswith(suffix)), "")
        wanted = forms.get(kind, '"{}": {{').format(name.removesuffix(kind))
        assert wanted in build, name


@pytest.mark.parametrize("command", [c for c in COMMANDS if "//:jacquard" in c], ids=" ".join)
def test_subcommand_and_its_flags_exist(command):
    arguments = command[command.index("--") + 1 :]
    assert arguments[0] in main.COMMANDS
    commands = {
        "run": command_run,
        "generate": command_generate,
        "explore": command_explore,
        "profile": command_profile,
        "quantize": command_quantize,
        "tune": command_tune,
    }
    known = commands[arguments[0]].define_flags()
    for flag in (a for a in arguments if a.startswith("--")):
        assert flag[2:].partition("=")[0].replace("-", "_") in known, flag


def test_the_gate_runs_the_readmes_test_command():
    assert "./bazelw test //..." in pathlib.Path(".ci/run").read_text()


def test_the_demos_report_is_named():
    assert REPORT in README


def test_files_that_are_linked_exist():
    for target in re.findall(r"\]\(([^):]+)\)", README):
        assert pathlib.Path(target).exists(), target
