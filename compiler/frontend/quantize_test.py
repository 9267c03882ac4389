"""Calibration: what comes out, and what is refused."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from jacquard.benchmarks.models.seeded import SeededStream, calibration_batches
from jacquard.compiler.frontend import quantize
from jacquard.compiler.frontend.import_model import import_model
from jacquard.compiler.frontend.quantize import check_scales, is_quantized, quantize_model
from jacquard.proto.lib.errors import UserError


def small() -> onnx.ModelProto:
    text = """<ir_version: 9, opset_import: ["" : 18]> g (float[1,4,8,8] x) => (float[1,6,8,8] y) {
      c = Conv<pads = [1,1,1,1]>(x, w, b)
      y = Relu(c)
    }"""
    model = parser.parse_model(text)
    for name, shape in (("w", (6, 4, 3, 3)), ("b", (6,))):
        values = SeededStream(len(shape)).normal(shape)
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    return import_model(model.SerializeToString())


def test_format() -> None:
    model = small()
    assert not is_quantized(model)
    quantized = quantize_model(model, calibration_batches(model, 0, 2))
    assert is_quantized(quantized)
    tensors = {t.name: numpy_helper.to_array(t) for t in quantized.graph.initializer}
    types = {name: value.dtype for name, value in tensors.items()}
    assert types["w_quantized"] == np.int8 and types["b_quantized"] == np.int32
    assert tensors["w_scale"].shape == (6,)
    assert types["x_zero_point"] == np.uint8
    assert "Relu" not in [node.op_type for node in quantized.graph.node]  # it is in y's range


def test_weights_of_four_bits() -> None:
    """A scale per output channel that takes its largest weight to 7, and biases on that scale."""
    model = small()
    weights = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    quantized = quantize_model(model, calibration_batches(model, 0, 2), weight_bits=4)
    made = {t.name: numpy_helper.to_array(t) for t in quantized.graph.initializer}
    scale = np.abs(weights["w"]).max(axis=(1, 2, 3)) / 7
    np.testing.assert_allclose(made["w_scale"], scale, rtol=1e-6)
    expected = np.rint(weights["w"] / made["w_scale"][:, None, None, None])
    np.testing.assert_array_equal(made["w_quantized"], expected)
    step = made["w_scale"] * made["x_scale"]
    assert np.all(np.abs(made["b_quantized"] * step - weights["b"]) <= 0.51 * step)


def test_functions_are_quantized_and_their_constants_are_not() -> None:
    text = """<ir_version: 9, opset_import: ["" : 18]> g (float[1,4,8,8] x) => (float[1,4,8,8] y)
      <float bound = {0.5}, float exponent = {3.0}> {
      a = HardSigmoid(x)
      b = Max(a, bound)
      c = Pow(b, exponent)
      y = Exp(c)
    }"""
    model = import_model(parser.parse_model(text).SerializeToString())
    quantized = quantize_model(model, calibration_batches(model, 0, 2))
    made = {node.output[0]: node.op_type for node in quantized.graph.node}
    for node in quantized.graph.node:
        if node.op_type in quantize.FUNCTIONS:
            assert made[node.input[0]] == "DequantizeLinear"
            assert any(r.op_type == "QuantizeLinear" and r.input[0] == node.output[0]
                       for r in quantized.graph.node)
    tensors = {tensor.name for tensor in quantized.graph.initializer}
    assert {"bound", "exponent"} <= tensors and "exponent_quantized" not in tensors


@pytest.mark.parametrize("method", ["minmax", "entropy", "percentile"])
def test_same_bytes_each_time(method: str) -> None:
    model = small()
    first, second = (
        quantize_model(model, calibration_batches(model, 0, 4), method) for _ in range(2)
    )
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(
        deterministic=True
    )


def test_a_quantized_model_is_taken_as_it_is() -> None:
    model = small()
    quantized = quantize_model(model, calibration_batches(model, 0, 2))
    assert quantize_model(quantized, []) is quantized


@pytest.mark.parametrize("bad", [np.inf, np.nan, 0.0, -1.0, 2.7e36])
def test_absurd_scales_are_refused(bad: float) -> None:
    model = small()
    quantized = quantize_model(model, calibration_batches(model, 0, 2))
    for tensor in quantized.graph.initializer:
        if tensor.name in ("x_scale", "w_scale"):
            scale = numpy_helper.to_array(tensor).copy()
            scale.reshape(-1)[0] = bad
            tensor.CopyFrom(numpy_helper.from_array(scale, tensor.name))
    with pytest.raises(UserError) as error:
        check_scales(quantized)
    assert [line.split(",")[0] for line in error.value.lines] == [
        "tensor w_quantized: scale must be finite", "tensor x: scale must be finite",
    ]


def test_a_mask_taken_for_data_is_refused() -> None:
    text = """<ir_version: 9, opset_import: ["" : 18]> g (float[1,8] x) => (float[1,8] y) {
      y = Add(x, mask)
    }"""
    model = parser.parse_model(text)
    mask = np.array([0, -3.4e38, 0, 0, 0, 0, 0, -3.4e38], np.float32)
    model.graph.initializer.append(numpy_helper.from_array(mask, "mask"))
    model = import_model(model.SerializeToString())
    with pytest.raises(UserError, match="keep a mask's constant out of the quantized part"):
        quantize_model(model, calibration_batches(model, 0, 2))


def test_calibration_data_is_checked() -> None:
    model = small()
    with pytest.raises(UserError, match="must have at least one sample, got none"):
        quantize_model(model, [])
    good = np.zeros((1, 4, 8, 8), np.float32)
    with pytest.raises(UserError) as error:
        quantize_model(model, [{"z": good}, {"x": good[0]}, {"x": good * np.nan}])
    assert len(error.value.lines) == 4
    assert "got x missing" in str(error.value) and "got z no input" in str(error.value)
    assert "must have shape [1, 4, 8, 8], got [4, 8, 8]" in str(error.value)
    assert "must be finite, got NaN" in str(error.value)
    with pytest.raises(UserError, match="must be one of minmax, entropy, percentile, got magic"):
        quantize_model(model, [{"x": good}], "magic")


@pytest.mark.parametrize("form", ["8 bits", "mixed"])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (InvalidArgument("[Error] : 2 : no\nsecond line"), "[Error] : 2 : no"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_onnxruntime_fails(
    form: str, error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(quantize, "wants_plan", lambda _: form == "mixed")
    monkeypatch.setattr(quantize, "quantize_mixed" if form == "mixed" else "quantize_static", fail)
    model = small()
    with pytest.raises(UserError) as caught:
        quantize_model(model, calibration_batches(model, 0, 1))
    assert caught.value.lines == (
        f"quantization: onnxruntime must be able to calibrate the model, got: {said}; check the "
        "model and its calibration data",
    )
    assert caught.value.__cause__ is error


def test_calibration_keeps_the_terminal_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    model = small()
    model.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float32), "unused"))
    quantize_model(model, calibration_batches(model, 0, 1))
    assert capfd.readouterr() == ("", "")
