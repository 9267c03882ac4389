"""`jacquard quantize` of a user's own prefill and decode step, and what can be wrong with them."""

from __future__ import annotations

import pathlib

import numpy as np
import onnx
import pytest

from jacquard.benchmarks.generation.tiny_pair import float_pair, quantized_pair
from jacquard.benchmarks.models.seeded import calibration_batches
from jacquard.compiler.frontend.import_model import import_model
from jacquard.runtime.cli import main
from jacquard.runtime.cli.entry import guarded

SAMPLES = 4  # those that `quantized_pair` has


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """prefill.onnx and decode.onnx in float, and a folder of calibration data for each."""
    made = tmp_path_factory.mktemp("own")
    for name, model in zip(("prefill", "decode"), float_pair(), strict=True):
        onnx.save(model, made / f"{name}.onnx")
        (made / name).mkdir()
        imported = import_model(model.SerializeToString())
        for index, sample in enumerate(calibration_batches(imported, 0, SAMPLES)):
            np.savez(made / name / f"{index}.npz", **sample)
    return made


def quantize(folder: pathlib.Path, name: str, *argv: str) -> int:
    flags = [f"--model={folder}/{name}.onnx", f"--calibration={folder}/{name}"]
    return guarded(main.main, ["quantize", *flags, *argv])


def test_a_pair_of_ones_own_generates(
    folder: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prefill, decode = tmp_path / "p.qdq.onnx", tmp_path / "d.qdq.onnx"
    assert quantize(folder, "prefill", f"--output={prefill}") == 0
    assert quantize(folder, "decode", f"--like={prefill}", f"--output={decode}") == 0
    assert "tensors quantized" in capsys.readouterr().out
    for path, model in zip((prefill, decode), quantized_pair(), strict=True):
        assert path.read_bytes() == model.SerializeToString(deterministic=True)
    argv = [f"--prefill={prefill}", f"--decode={decode}", "--config=nano4", "--prompt-ids=17,400"]
    assert guarded(main.main, ["generate", *argv, "--tokens=3", "--check"]) == 0
    assert "bit-exact with the integer reference" in capsys.readouterr().out


def test_smooth_quant_by_choice(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    plain, smooth = tmp_path / "plain.onnx", tmp_path / "smooth.onnx"
    assert quantize(folder, "prefill", f"--output={plain}") == 0
    assert quantize(folder, "prefill", "--smooth-quant=0.5", f"--output={smooth}") == 0
    assert plain.read_bytes() != smooth.read_bytes()


@pytest.mark.parametrize(
    "name,argv,message",
    [
        ("decode", ["--like={folder}/prefill.onnx"], "prefill.onnx: must be quantized (QDQ), got"),
        ("decode", ["--like={folder}/none.onnx"], "none.onnx: must be an ONNX file, got no such"),
        ("decode", ["--like={cut}"], "must give present.1.value as --model does; give the prefill"),
        ("classifier", ["--like={cut}"], "--like: must come with a decode step, which gives pres"),
        ("decode", ["--like={cut}", "--smooth-quant=0.5"], "must not come with --like, whose fac"),
        ("quantized", [], "must be a float model, got one that is quantized; run or compile it as"),
        ("prefill", ["--calibration={folder}/decode"], "must have exactly the inputs input_ids"),
        ("prefill", ["--calibration={folder}/none"], "must be a folder of .npz files, got no"),
        ("prefill", ["--calibration={tmp}"], "must hold .npz files, found none; one array"),
        ("prefill", ["--output={tmp}/none/q.onnx"], "must be a file that can be written, got no f"),
    ],
)
def test_what_does_not_fit(
    name: str,
    argv: list[str],
    message: str,
    folder: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cut, empty = tmp_path / "cut.qdq.onnx", tmp_path / "empty"
    empty.mkdir()
    model = onnx.ModelProto()
    model.CopyFrom(quantized_pair()[0])
    onnx.save(model, folder / "quantized.onnx")
    del model.graph.output[-1]
    onnx.save(model, cut)
    classifier = onnx.ModelProto()
    classifier.CopyFrom(float_pair()[0])
    del classifier.graph.output[1:]
    onnx.save(classifier, folder / "classifier.onnx")
    flags = [f.format(folder=folder, cut=cut, tmp=empty) for f in argv]
    assert quantize(folder, name, f"--output={tmp_path}/q.onnx", *flags) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines and all(line.startswith("error: ") for line in lines)
    assert message in lines[0]
    assert not (tmp_path / "q.onnx").exists()


def test_where_it_goes_must_be_given(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quantize(folder, "prefill") == 1
    assert "--output: a file for the quantized model must be given" in capsys.readouterr().err
