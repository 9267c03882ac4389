"""Calibration's flags: how ranges are found where data has an outlier; outliers in the weights."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from jacquard.runtime.cli import command_run, main, options
from jacquard.runtime.cli.entry import guarded

OUTLIER = 100.0


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, pathlib.Path]:
    """y = x @ w, and 64 samples of x: standard normal but for one element."""
    folder = tmp_path_factory.mktemp("calibration")
    weights = numpy_helper.from_array(np.full((4096, 4), 0.01, np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4096])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    samples = np.random.default_rng(1).standard_normal((64, 1, 4096)).astype(np.float32)
    samples[3, 0, 7] = OUTLIER
    (folder / "samples").mkdir()
    for index, sample in enumerate(samples):
        np.savez(folder / "samples" / f"{index:02d}.npz", x=sample)
    return path, folder / "samples"


@pytest.mark.parametrize(
    "method,smallest,largest",
    [
        (None, OUTLIER / 256, OUTLIER / 200),
        ("minmax", OUTLIER / 256, OUTLIER / 200),
        ("entropy", 4 / 256, OUTLIER / 200),
        ("percentile", 4 / 256, OUTLIER / 512),
    ],
)
def test_scale_of_the_input(method, smallest, largest, files):
    """minmax covers the outlier, percentile cuts it off.

    onnxruntime's entropy has as many bins as steps, so it keeps the whole range of few samples.
    """
    model, samples = files
    values = command_run.define_flags()
    argv = [f"--model={model}", f"--calibration={samples}"]
    argv += [f"--calibration-method={method}"] if method else []
    options.parse(values, "run", argv)
    qdq, _ = options.quantized(options.load_model(values), values)
    (scale,) = [
        float(numpy_helper.to_array(t)) for t in qdq.graph.initializer if t.name == "x_scale"
    ]
    assert smallest < scale < largest


def test_another_method_is_refused(files, capsys):
    argv = ["compile", f"--model={files[0]}", "--calibration-method=median"]
    assert guarded(main.main, argv) == 2
    assert "should be one of <minmax|entropy|percentile>" in capsys.readouterr().err


@pytest.fixture
def norm(tmp_path: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """A norm with one large channel and the layer behind it; samples of its input."""
    model = parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        g (float[1,8,16] x) => (float[1,8,16] y) {
          n = LayerNormalization(x, g, b) z = MatMul(n, w) y = Add(z, c) }""")
    large = np.where(np.arange(16) == 5, 80, 1).astype(np.float32)
    random = np.random.default_rng(2)
    values = {"g": large, "b": np.zeros(16), "c": np.zeros(16),
              "w": random.normal(size=(16, 16)) / large[:, None]}
    model.graph.initializer.extend(
        numpy_helper.from_array(v.astype(np.float32), k) for k, v in values.items())
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "samples").mkdir()
    sample = random.normal(size=(1, 8, 16)).astype(np.float32)
    np.savez(tmp_path / "samples" / "0.npz", x=sample)
    return tmp_path / "m.onnx", tmp_path / "samples"


def test_smoothing_is_by_choice(norm):
    scales = {}
    for choice in ([], ["--smooth-quant=0.5"]):
        values = command_run.define_flags()
        options.parse(values, "run", [f"--model={norm[0]}", f"--calibration={norm[1]}", *choice])
        qdq, _ = options.quantized(options.load_model(values), values)
        (scales[len(choice)],) = [
            float(numpy_helper.to_array(t)) for t in qdq.graph.initializer if t.name == "n_scale"
        ]
    assert scales[1] < scales[0] / 10


def test_smoothing_that_is_refused(norm, files, tmp_path, capsys):
    values = command_run.define_flags()
    options.parse(values, "run", [f"--model={norm[0]}", f"--calibration={norm[1]}"])
    qdq, _ = options.quantized(options.load_model(values), values)
    (tmp_path / "qdq.onnx").write_bytes(qdq.SerializeToString())
    cases = {
        "must be from 0 to 1, got 2": [f"--model={norm[0]}", f"--calibration={norm[1]}", "2"],
        "must be from 0 to 1, got nan": [f"--model={norm[0]}", f"--calibration={norm[1]}", "nan"],
        "must go with a float model": [f"--model={tmp_path}/qdq.onnx", "0.5"],
        "must be asked for of a transformer": [
            f"--model={files[0]}", f"--calibration={files[1]}", "0.5"],
    }
    for message, (*argv, share) in cases.items():
        output = tmp_path / "out.npu"
        argv = ["compile", *argv, f"--smooth-quant={share}", f"--output={output}"]
        assert guarded(main.main, argv) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert "smooth_quant: " in line and message in line
        assert not output.exists()
