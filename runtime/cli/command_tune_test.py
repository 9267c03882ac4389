"""`tune` as a user runs it: --overrides takes what it writes; bad input is refused at once."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import onnx
import pytest

from jacquard.compiler.main import CompileOptions, compile_model
from jacquard.compiler.overrides import read_overrides
from jacquard.proto.lib.arch import load_config
from jacquard.runtime.cli import command_compile, command_tune
from jacquard.runtime.cli.entry import guarded
from jacquard.runtime.profile import sample
from jacquard.sim.perf.estimate import estimate

FILES = ("output", "table", "report")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("model") / "sample.qdq.onnx"
    onnx.save(sample.quantized(), path)
    return path


def test_what_it_writes_is_what_compile_takes(
    model: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, table, report = (tmp_path / name for name in ("o.textproto", "t.md", "r.json"))
    flags = [f"--model={model}", "--config=nano4", "--beam=8", "--evaluations=30", "--jobs=1"]
    files = [f"--output={output}", f"--table={table}", f"--report={report}"]
    assert guarded(command_tune.main, [*flags, *files]) == 0
    arch, told = load_config("nano4"), json.loads(report.read_text())
    overrides = read_overrides(output)
    for given, cycles in (({}, told["default_cycles"]), (overrides, told["cycles"])):
        program = compile_model(sample.quantized(), arch, CompileOptions(overrides=given))
        assert estimate(program, arch).cycles == cycles
    assert told["cycles"] < told["default_cycles"]
    line = f"{told['default_cycles']:,} cycles as compiled, {told['cycles']:,} tuned"
    out = capsys.readouterr().out
    assert line in out and line in table.read_text()
    assert f"overrides of {len(overrides)} layers: {output}" in out
    compiled = [f"--model={model}", "--config=nano4", f"--output={tmp_path / 'm.npu'}"]
    assert guarded(command_compile.main, [*compiled, f"--overrides={output}"]) == 0


def test_from_the_overrides_that_it_wrote_it_goes_on(
    model: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Layers that the user fixed stay as they are, and are written again."""
    fixed, output = tmp_path / "fixed.textproto", tmp_path / "o.textproto"
    fixed.write_text('layer { name: "classes" output_tiles: 3 }')
    flags = [f"--model={model}", "--config=nano4", f"--overrides={fixed}", "--beam=4"]
    limits = ["--evaluations=10", "--jobs=1", f"--output={output}"]
    assert guarded(command_tune.main, [*flags, *limits]) == 0
    found = read_overrides(output)
    assert found.pop("classes") == read_overrides(fixed)["classes"]
    assert found


def test_any_number_of_processes_finds_the_same(
    model: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    made = []
    for jobs in (1, 3):
        files = [tmp_path / f"{jobs}{suffix}" for suffix in (".textproto", ".md", ".json")]
        flags = [f"--model={model}", "--config=nano4", "--beam=5", "--evaluations=14"]
        flags += [f"--{flag}={file}" for flag, file in zip(FILES, files, strict=True)]
        subprocess.run(
            [sys.executable, "-m", "jacquard.runtime.cli.command_tune", *flags, f"--jobs={jobs}"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
        )
        made.append([file.read_bytes() for file in files])
    assert made[0] == made[1]
    assert all(made[0])


def test_bad_input_is_refused_at_once_and_together(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--beam=0", "--evaluations=0", "--jobs=-1", "--budget=0"]
    assert guarded(command_tune.main, flags) == 1
    assert capsys.readouterr().err.splitlines() == [
        "error: --model: an ONNX file must be given",
        "error: --output: a file must be given; the overrides that help go there",
        "error: --beam: must be at least 1, got 0",
        "error: --evaluations: must be at least 1, got 0",
        "error: --jobs: must be at least 1, got -1",
        "error: --budget: must be a number of seconds above 0, got 0",
    ]
    absent = tmp_path / "none"
    flags = [f"--model={absent}.onnx", f"--output={absent}/o", f"--table={tmp_path}"]
    assert guarded(command_tune.main, flags) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"error: --model {absent}.onnx: must be a file that can be read, got none",
        f"error: --output {absent}/o: must be a file that can be written, got no folder "
        f"{absent}; make it first",
        f"error: --table {tmp_path}: must be a file that can be written, got a folder; give "
        "another path",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('layer { name: "none" output_tiles: 1 }', "override of layer none: must name one of"),
        ('layer { name: "classes" output_tiles: 0 }', "output_tiles must be a positive number"),
        ('layer { name: "first" tile_width: 16 tile_height: 16 }', "must fit half of OBUF"),
    ],
)
def test_overrides_that_do_not_compile_are_told(
    text: str, message: str, model: pathlib.Path, tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    fixed, output = tmp_path / "fixed.textproto", tmp_path / "o.textproto"
    fixed.write_text(text)
    flags = [f"--model={model}", "--config=nano4", f"--overrides={fixed}", "--jobs=1"]
    assert guarded(command_tune.main, [*flags, f"--output={output}"]) == 1
    assert message in capsys.readouterr().err
    assert not output.exists()
