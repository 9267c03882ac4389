"""Graphs that a quantizer of ours never makes but others do, and what the reference refuses."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from jacquard.benchmarks.models.seeded import SeededStream, seeded_inputs
from jacquard.proto.lib.errors import UserError
from jacquard.sim.reference.against_ort import compare
from jacquard.sim.reference.interpreter import digest, run_reference

HEADER = '<ir_version: 10, opset_import: ["" : 21]>'
X = "float[1,8,14,14] x"
QUANTIZE_X = "qx = QuantizeLinear(x, sx, zx) dx = DequantizeLinear(qx, sx, zx)"
CONSTANTS: dict[str, Any] = {
    "sx": np.float32(0.02), "zx": np.uint8(120),
    "sb": np.float32(0.031), "zb": np.int8(-9),
    "sy": np.float32(0.043), "zy": np.uint8(77), "z0": np.uint8(0), "zi": np.int8(3),
    "w": np.round(SeededStream(1).normal((8, 8, 3, 3)) * 30).astype(np.int8),
    "sw": np.linspace(0.001, 0.004, 8).astype(np.float32), "zw": np.zeros(8, np.int8),
    "bias": np.round(SeededStream(2).normal((8,)) * 9000).astype(np.int32),
    "sbias": (np.float32(0.02) * np.linspace(0.001, 0.004, 8).astype(np.float32)),
    "zbias": np.zeros(8, np.int32),
    "fbias": SeededStream(3).normal((8,)),
    "low": np.float32(-0.33), "high": np.float32(1.17), "six": np.float32(6.0),
    "huge": np.float32(3.4e38), "on_grid": np.float32(-0.32),
    "per_channel": SeededStream(4).normal((8, 1, 1)),
    "gamma": SeededStream(5).normal((8,)) * np.float32(0.5), "beta": SeededStream(6).normal((8,)),
    "mean": SeededStream(7).normal((8,)), "var": np.linspace(0.3, 2, 8).astype(np.float32),
    "dead": np.array([0, 1, 1, 1, 1, 1, 1, 1], np.float32),
    "w16": np.round(SeededStream(8).normal((8, 8, 1, 1)) * 9000).astype(np.int16),
    "zw16": np.int16(0), "sw16": np.float32(1e-4),
}
WEIGHTS = "dw = DequantizeLinear<axis = 0>(w, sw, zw)"
INT_BIAS = "db = DequantizeLinear<axis = 0>(bias, sbias, zbias)"
CONV = f"{QUANTIZE_X} {WEIGHTS} {INT_BIAS} c = Conv<pads = [1,1,1,1]>(dx, dw, db)"
SECOND = "qb = QuantizeLinear(x, sb, zb) db2 = DequantizeLinear(qb, sb, zb)"
OUT = "y = QuantizeLinear({0}, sy, zy)"

CASES = {
    "conv_relu": f"{CONV} r = Relu(c) {OUT.format('r')}",
    "conv_clip": f"{CONV} r = Clip(c, low, six) {OUT.format('r')}",
    "conv_leaky_relu": f"{CONV} r = LeakyRelu<alpha = 0.2>(c) {OUT.format('r')}",
    "conv_batch_norm": f"{CONV} r = BatchNormalization(c, gamma, beta, mean, var) "
                       f"{OUT.format('r')}",
    "conv_max_pool": f"{CONV} r = Relu(c) p = MaxPool<kernel_shape = [3,3], strides = [2,2], "
                     f"pads = [1,1,1,1]>(r) {OUT.format('p')}",
    "conv_relu_average": f"{CONV} r = Relu(c) p = AveragePool<kernel_shape = [3,3], "
                         f"pads = [1,1,1,1]>(r) {OUT.format('p')}",
    "conv_residual_relu": f"{CONV} {SECOND} a = Add(c, db2) r = Relu(a) {OUT.format('r')}",
    "conv_float_bias": f"{QUANTIZE_X} {WEIGHTS} c = Conv<pads = [1,1,1,1]>(dx, dw, fbias) "
                       f"{OUT.format('c')}",
    "conv_16_bit_weights": f"{QUANTIZE_X} dw = DequantizeLinear(w16, sw16, zw16) "
                           f"c = Conv(dx, dw) {OUT.format('c')}",
    "add_relu": f"{QUANTIZE_X} {SECOND} a = Add(dx, db2) r = Relu(a) {OUT.format('r')}",
    "sub_to_int8": f"{QUANTIZE_X} {SECOND} a = Sub(db2, dx) y = QuantizeLinear(a, sb, zi)",
    "add_add": f"{QUANTIZE_X} {SECOND} a = Add(dx, db2) b = Add(a, dx) {OUT.format('b')}",
    "add_float_constant": f"{QUANTIZE_X} a = Add(dx, per_channel) {OUT.format('a')}",
    "constant_minus": f"{QUANTIZE_X} a = Sub(per_channel, dx) {OUT.format('a')}",
    "mul_float_constant": f"{QUANTIZE_X} a = Mul(dx, per_channel) {OUT.format('a')}",
    "batch_norm_dead_gain": f"{QUANTIZE_X} a = BatchNormalization(dx, dead, beta, mean, var) "
                            f"{OUT.format('a')}",
    "batch_norm_relu": f"{QUANTIZE_X} a = BatchNormalization(dx, gamma, beta, mean, var) "
                       f"r = Relu(a) {OUT.format('r')}",
    "clip_between_grids": f"{QUANTIZE_X} a = Clip(dx, low, high) {OUT.format('a')}",
    "clip_unbounded": f"{QUANTIZE_X} r = Clip(dx, on_grid, huge) a = Add(r, dx) {OUT.format('a')}",
    "requantize": f"{QUANTIZE_X} {OUT.format('dx')}",
    "same_grid": f"{QUANTIZE_X} y = QuantizeLinear(dx, sx, zx)",
    "relu_then_add": f"{QUANTIZE_X} {SECOND} r = Relu(db2) a = Add(dx, r) {OUT.format('a')}",
    "mul_to_int8": f"{QUANTIZE_X} {SECOND} a = Mul(dx, db2) y = QuantizeLinear(a, sb, zb)",
    "concat_scales": f"{QUANTIZE_X} {SECOND} a = Concat<axis = 2>(dx, db2, dx) {OUT.format('a')}",
    "concat_transpose": f"{QUANTIZE_X} {SECOND} a = Concat<axis = 1>(dx, db2) "
                        f"t = Transpose<perm = [0,3,1,2]>(a) {OUT.format('t')}",
    "global_mean": f"{CONV} r = Relu(c) p = GlobalAveragePool(r) f = Flatten(p) "
                   f"{OUT.format('f')}",
    "move_before_quantize": f"t = Transpose(x) q = QuantizeLinear(t, sx, zx) "
                            f"d = DequantizeLinear(q, sx, zx) {OUT.format('d')}",
}


BROKEN: dict[str, Any] = {
    "fw": np.ones((8, 8, 1, 1), np.float32), "nan": np.float32("nan"), "tiny": np.float32(1e-30),
}


def model_of(
    body: str, output: str = "uint8[] y", constants: dict[str, Any] = CONSTANTS
) -> onnx.ModelProto:
    """A model of opset 21 in onnx.parser's notation, with the constants that it names."""
    text = f"{HEADER} g ({X}) => ({output}) {{ {body} }}"
    model: onnx.ModelProto = parser.parse_model(text)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    for name, value in constants.items():
        if any(name in node.input for node in model.graph.node):
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    if output.startswith("uint8"):
        last = model.graph.node[-1].input[2]
        model.graph.output[0].type.tensor_type.elem_type = (
            onnx.TensorProto.INT8 if CONSTANTS[last].dtype == np.int8 else onnx.TensorProto.UINT8
        )
    return model


@pytest.mark.parametrize("name", CASES)
def test_graph(name: str) -> None:
    model = model_of(CASES[name])
    result = compare(model, seeded_inputs(model, 1))
    print(f"{name}: {result}")
    assert result.compared > 0 and result.accepted, result


def test_result_names_tensors_outputs_and_digests() -> None:
    model = model_of(f"{QUANTIZE_X} y = Relu(dx)", "float[] y")
    x = seeded_inputs(model, 1)
    result = run_reference(model, x)
    assert list(result.tensors) == ["qx"] and not result.integer_outputs
    assert result.tensors["qx"].dtype == np.uint8 and result.tensors["qx"].shape == (1, 8, 14, 14)
    assert result.digests["qx"] == digest(np.asfortranarray(result.tensors["qx"]))
    assert result.outputs["y"].dtype == np.float32 and result.outputs["y"].min() == 0.0


def test_integers_behind_a_dequantized_output() -> None:
    model = model_of(f"{QUANTIZE_X} qy = QuantizeLinear(dx, sy, zy) "
                     "y = DequantizeLinear(qy, sy, zy)", "float[] y")
    result = run_reference(model, seeded_inputs(model, 1))
    integers = result.integer_outputs["y"].astype(np.float32)
    assert (result.outputs["y"] == (integers - 77) * CONSTANTS["sy"]).all()


def test_all_unknown_operators_are_named() -> None:
    model = model_of(f"{QUANTIZE_X} a = CumSum(dx, axis) b = Det(a) {OUT.format('b')}")
    with pytest.raises(UserError) as error:
        run_reference(model, seeded_inputs(model, 1))
    assert len(error.value.lines) == 2
    assert "got CumSum" in error.value.lines[0] and "got Det" in error.value.lines[1]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (f"a = Conv(x, fw) {OUT.format('a')}", "must come from a DequantizeLinear"),
        (f"{CONV} {SECOND} a = Add(c, db2) b = MaxPool<kernel_shape = [2,2]>(a) "
         f"{OUT.format('b')}", "sum that no QuantizeLinear has read"),
        (f"{CONV} b = Conv(c, dw) {OUT.format('b')}", "activations must have one scale"),
        ("q = QuantizeLinear(x, nan, zx) d = DequantizeLinear(q, sx, zx) "
         f"{OUT.format('d')}", "scales must be finite and positive"),
        (f"{QUANTIZE_X} y = QuantizeLinear(dx, tiny, zx)", "must be at most"),
    ],
)
def test_refusals(body: str, message: str) -> None:
    with_bad = model_of(body, constants=CONSTANTS | BROKEN)
    with pytest.raises(UserError, match=message):
        run_reference(with_bad, seeded_inputs(with_bad, 1))


def test_wrong_inputs_are_all_named() -> None:
    model = model_of(f"{QUANTIZE_X} {OUT.format('dx')}")
    with pytest.raises(UserError) as error:
        run_reference(model, {"z": np.zeros(3, np.float32)})
    assert error.value.lines == (
        "input z: must be one of x; rename it", "input x: must be given, got none; add it",
    )
    with pytest.raises(UserError, match="must be float32, got float64"):
        run_reference(model, {"x": np.zeros((1, 8, 14, 14))})
    with pytest.raises(UserError, match=r"must have shape \(1, 8, 14, 14\), got \(1, 8\)"):
        run_reference(model, {"x": np.zeros((1, 8), np.float32)})
