"""`explore` as a user runs it: whole, killed and run again, refused before it starts."""

from __future__ import annotations

import collections
import html
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from jacquard.compiler.frontend.import_model import import_model
from jacquard.compiler.frontend.quantize import quantize_model
from jacquard.compiler.main import compile_model
from jacquard.proto.lib.arch import find_config, load_arch, read_message
from jacquard.proto.lib.errors import UserError
from jacquard.runtime.cli import command_explore
from jacquard.runtime.cli.entry import guarded
from jacquard.runtime.explore.space import candidates, parse_sweeps

# Of 48 configurations the 4 of 16 x 16 with 32776 bytes, no multiple of 16, break a rule.
SWEEPS = (
    "--sweep=rows,cols=4..16",
    "--sweep=bytes_per_cycle=4",
    "--sweep=ibuf_bytes=8K,16K,32K,32776",
    "--sweep=wbuf_bytes=4K,64K",
    "--sweep=obuf_bytes=16K,64K",
)
POINTS, BROKEN = 48, 4
PATIENCE = 120.0  # seconds


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Eight products of matrices, quantized."""
    rng = np.random.default_rng(0)
    names = ["x", *(f"t{i}" for i in range(7)), "y"]
    nodes, weights = [], []
    for i in range(8):
        nodes.append(helper.make_node("MatMul", [names[i], f"w{i}"], [names[i + 1]], name=f"p{i}"))
        array = rng.standard_normal((64, 64), dtype=np.float32) / 8
        weights.append(numpy_helper.from_array(array, f"w{i}"))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "chain",
        [value("x", TensorProto.FLOAT, (48, 64))],
        [value("y", TensorProto.FLOAT, (48, 64))],
        weights,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    sample = {"x": rng.standard_normal((48, 64), dtype=np.float32)}
    path = tmp_path_factory.mktemp("model") / "chain.onnx"
    onnx.save(quantize_model(import_model(made.SerializeToString()), [sample]), path)
    return path


class Running:
    """`explore` in a process group of its own."""

    def __init__(self, *argv: object) -> None:
        command = [sys.executable, "-m", "jacquard.runtime.cli.command_explore"]
        self.process = subprocess.Popen(
            [*command, *(str(word) for word in argv)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def until_lines(self, path: pathlib.Path, count: int) -> None:
        """Waits until so many points are on disk."""
        end = time.monotonic() + PATIENCE
        while not path.is_file() or path.read_bytes().count(b"\n") < count:
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < end, "no progress"
            time.sleep(0.005)

    def workers(self) -> list[int]:
        """Its children that evaluate; the other one only tracks semaphores."""
        own = self.process.pid
        found = pathlib.Path(f"/proc/{own}/task/{own}/children").read_text().split()
        return [
            int(pid)
            for pid in found
            if b"spawn_main" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        ]

    def end(self) -> tuple[int, str, str]:
        """Exit status, what it printed, what it said of errors."""
        out, error = self.process.communicate(timeout=PATIENCE)
        # In a sandbox onnxruntime complains that it has no home.
        ours = [line for line in error.splitlines() if "onnxruntime:Default" not in line]
        return self.process.returncode, out, "".join(f"{line}\n" for line in ours)


def gone(pid: int) -> bool:
    """No such process, or one that only waits to be counted."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def results(folder: pathlib.Path) -> dict[str, tuple[int | None, str]]:
    """Key -> cycles and refusal; no key stands twice."""
    lines = [json.loads(line) for line in (folder / "points.jsonl").read_text().splitlines()]
    assert max(collections.Counter(line["key"] for line in lines).values()) == 1
    return {line["key"]: (line["cycles"], line["refused"]) for line in lines}


def made(folder: pathlib.Path) -> dict[str, bytes]:
    """What must not depend on how often an exploration was interrupted."""
    files = [folder / "explore.json", folder / "explore.html", *(folder / "front").iterdir()]
    return {path.name: path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def whole(model: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder of an exploration that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "explored"
    status, out, error = Running(f"--model={model}", *SWEEPS, f"--output={folder}").end()
    assert (status, error) == (0, ""), out
    compared = POINTS - BROKEN
    line = rf"{POINTS} configurations: {compared} compared, \d+ on the front, {BROKEN} break a rule"
    assert re.search(line + ", 0 refused by the compiler; 0 results were known", out)
    where = "rows=16 cols=16 bytes_per_cycle=4 ibuf_bytes=32776 wbuf_bytes=4096 obuf_bytes=16384"
    why = "memory.ibuf_bytes must be a positive multiple of 16, got 32776; try 32768 or 32784"
    assert f"refused: {where} and 3 more: {why}" in out
    assert len(results(folder)) == compared
    return folder


def test_nothing_is_done_twice(model, whole, tmp_path):
    before = made(whole)
    status, out, _ = Running(f"--model={model}", *SWEEPS, f"--output={whole}").end()
    assert status == 0 and f"{POINTS - BROKEN} results were known" in out
    assert made(whole) == before
    # Another sweep in the same folder knows what both have in common.
    other = ("--sweep=rows,cols=8", "--sweep=bytes_per_cycle=4", "--sweep=ibuf_bytes=8K,12K")
    (tmp_path / "points.jsonl").write_bytes((whole / "points.jsonl").read_bytes())
    status, out, _ = Running(f"--model={model}", *other, f"--output={tmp_path}").end()
    assert status == 0 and "2 configurations: 2 compared" in out and "1 results were known" in out


def test_a_killed_one_resumes(model, whole, tmp_path):
    argv = (f"--model={model}", *SWEEPS, "--jobs=2", f"--output={tmp_path}")
    running = Running(*argv)
    running.until_lines(tmp_path / "points.jsonl", 3)
    workers = running.workers()
    running.process.kill()
    status, _, _ = running.end()
    assert status == -signal.SIGKILL and len(workers) == 2
    end = time.monotonic() + PATIENCE
    while not all(gone(pid) for pid in workers):  # nothing stays behind
        assert time.monotonic() < end
        time.sleep(0.05)
    kept = results(tmp_path)
    assert 3 <= len(kept) < POINTS - BROKEN and not (tmp_path / "explore.json").exists()
    with (tmp_path / "points.jsonl").open("a") as file:
        file.write('{"key": "half a li')
    status, out, error = Running(*argv).end()
    assert status == 0 and f"{len(kept)} results were known" in out, error
    assert results(tmp_path) == results(whole)
    assert made(tmp_path) == made(whole)


def test_an_interrupted_one_says_so_and_resumes(model, whole, tmp_path):
    argv = (f"--model={model}", *SWEEPS, "--jobs=1", f"--output={tmp_path}")
    running = Running(*argv)
    running.until_lines(tmp_path / "points.jsonl", 2)
    os.killpg(running.process.pid, signal.SIGINT)  # as a terminal does
    status, _, error = running.end()
    assert status == 130
    assert error == f"{tmp_path}: keeps what is done; the same command goes on from there\n" + (
        "interrupted\n"
    )
    kept = len(results(tmp_path))
    status, out, _ = Running(*argv).end()
    assert status == 0 and f"{kept} results were known" in out
    assert made(tmp_path) == made(whole)


def test_a_process_that_is_killed_is_named(model, tmp_path):
    running = Running(f"--model={model}", *SWEEPS, "--jobs=2", f"--output={tmp_path}")
    running.until_lines(tmp_path / "points.jsonl", 2)
    os.kill(running.workers()[0], signal.SIGKILL)
    status, _, error = running.end()
    assert status == 1
    assert error.startswith("error: explore: its processes must be left to run, one was killed")
    assert len(results(tmp_path)) >= 2


def test_configurations_of_the_front_are_files_that_compile(model, whole):
    figures = json.loads((whole / "explore.json").read_text())
    best = {c["name"]: c for c in figures["configurations"] if c.get("front")}
    files = {path.stem: path for path in (whole / "front").iterdir()}
    assert best and set(files) == set(best)
    qdq = import_model(model)
    for name, path in files.items():
        arch = load_arch(path)
        assert {field: getattr(arch, field) for field in best[name]["values"]} == (
            best[name]["values"]
        )
        assert compile_model(qdq, arch).fingerprint == arch.fingerprint


def test_what_the_compiler_refuses_is_listed_with_its_reason(model, tmp_path):
    argv = (f"--model={model}", "--sweep=wbuf_bytes=256,64K", f"--output={tmp_path}")
    status, out, error = Running(*argv).end()
    assert (status, error) == (0, "")
    (small,) = candidates(read_message(find_config("edge16")), parse_sweeps(["wbuf_bytes=256"], 1))
    with pytest.raises(UserError) as caught:
        compile_model(import_model(model), small.arch)
    reasons = [f"chain: {line}" for line in caught.value.lines]
    figures = json.loads((tmp_path / "explore.json").read_text())
    refused, compared = figures["configurations"]
    assert refused == {"name": small.name, "values": dict(small.values), "refused": reasons}
    assert compared["front"] and compared["cycles"]["chain"] > 0
    assert f"refused: wbuf_bytes=256: {reasons[0]} (and {len(reasons) - 1} reasons more)" in out
    assert all(html.escape(line) in (tmp_path / "explore.html").read_text() for line in reasons)
    # With nothing to compare there is no front, and that is an error.
    status, out, error = Running(*argv[:1], "--sweep=wbuf_bytes=256", *argv[2:]).end()
    assert status == 1 and "1 results were known" in out
    assert error == f"error: no configuration compiles every model; see {tmp_path}\n"
    assert list((tmp_path / "front").iterdir()) == []


def test_a_defect_is_told_and_tried_again(tmp_path):
    """A model that no compiler can read stands for any exception of ours."""
    code = f"""
import pathlib
from jacquard.proto.lib.arch import find_config, read_message
from jacquard.runtime.explore.exploration import Plan, explore
from jacquard.runtime.explore.space import candidates, parse_sweeps
from jacquard.runtime.explore.work import Model
found = candidates(read_message(find_config("nano4")), parse_sweeps(["ibuf_bytes=4K,8K"], 9))
plan = Plan("nano4", (), found, (Model("broken", b"no model"),), "sum", ("multipliers",))
for _ in range(2):
    result = explore(plan, pathlib.Path({str(tmp_path)!r}), 1)
    assert not result.points and not result.front and not result.refused and not result.reused
    print(*result.failures, sep="\\n")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 4 and all(re.match(r"broken on x\w{8}: \w+: ", line) for line in lines)
    assert (tmp_path / "points.jsonl").read_bytes() == b""


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--sweep=rows=0"], "--sweep rows=0: matrix.rows must be a power of two, got 0; try 4"),
        (["--sweep=rows=3"], "--sweep rows=3: matrix.rows must be a power of two, got 3; try 4"),
        (["--sweep=rows="], "--sweep rows=: must name at least one value, got none"),
        (
            ["--sweep=ibuf_bytes=1..1000000000+1"],
            "must give at most 10,000 configurations (--max-points), got 1,000,000,000",
        ),
        (["--sweep=ibuf_bytes=8K..16K+1K", "--max-points=8"], "at most 8 configurations"),
        ([], "--sweep: must be given"),
        (["--sweep=rows=16", "--jobs=0"], "--jobs: must be at least 1, got 0"),
        (["--sweep=rows=16", "--max-points=-1"], "--max-points: must be at least 1, got -1"),
        (["--sweep=rows=16", "--costs=area"], "--costs area: must be of multipliers, lanes"),
        (["--sweep=rows=16", "--base=edge17"], "--base: must name a configuration, got 'edge17'"),
        (["--sweep=rows=16", "--base=none.textproto"], "none.textproto: cannot be read"),
        (["--sweep=rows=16", "--model=none.onnx"], "none.onnx: must be a file that can be read"),
        (["--sweep=rows=16", "--model=a/chain.onnx"], "chain: models must have different file"),
        (["--sweep=rows=16", "--shape=z=1,2"], "--shape z: must name an input of a model; the"),
        (["--sweep=rows=16", "--output="], "--output: a folder must be given"),
        (["--sweep=rows=16", "--output={}/chain.onnx"], "must be a folder that can be written"),
    ],
)
def test_bad_input_is_refused_before_it_starts(argv, message, model, tmp_path, capsys):
    argv = [word.format(model.parent) for word in argv]
    folder = tmp_path / "explored"
    command = [f"--model={model}", f"--output={folder}", *argv]
    assert guarded(command_explore.main, command) == 1
    error = capsys.readouterr().err
    assert message in error and all(line.startswith("error: ") for line in error.splitlines())
    assert not folder.exists()


def test_a_model_must_be_given(tmp_path, capsys):
    assert guarded(command_explore.main, ["--sweep=rows=16", f"--output={tmp_path}"]) == 1
    assert "--model: an ONNX file must be given" in capsys.readouterr().err
