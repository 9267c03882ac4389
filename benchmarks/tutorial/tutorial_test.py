"""The tutorial holds: what its table says, what its page says of it, what its commands do.

Figures on the page are compared with the runs'; a changed schedule asks for `-- --update`.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
from collections.abc import Callable

import pytest

from jacquard.benchmarks.tutorial import figures, page, tutorial
from jacquard.benchmarks.tutorial.figures import Run
from jacquard.proto.lib.errors import UserError

FOLDER = pathlib.Path(os.environ.get("RUNS", "benchmarks/tutorial"))
PAGE = pathlib.Path("docs/tutorial.md")
RUNS = figures.load(FOLDER)
NAMED = {(run.model, run.name): run for run in RUNS}
IDS = [f"{run.model}_{run.name}" for run in RUNS]
CHECKED = [run for run in RUNS if run.checked]


def test_every_kind_of_exercise_is_there_for_both_models() -> None:
    for model in ("resnet50", "bert_block"):
        kinds = {run.kind for run in RUNS if run.model == model}
        assert kinds == {"default", "tiling", "order", "buffers", "DRAM", "fusion"}
    checked = {(run.kind, run.checked) for run in CHECKED}
    assert {("tiling", "rtl"), ("order", "rtl"), ("buffers", "func"), ("fusion", "rtl")} <= checked


@pytest.mark.parametrize("run", RUNS, ids=IDS)
def test_every_run_ended(run: Run) -> None:
    assert run.report["error"] == ""
    assert run.cycles > 0.99 * run.report["roofline_cycles"]


@pytest.mark.parametrize("run", CHECKED, ids=[f"{r.model}_{r.name}" for r in CHECKED])
def test_checked_runs_are_exact(run: Run) -> None:
    """Bit for bit against the integer reference; in RTL the cycle model's figures to the cycle."""
    assert run.check_report["bit_exact"] and run.check_report["bit_exact_judged"]
    assert run.check_report["error"] == ""
    if run.checked == "rtl":
        for field in ("cycles", "engines", "dram_read_bytes", "dram_write_bytes", "memory"):
            assert run.check_report[field] == run.report[field], field
        layers = [
            [(layer["name"], layer["cycles"]) for layer in report["layers"]]
            for report in (run.check_report, run.report)
        ]
        assert layers[0] == layers[1]


def cycles(run: Run) -> float:
    return run.cycles


def read(run: Run) -> float:
    return float(run.report["dram_read_bytes"])


def written(run: Run) -> float:
    return float(run.report["dram_write_bytes"])


def refetched(run: Run) -> float:
    return float(run.report["memory"]["refetched_bytes"])


def used(run: Run) -> float:
    return float(run.report["array_utilization"])


def floor_ratio(run: Run) -> float:
    return run.cycles / float(run.report["layer_floor_cycles"])


def busy(run: Run) -> float:
    return run.share("MATRIX", "busy")


def matrix_waits(run: Run) -> float:
    return run.share("MATRIX", "wait_load")


def matrix_empty(run: Run) -> float:
    return run.share("MATRIX", "empty")


def load_waits(run: Run) -> float:
    return run.share("LOAD", "wait_matrix")


# What the page says: (model, before, after, figure, at least so many times, at most).
SAID: list[tuple[str, str, str, Callable[[Run], float], float, float]] = [
    # Tiles of 7 positions on 16 rows.
    ("resnet50", "default", "flat", busy, 0.98, 1.02),
    ("resnet50", "default", "flat", used, 0, 0.95),
    ("resnet50", "default", "flat", cycles, 1.05, 2),
    ("resnet50", "default", "flat", refetched, 2, 9),
    # Four spatial tiles, each with all weights.
    ("bert_block", "default", "narrow", refetched, 1.5, 9),
    ("bert_block", "default", "narrow", cycles, 0.98, 1.04),
    ("bert_block", "default", "narrow", load_waits, 0, 0.8),
    # Inputs that stay, on a memory too small for it.
    ("resnet50", "ibuf_quarter", "ibuf_quarter_inputs", refetched, 1.5, 9),
    ("resnet50", "ibuf_quarter", "ibuf_quarter_inputs", cycles, 1.01, 2),
    ("resnet50", "ibuf_quarter", "ibuf_quarter_inputs", used, 0, 0.99),
    # An order that costs bytes, and time where the bus is narrow.
    ("bert_block", "default", "inputs", read, 1.2, 9),
    ("bert_block", "default", "inputs", cycles, 0.99, 1.02),
    ("bert_block", "dram_half", "dram_half_inputs", cycles, 1.05, 2),
    ("bert_block", "dram_half_inputs", "dram_half_weights", cycles, 0, 0.95),
    ("bert_block", "dram_half_inputs", "dram_half_weights", read, 0, 0.95),
    # Smaller buffers: bytes, hardly time.
    ("resnet50", "default", "ibuf_quarter", refetched, 1.3, 9),
    ("resnet50", "default", "ibuf_quarter", cycles, 1, 1.02),
    ("resnet50", "default", "ibuf_quarter", matrix_empty, 3, 999),
    ("resnet50", "default", "vmem_less", written, 1.02, 2),
    ("bert_block", "default", "ibuf_half", read, 1.2, 9),
    ("bert_block", "default", "ibuf_half", cycles, 0.98, 1.02),
    ("bert_block", "default", "vmem_half", refetched, 1.2, 9),
    # A narrower bus.
    ("bert_block", "default", "dram_half", matrix_waits, 5, 999),
    ("bert_block", "default", "dram_half", load_waits, 0, 0.8),
    ("bert_block", "default", "dram_half", cycles, 1.05, 2),
    ("resnet50", "default", "dram_half", cycles, 1.01, 1.1),
    ("bert_block", "dram_half", "dram_half_pieces", cycles, 0, 0.97),
    ("bert_block", "dram_half", "dram_half_pieces", read, 0.95, 1.05),
    ("bert_block", "dram_half", "dram_half_pieces", matrix_waits, 0, 0.5),
    ("resnet50", "dram_half", "dram_ibuf_half", cycles, 1.01, 2),
    # Fusion: the array stands idle, and the floor does not tell.
    ("resnet50", "default", "apart", matrix_empty, 10, 9999),
    ("resnet50", "default", "apart", written, 1.2, 9),
    ("resnet50", "default", "apart", cycles, 1.03, 2),
    ("resnet50", "default", "apart", floor_ratio, 0.99, 1.01),
    ("resnet50", "apart", "nofuse", cycles, 1.01, 2),
    ("bert_block", "default", "softmax", written, 1.5, 9),
    ("bert_block", "default", "softmax", matrix_empty, 2, 99),
    ("bert_block", "softmax", "nofuse", cycles, 1.01, 2),
]


@pytest.mark.parametrize(
    ("model", "before", "after", "figure", "least", "most"),
    SAID,
    ids=[f"{m}-{a}-{b}-{f.__name__}" for m, a, b, f, _, _ in SAID],
)
def test_what_the_page_says(
    model: str,
    before: str,
    after: str,
    figure: Callable[[Run], float],
    least: float,
    most: float,
) -> None:
    was, now = (figure(NAMED[model, name]) for name in (before, after))
    assert least * was <= now <= most * was, f"{was} -> {now}"


def test_figures_on_the_page_hold() -> None:
    text = PAGE.read_text()
    outdated = page.outdated(text, page.fill(text, RUNS, FOLDER / "overrides"))
    assert not outdated, "\n".join(
        ["docs/tutorial.md: figures must be the runs', run",
         "  ./bazelw run //benchmarks/tutorial -- --update", "and read what stands around:",
         *outdated]
    )  # fmt: skip


def test_a_figure_that_no_longer_holds_is_found() -> None:
    text = PAGE.read_text()
    for old, new in (
        (" 1.000 |", " 1.030 |"), ("waiting for LOAD", "waiting for STORE"),
        ("tile_height: 1 ", "tile_height: 2 "),
    ):  # fmt: skip
        changed = text.replace(old, new)
        assert changed != text
        found = page.outdated(changed, page.fill(text, RUNS, FOLDER / "overrides"))
        assert any(new.strip("| ") in line for line in found)


def test_no_figure_of_a_run_is_typed_beside_the_blocks() -> None:
    """Outside blocks and commands: no megabytes, no millions, no shares but the test's own."""
    prose = re.sub(r"<!-- made: .*?<!-- end -->|```.*?```|to [25] %", "", PAGE.read_text(), flags=re.S)
    assert not re.findall(r"\d[\d.,]*\s?(?:%|MB|M\b|k\b|million)|\d\.\d+ (?:x|times)", prose)


def test_the_picture_and_the_table_are_of_all_variants(tmp_path: pathlib.Path) -> None:
    out = tmp_path / "variants.html"
    assert tutorial.main(["--runs", str(FOLDER), "--html", str(out)]) == 0
    text = out.read_text()
    assert text.count("<rect") == len(RUNS)
    assert all(f"<td>{run.model} {run.name}</td>" in text for run in RUNS)


@pytest.mark.parametrize(
    ("report", "message"),
    [
        (None, "must be a report, got No such file or directory; check the path"),
        ("[]", "must be a report of `run` or `profile`, got none"),
        ('{"model": "lenet", "cycles": 1}', "model must be one of bert_block, resnet50, got lenet"),
        ('{"model": "resnet50", "cycles": 0, "error": ""}', "must have cycles, got none; run it "
         "with --backend perf or rtl, func has no time"),
    ],
)  # fmt: skip
def test_a_report_that_cannot_be_added(
    report: str | None, message: str, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "mine.json"
    if report is not None:
        path.write_text(report)
    with pytest.raises(UserError) as error:
        figures.read_own(path, RUNS)
    assert error.value.lines == (f"--add {path}: {message}",)


SHIM = """#!/bin/bash
# bazelw as the page calls it, with what Bazel would build already there.
case "$1 $2" in
  "build "*) exit 0 ;;
  "run //:jacquard") shift 3; exec {jacquard} "$@" ;;
  "run //benchmarks/tutorial") shift 3; exec {tutorial} "$@" ;;
esac
echo "bazelw $*: not known here" >&2; exit 1
"""


def test_the_commands_of_the_page_run_as_they_stand(tmp_path: pathlib.Path) -> None:
    """Every `sh` block, in order, in a folder of its own."""
    here = pathlib.Path.cwd()
    shim = tmp_path / "bazelw"
    tools = {name: here / os.environ[name.upper()] for name in ("jacquard", "tutorial")}
    shim.write_text(SHIM.format(**tools))
    shim.chmod(0o755)
    models = here / os.environ.get("MODELS", "benchmarks")
    for link, target in (("proto", here / "proto"), ("bazel-bin/benchmarks", models)):
        (tmp_path / link).parent.mkdir(exist_ok=True)
        (tmp_path / link).symlink_to(target)
    blocks = re.findall(r"^( *)```sh\n(.*?)^ *```", PAGE.read_text(), re.S | re.M)
    assert len(blocks) >= 6
    done = ""
    environment = dict(os.environ) | {"BUILD_WORKING_DIRECTORY": str(tmp_path)}
    for indent, block in blocks:
        script = "\n".join(line.removeprefix(indent) for line in block.splitlines())
        if "--update" in script:
            continue
        made = subprocess.run(
            ["bash", "-ec", script], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert made.returncode == 0, f"{script}\n{made.stdout[-2000:]}{made.stderr[-2000:]}"
        done += made.stdout
    # What the page promises of them.
    assert json.loads((tmp_path / "mine.json").read_text())["cycles"] > 0
    assert re.search(r"\| resnet50 mine +\|", done)
    assert "MaxPool" in (tmp_path / "small16.txt").read_text()
    assert "DRAM x 2" in done and "buffers x 2" in done
    tuned = json.loads((tmp_path / "tuned.json").read_text())["cycles"]
    assert 0 < tuned <= NAMED["bert_block", "dram_half"].cycles
    assert re.search(r"\| bert_block tuned +\|", done)
    explored = json.loads((tmp_path / "vmem/explore.json").read_text())["configurations"]
    by_size = {entry["values"]["vmem_bytes"]: entry for entry in explored}
    assert by_size[24 * 1024]["cycles"]["resnet50"] > by_size[48 * 1024]["cycles"]["resnet50"]
    assert by_size[40 * 1024]["cycles"]["resnet50"] == NAMED["resnet50", "vmem_less"].cycles
    assert by_size[48 * 1024]["cycles"]["resnet50"] == NAMED["resnet50", "default"].cycles
    for name in ("variants.html", "default.html", "slow16.html", "slow16.json.gz", "small16.svg"):
        assert (tmp_path / name).stat().st_size > 0
