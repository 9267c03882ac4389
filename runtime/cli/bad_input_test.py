"""What a user gets wrong: one clear line each, a non-zero status, nothing written."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from jacquard.runtime.cli import main
from jacquard.runtime.cli.entry import guarded


def model(nodes, initializers=(), shape=(1, 4), outputs=("y",)) -> bytes:
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in initializers],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 10
    return made.SerializeToString()


def matmul(weights: np.ndarray, **kwargs) -> bytes:
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="product")
    return model([node], [("w", weights)], **kwargs)


GOOD = matmul(np.ones((4, 4), np.float32))
UNSUPPORTED = model(
    [
        helper.make_node("Det", ["x"], ["a"], name="first"),
        helper.make_node("Elu", ["x"], ["b"], name="second"),
        helper.make_node("Relu", ["x"], ["y"], name="fine"),
    ],
    shape=(4, 4),
    outputs=("a", "b", "y"),
)

MODELS = {
    "not onnx": (b"this is no model", ["ONNX"]),
    "empty": (b"", ["ONNX"]),
    "truncated": (GOOD[: len(GOOD) // 2], ["ONNX"]),
    "unsupported operators, all named": (UNSUPPORTED, ["Det", "first", "Elu", "second"]),
    "dimensions disagree": (matmul(np.ones((5, 4), np.float32)), ["product"]),
    "dynamic shape": (matmul(np.ones((4, 4), np.float32), shape=("batch", 4)), ["x", "batch"]),
    "NaN weights": (matmul(np.full((4, 4), np.nan, np.float32)), ["w", "NaN"]),
}


def run(tmp_path: pathlib.Path, capsys, *argv: str) -> tuple[int, str, list[str]]:
    before = {file.name for file in tmp_path.iterdir()}
    status = guarded(main.main, list(argv))
    error = capsys.readouterr().err
    return status, error, sorted({file.name for file in tmp_path.iterdir()} - before)


@pytest.mark.parametrize("name", MODELS)
def test_bad_model(name, tmp_path, capsys):
    content, words = MODELS[name]
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    report = tmp_path / "report.json"
    status, error, written = run(tmp_path, capsys, "run", f"--model={path}", f"--report={report}")
    assert status == 1
    lines = [line for line in error.splitlines() if not line.startswith("warning")]
    assert lines and all(line.startswith("error: ") for line in lines)
    for word in words:
        assert word in error
    assert written == []


def test_missing_model(tmp_path, capsys):
    status, error, written = run(tmp_path, capsys, "run", f"--model={tmp_path}/none.onnx")
    assert (status, written) == (1, [])
    assert "none.onnx" in error


@pytest.mark.parametrize(
    "argv,word",
    [
        (["run", "--config=edge17"], "edge17"),
        (["run", "--input=x=missing.npy"], "missing.npy"),
        (["run", "--input=z=missing.npy"], "z must be an input"),
        (["run", "--shape=x"], "NAME=VALUE"),
        (["compile"], "--output"),
    ],
)
def test_bad_argument(argv, word, tmp_path, capsys):
    path = tmp_path / "m.onnx"
    path.write_bytes(GOOD)
    status, error, written = run(tmp_path, capsys, argv[0], f"--model={path}", *argv[1:])
    assert (status, written) == (1, [])
    assert word in error
    assert error.splitlines()[-1].startswith("error: ")


def test_configuration_out_of_range_names_every_field(tmp_path, capsys):
    text = pathlib.Path("proto/arch/nano4.textproto").read_text()
    config = tmp_path / "mine.textproto"
    config.write_text(text.replace("rows: 4 ", "rows: 12 ").replace("queue_depth: 8", "queue_depth: 0"))
    (tmp_path / "m.onnx").write_bytes(GOOD)
    status, error, written = run(
        tmp_path, capsys, "compile", f"--model={tmp_path}/m.onnx", f"--config={config}",
        f"--output={tmp_path}/p.npu",
    )
    assert (status, written) == (1, [])
    assert "matrix.rows" in error and "12" in error
    assert "queue_depth" in error


def test_unknown_flag_and_command(tmp_path, capsys):
    assert run(tmp_path, capsys, "run", "--colour=red")[0] == 2
    status, error, _ = run(tmp_path, capsys, "fly")
    assert status == 2
    assert "run, compile" in error


def test_wrong_shape_and_dtype_of_an_input(tmp_path, capsys):
    path = tmp_path / "m.onnx"
    path.write_bytes(GOOD)
    np.save(tmp_path / "x.npy", np.ones((2, 2), np.float32))
    argv = ["run", f"--model={path}", f"--input=x={tmp_path}/x.npy"]
    status, error, _ = run(tmp_path, capsys, *argv)
    assert status == 1
    assert "shape must be [1, 4], got [2, 2]" in error


def test_program_is_refused_when_corrupted_or_of_another_machine(tmp_path, capsys):
    path, program = tmp_path / "m.onnx", tmp_path / "m.npu"
    path.write_bytes(GOOD)
    assert guarded(main.main, ["compile", f"--model={path}", f"--output={program}"]) == 0
    arguments = [f"--model={path}", f"--program={program}"]
    status, error, _ = run(tmp_path, capsys, "run", *arguments, "--config=nano4")
    assert status == 1
    assert "fingerprint" in error
    whole = program.read_bytes()
    for damaged in (whole[:-7], whole[:100] + bytes([whole[100] ^ 1]) + whole[101:], b""):
        program.write_bytes(damaged)
        status, error, _ = run(tmp_path, capsys, "run", *arguments)
        assert status == 1
        assert "recompile" in error


def test_dump_after_prints_the_pass(tmp_path, capsys):
    path = tmp_path / "m.onnx"
    path.write_bytes(GOOD)
    argv = ["compile", f"--model={path}", f"--output={tmp_path}/m.npu", "--dump-after=import"]
    assert guarded(main.main, argv) == 0
    assert "# after import" in capsys.readouterr().out


def test_a_good_model_runs(tmp_path, capsys):
    path = tmp_path / "m.onnx"
    path.write_bytes(GOOD)
    argv = ["run", f"--model={path}", f"--output-dir={tmp_path}/out", f"--report={tmp_path}/r.json"]
    assert guarded(main.main, argv) == 0
    assert np.load(tmp_path / "out" / "y.npy").shape == (1, 4)
