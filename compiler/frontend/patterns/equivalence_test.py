"""What the rewrites' tests share: a model from text; before against after in onnxruntime."""

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper, parser

from jacquard.benchmarks.models.seeded import seeded_inputs
from jacquard.compiler.frontend.import_model import import_model

Arrays = dict[str, np.ndarray]


def model_of(text: str, opset: str = 'opset_import: ["" : 20]', **tensors: np.ndarray
             ) -> onnx.ModelProto:
    model: onnx.ModelProto = parser.parse_model(f"<ir_version: 10, {opset}> g {text}")
    model.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in tensors.items())
    return model


def operators(model: onnx.ModelProto) -> list[str]:
    return sorted(node.op_type for node in model.graph.node)


def run(model: onnx.ModelProto, inputs: Arrays) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    results: list[np.ndarray] = session.run(None, inputs)
    return results


def assert_same(model: onnx.ModelProto, inputs: Arrays | None = None) -> onnx.ModelProto:
    """Imports and compares results, on seeded inputs if none are given; the imported model."""
    imported = import_model(model.SerializeToString())
    trials = [inputs] if inputs is not None else [seeded_inputs(imported, seed) for seed in (1, 2)]
    for trial in trials:
        before, after = run(model, trial), run(imported, trial)
        for left, right in zip(before, after, strict=True):
            np.testing.assert_allclose(left, right, rtol=2e-5, atol=2e-6)
    return imported


def test_a_difference_is_noticed() -> None:
    model = model_of("(float[2,3] x) => (float[2,3] y) { y = Relu(x) }")
    inputs = {"x": np.array([[1, -1, 2], [3, -4, 5]], np.float32)}
    assert (run(assert_same(model, inputs), inputs)[0] == np.maximum(inputs["x"], 0)).all()
