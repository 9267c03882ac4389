"""--calibration-method: how ranges are found where calibration data has an outlier."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

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
