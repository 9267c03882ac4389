"""Masks, indices, choices and exact elementwise operators in QDQ graphs, against onnxruntime."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from jacquard.proto.lib.errors import UserError
from jacquard.sim.reference.against_ort import compare, nonlinear_distances, run_onnxruntime
from jacquard.sim.reference.interpreter import run_reference, steps
from jacquard.sim.reference.value import AnyArray, Value

HEADER = '<ir_version: 10, opset_import: ["" : 21]>'
RNG = np.random.default_rng(5)
SCORES = np.clip(np.rint(RNG.normal(size=(2, 3, 6, 8)) * 400), -(2**15), 2**15 - 1)
INPUTS: dict[str, AnyArray] = {
    "a": SCORES.astype(np.int16),
    "b": np.rint(RNG.normal(size=(2, 3, 6, 8)) * 50).astype(np.int8),
    "keep": np.array([[1, 1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1, 0]], np.int64),
    "ids": np.array([[3, 0, -1], [6, 6, 2]], np.int64),
}
DECLARED = "int16[2,3,6,8] a, int8[2,3,6,8] b, int64[2,8] keep, int64[2,3] ids"
CONSTANTS: dict[str, AnyArray | np.generic] = {
    "sa": np.float32(0.005), "za": np.int16(0), "z16": np.int16(5),
    "sb": np.float32(0.07), "zb": np.int8(-4),
    "sy": np.float32(1 / 255), "zy": np.uint8(0), "so": np.float32(0.05), "zo": np.int8(3),
    "zero": np.float32(0), "low": np.float32(-3.4028235e38), "inf": np.float32("-inf"),
    "third": np.float32(1 / 3), "half": np.float32(0.5), "minus": np.float32(-1.25),
    "small_mask": np.float32(-100), "shape4": np.array([2, 1, 1, 8], np.int64),
    "wide_shape": np.array([2, 3, 6, 8], np.int64), "axes": np.array([-1], np.int64),
    "table": np.rint(RNG.normal(size=(7, 16)) * 9000).astype(np.int16), "st": np.float32(2e-4),
    "zt": np.int16(0), "i0": np.array(0, np.int64), "s16": np.float32(1e-3), "z32": np.int32(0),
    "zu16": np.uint16(0), "gain": np.ones(8, np.float32), "gain6": np.ones(6, np.float32),
    "cols": RNG.normal(size=4).astype(np.float32),
    "w": RNG.integers(-99, 99, (8, 4)).astype(np.int8),
    "sw": np.array([0.01, 0.02, 0.015, 0.007], np.float32), "zw": np.zeros(4, np.int8),
    "bias": RNG.integers(-9000, 9000, 4).astype(np.int32), "zbias": np.zeros(4, np.int32),
    "sbias": np.float32(0.07) * np.array([0.01, 0.02, 0.015, 0.007], np.float32),
    "minus_one": np.array([-1], np.int64), "eight": np.array([8], np.int64),
    "depth": np.array(8, np.int64), "one": np.array(1, np.int64),
}
A, B = "x = DequantizeLinear(a, sa, za)", "v = DequantizeLinear(b, sb, zb)"
MASK = "k = Cast<to = 9>(keep) r = Reshape(k, shape4)"
PROBABILITIES = "y = QuantizeLinear(p, sy, zy)"
OUT = "y = QuantizeLinear({0}, so, zo)"
W = "dw = DequantizeLinear<axis = 1>(w, sw, zw)"

EXACT = {
    "min_of_two_scales": f"{A} {B} m = Min(x, v) {OUT.format('m')}",
    "max_of_three": f"{A} {B} m = Max(v, x, v) {OUT.format('m')}",
    "max_with_a_constant": f"{B} m = Max(v, third) {OUT.format('m')}",
    "min_of_one_scale": f"{B} n = Neg(v) m = Min(v, n) {OUT.format('m')}",
    "neg": f"{B} m = Neg(v) {OUT.format('m')}",
    "abs": f"{A} m = Abs(x) {OUT.format('m')}",
    "neg_relu": f"{B} n = Relu(v) m = Neg(n) {OUT.format('m')}",
    "div_by_constant": f"{A} m = Div(x, minus) {OUT.format('m')}",
    "pow_2": f"{B} two = Constant<value_float = 2.0>() m = Pow(v, two) {OUT.format('m')}",
    "reduce_max": f"{A} m = ReduceMax(x, axes) {OUT.format('m')}",
    "reduce_min": f"{A} m = ReduceMin<keepdims = 0>(x, axes) {OUT.format('m')}",
    "reduce_sum": f"{A} m = ReduceSum(x, axes) {OUT.format('m')}",
    "where_two_scales": f"{A} {B} {MASK} m = Where(r, x, v) {OUT.format('m')}",
    "where_constant": f"{B} {MASK} m = Where(r, v, minus) {OUT.format('m')}",
    "where_greater": f"{B} c = Greater(v, half) m = Where(c, v, zero) {OUT.format('m')}",
    "where_less_or_equal": f"{B} n = Neg(v) c = LessOrEqual(v, n) m = Where(c, v, n) "
                           f"{OUT.format('m')}",
    "expand_cast": f"{B} s = Slice(v, i1, i2, axes) e = Expand(s, wide_shape) c = Cast<to = 1>(e) "
                   f"{OUT.format('c')}".replace("i1, i2", "minus_one, eight"),
    "gather_rows": f"t = DequantizeLinear(table, st, zt) m = Gather(t, ids) {OUT.format('m')}",
    "gather_column": f"{A} m = Gather<axis = 1>(x, i0) {OUT.format('m')}",
    "matmul_bias": f"{B} {W} d = DequantizeLinear<axis = 0>(bias, sbias, zbias) "
                   f"m = MatMul(v, dw) n = Add(m, d) {OUT.format('n')}",
    "matmul_two_activations": f"{B} t = Transpose<perm = [0,1,3,2]>(v) m = MatMul(v, t) "
                              f"{OUT.format('m')}",
    "requantize_16_to_8": f"{A} {OUT.format('x')}",
    "quantize_to_16": f"{B} y = QuantizeLinear(v, s16, za)",
}
WHERE_MASK = f"{A} {MASK} s = Where(r, x, low) p = Softmax(s) {PROBABILITIES}"
SOFTMAX = {
    "plain": f"{A} p = Softmax(x) {PROBABILITIES}",
    "where": WHERE_MASK,
    "added": f"{A} {MASK} m = Where(r, zero, low) s = Add(x, m) p = Softmax(s) {PROBABILITIES}",
    "added_in_front": f"{A} {MASK} m = Where(r, zero, low) s = Add(m, x) p = Softmax(s) "
                      f"{PROBABILITIES}",
    "guarded": f"{A} {MASK} m = Where(r, zero, inf) s = Add(x, m) q = Softmax(s) n = IsNaN(q) "
               f"p = Where(n, zero, q) {PROBABILITIES}",
    "moved": f"{A} q = Softmax(x) t = Transpose<perm = [0,2,1,3]>(q) p = Reshape(t, minus_one) "
             f"{PROBABILITIES}",
    "causal": f"{A} t = Transpose<perm = [0,1,3,2]>(x) g = MatMul(x, t) "
              "h = QuantizeLinear(g, sa, za) j = DequantizeLinear(h, sa, za) "
              "n = Constant<value_ints = [6,6]>() "
              "f = ConstantOfShape<value = float[1] {-30000.0}>(n)"
              f" u = Trilu<upper = 1>(f, one) s = Add(j, u) p = Softmax(s) {PROBABILITIES}",
}


def model_of(body: str, dtype: int | None = None) -> onnx.ModelProto:
    """A model in onnx.parser's notation with the inputs and constants that it names."""
    text = f"{HEADER} g ({DECLARED}) => (int8[] y) {{ {body} }}"
    model: onnx.ModelProto = parser.parse_model(text)
    used = {name for node in model.graph.node for name in node.input}
    for i in reversed(range(len(model.graph.input))):
        if model.graph.input[i].name not in used:
            del model.graph.input[i]
    for name in sorted(used & set(CONSTANTS)):
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(CONSTANTS[name]), name))
    output = model.graph.output[0].type.tensor_type
    output.ClearField("shape")
    last = model.graph.node[-1]
    output.elem_type = dtype or (
        onnx.helper.np_dtype_to_tensor_dtype(np.asarray(CONSTANTS[last.input[2]]).dtype)
        if last.op_type == "QuantizeLinear" else onnx.TensorProto.FLOAT)
    return model


def inputs_of(model: onnx.ModelProto, **others: AnyArray) -> dict[str, AnyArray]:
    return {i.name: (INPUTS | others)[i.name] for i in model.graph.input}


@pytest.mark.parametrize("name", EXACT)
def test_exact_operator(name: str) -> None:
    model = model_of(EXACT[name])
    result = compare(model, inputs_of(model))
    pending = nonlinear_distances(model, inputs_of(model))
    print(name, result, pending)
    if pending:  # Min and Max of several scales: rounded like any other
        assert all(d.largest < 0.501 for d in pending.values())
    else:
        assert result.compared > 0 and result.accepted


def test_a_bias_of_columns_is_added_to_the_sums() -> None:
    """Of four dimensions by a matrix: one term, so that acc + bias goes under one multiplier."""
    model = model_of(EXACT["matmul_bias"])
    found = [step.results[0] for step in steps(model, inputs_of(model)) if step.node.op == "Add"]
    assert isinstance(found[0], Value) and len(found[0].terms) == 1


@pytest.mark.parametrize("name", SOFTMAX)
def test_masked_softmax(name: str) -> None:
    model = model_of(SOFTMAX[name])
    ours = run_reference(model, inputs_of(model)).tensors["y"].astype(int)
    theirs = run_onnxruntime(model, inputs_of(model), ["y"])["y"].astype(int)
    assert np.abs(ours - theirs).max() <= 1 and (ours != theirs).mean() < 0.02
    if name in ("where", "added", "guarded"):
        assert (ours[0, :, :, 5:] == 0).all() and (theirs[0, :, :, 5:] == 0).all()


@pytest.mark.parametrize(
    ("name", "expected"), [("where", 32), ("added", 32), ("guarded", 0)]  # 255 / 8 -> 32
)
def test_rows_masked_whole(name: str, expected: int) -> None:
    model = model_of(SOFTMAX[name])
    inputs = inputs_of(model, keep=np.array([[0] * 8, [1] * 8], np.int64))
    ours = run_reference(model, inputs).tensors["y"].astype(int)
    theirs = run_onnxruntime(model, inputs, ["y"])["y"]
    assert (ours[0] == expected).all() and (theirs[0] == expected).all()
    assert ours[1].sum() > 200


NORM = "p = LayerNormalization({0}, gain)"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (f"{A} {MASK} m = Where(r, zero, small_mask) s = Add(x, m) p = Softmax(s) {PROBABILITIES}",
         "an additive mask must be 0 or at most -10000, got -100"),
        (f"{A} {B} s = Add(x, v) p = Softmax(s) {PROBABILITIES}", "sum that no QuantizeLinear"),
        (f"{A} q = Softmax(x) p = MatMul(q, x) {PROBABILITIES}", "must be quantized, got the "
         "result of a nonlinear operator that no QuantizeLinear has read"),
        (f"{A} y = Softmax(x)", "output y: must be quantized"),
        (f"{A} {B} s = Mul(x, v) p = Gelu(s) {PROBABILITIES}", "8- or 16-bit tensor of one scale"),
        (f"{A} p = Sigmoid(x) y = QuantizeLinear(p, sy, zu16)", "must have an 8-bit type or int16"),
        (f"{A} {B} s = Mul(x, v) {NORM.format('s')} {OUT.format('p')}",
         "8- or 16-bit tensor of one"),
        (f"u = DequantizeLinear(a, sa, z16) {NORM.format('u')} {OUT.format('p')}",
         "must have its zero point in the middle of its type, got 5 beside it"),
        (f"{A} p = LayerNormalization(x, gain6) {OUT.format('p')}", "must run over the last axis"),
        (f"{A} p = LayerNormalization<epsilon = 1.0e9>(x, gain) {OUT.format('p')}",
         "epsilon must be below"),
        (f"{A} {B} s = Mul(x, v) p = Div(x, s) {OUT.format('p')}",
         "must divide 8- or 16-bit tensors of one scale each"),
        (f"{A} p = Div(x, zero) {OUT.format('p')}", "must not divide by zero"),
        (f"{A} {B} c = Less(x, v) p = Where(c, x, v) {OUT.format('p')}", "must have one scale"),
        (f"{A} c = Cast<to = 7>(x) p = Gather(x, c) {OUT.format('p')}", "must stay a float"),
        (f"{A} p = Softmax<axis = 1>(x) r = Pow(p, half) {PROBABILITIES.replace('(p', '(r')}",
         "must be quantized"),
    ],
)
def test_refusals(body: str, message: str) -> None:
    model = model_of(body)
    with pytest.raises(UserError, match=message):
        run_reference(model, inputs_of(model))


def test_an_index_out_of_range_is_refused() -> None:
    model = model_of(EXACT["gather_rows"])
    with pytest.raises(UserError, match=r"indices must lie in \[-7, 7\), got 7"):
        run_reference(model, {"ids": np.full((2, 3), 7, np.int64)})
