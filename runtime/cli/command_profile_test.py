"""`jacquard profile`: the three backends say the same; bad input; what a failed run leaves."""

from __future__ import annotations

import json
import pathlib

import onnx
import pytest

from jacquard.runtime.api.session import DeviceError, Session
from jacquard.runtime.cli import main
from jacquard.runtime.cli.entry import guarded
from jacquard.runtime.profile.sample import quantized


@pytest.fixture(name="model")
def a_model(tmp_path: pathlib.Path) -> str:
    onnx.save(quantized(), tmp_path / "sample.qdq.onnx")
    return f"--model={tmp_path}/sample.qdq.onnx"


def profiled(tmp_path: pathlib.Path, model: str, backend: str) -> dict:
    report = tmp_path / f"{backend}.json"
    arguments = [model, "--config=nano4", f"--backend={backend}", f"--report={report}"]
    files = [f"--html={tmp_path}/{backend}.html", f"--trace={tmp_path}/{backend}.json.gz"]
    assert guarded(main.main, ["profile", *arguments, *files]) == 0
    return json.loads(report.read_text())


def test_backends_say_the_same(model, tmp_path, capsys) -> None:  # noqa: ANN001
    """The cycle model is held to RTL elsewhere; what the profile makes of them is alike."""
    rtl, perf, func = (profiled(tmp_path, model, name) for name in ("rtl", "perf", "func"))
    assert [one["backend"] for one in (rtl, perf, func)] == ["rtl", "perf", "func"]
    assert [one["timed_by"] for one in (rtl, perf, func)] == ["rtl", "perf", "perf"]
    assert func["cycles"] == perf["cycles"] == pytest.approx(rtl["cycles"], rel=0.02)
    assert func["layers"] == perf["layers"]
    for mine, theirs in zip(rtl["layers"], perf["layers"], strict=True):
        assert mine["bound"] == theirs["bound"], mine["name"]
        assert mine["relief_cycles"] == theirs["relief_cycles"]
        for engine, buckets in mine["engines"].items():
            for bucket, cycles in buckets.items():
                other = theirs["engines"][engine][bucket]
                assert other == pytest.approx(cycles, abs=0.05 * mine["cycles"]), (engine, bucket)
    for engine in rtl["engines"].values():
        assert sum(engine.values()) == rtl["cycles"]
    assert rtl["reliefs"] == perf["reliefs"] and len(rtl["reliefs"]) >= 5
    assert capsys.readouterr().out.count("bound by") >= 3
    for name in ("rtl", "perf", "func"):
        assert (tmp_path / f"{name}.html").stat().st_size > 10_000
        assert (tmp_path / f"{name}.json.gz").stat().st_size > 1_000


@pytest.mark.parametrize(
    "argv,word",
    [
        ([], "must have a file to write, got none; give --html, --trace or --report"),
        (["--html=nowhere/p.html"], "must be a file that can be written, got no folder nowhere"),
        (["--trace=nowhere/t"], "must be a file that can be written, got no folder nowhere"),
        (["--html=."], "must be a file that can be written, got a folder"),
        (["--html=p.html", "--config=edge17"], "edge17"),
        (["--html=p.html", "--simulator=s"], "--simulator: must come with --backend=rtl"),
        (["--html=p.html", "--program=none.npu"], "none.npu: program file does not exist"),
        (["--html=p.html", "--nofuse", "--program=p.npu"], "must be given to `compile`"),
        (["--html=p.html", "--argument=position=x"], "position must be an integer, got x"),
        (["--html=p.html", "--input=z=z.npy"], "z must be an input"),
    ],
)
def test_bad_input(argv, word, model, tmp_path, monkeypatch, capsys) -> None:  # noqa: ANN001
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert guarded(main.main, ["profile", model, *argv]) == 1
    error = capsys.readouterr().err
    assert word in error and all(line.startswith("error: ") for line in error.splitlines())
    assert sorted(tmp_path.iterdir()) == before


def test_a_failed_run_says_what_is_missing(
    model: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys  # noqa: ANN001
) -> None:
    """As where the machine stops with an error."""
    said = "device: run stopped with DRAM_READ at instruction 7 in layer first (cycle 200)"

    def stop(*_: object, **__: object) -> None:
        raise DeviceError(said)

    monkeypatch.setattr(Session, "run", stop)
    files = [f"--{flag}={tmp_path}/{flag}" for flag in ("html", "trace", "report")]
    assert guarded(main.main, ["profile", model, "--config=nano4", "--backend=perf", *files]) == 1
    assert said in capsys.readouterr().err
    page = (tmp_path / "html").read_text()
    assert said in page and "So there are no cycles" in page
    assert json.loads((tmp_path / "report").read_text())["error"] == said
    assert json.loads((tmp_path / "trace").read_text())["otherData"]["problem"] == said
