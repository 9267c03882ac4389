"""A model with a mask as input, from the command line: float ONNX to a report."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from jacquard.runtime.cli import main
from jacquard.runtime.cli.entry import guarded


@pytest.fixture
def model(tmp_path: pathlib.Path) -> pathlib.Path:
    """y = Softmax(x @ x^T + mask): x float[1, 8, 8], attention_mask int64[1, 8] of 1 and 0."""
    constants = {
        "axes": np.array([1], np.int64),
        "keep": np.float32(0),
        "drop": np.float32(-np.inf),
    }
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], name="transpose", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["x", "t"], ["logits"], name="product"),
        helper.make_node("Cast", ["attention_mask"], ["kept"], name="cast", to=TensorProto.BOOL),
        helper.make_node("Unsqueeze", ["kept", "axes"], ["rows"], name="rows"),
        helper.make_node("Where", ["rows", "keep", "drop"], ["mask"], name="choice"),
        helper.make_node("Add", ["logits", "mask"], ["masked"], name="add"),
        helper.make_node("Softmax", ["masked"], ["y"], name="softmax", axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 8]),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, [1, 8]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 8])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    path = tmp_path / "m.onnx"
    path.write_bytes(made.SerializeToString())
    return path


@pytest.mark.parametrize("config", ["nano4", "edge16"])
def test_masked_positions_get_nothing(
    config: str, model: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    mask = np.array([[1, 0, 1, 1, 0, 1, 0, 0]])
    np.save(tmp_path / "mask.npy", mask)
    argv = ["run", f"--model={model}", f"--config={config}", f"--output-dir={tmp_path}"]
    argv += [f"--report={tmp_path}/r.json", f"--input=attention_mask={tmp_path}/mask.npy"]
    assert guarded(main.main, argv) == 0
    y = np.load(tmp_path / "y.npy")
    assert (y[..., mask[0] == 0] == 0).all()
    np.testing.assert_allclose(y.sum(-1), 1, atol=0.01)
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["bit_exact"] and report["top1_match"]
    hosted = [line.split(": ")[1] for line in report["host_nodes"]]
    assert hosted == ["Cast", "Reshape", "Where"]  # the import makes every Unsqueeze a Reshape
    (output,) = report["outputs"]
    assert output["sqnr_db"] > 25 and output["elements"] == 64


@pytest.mark.parametrize(
    "mask,message",
    [
        (np.zeros((1, 8), int), "every row must keep at least one position, got row [0] masked"),
        (np.ones((1, 9), int), "shape must be [1, 8], got [1, 9]"),
        (np.ones((1, 8), np.float32), "dtype must be int64, got float32"),
    ],
    ids=["masked whole", "shape", "dtype"],
)
def test_wrong_masks(
    mask: np.ndarray,
    message: str,
    model: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.save(tmp_path / "mask.npy", mask)
    argv = ["run", f"--model={model}", f"--report={tmp_path}/r.json"]
    argv += [f"--input=attention_mask={tmp_path}/mask.npy"]
    assert guarded(main.main, argv) == 1
    assert f"error: input attention_mask: {message}" in capsys.readouterr().err
    assert not (tmp_path / "r.json").exists()
