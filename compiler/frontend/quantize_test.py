"""Calibration: what comes out, and what is refused."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from jacquard.benchmarks.models.seeded import SeededStream, calibration_batches
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
