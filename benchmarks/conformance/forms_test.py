"""Float graphs in the forms that exporters write, the whole way: frontend, quantization, compiler,
sim/func, fused and not; the integer reference's integers, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from jacquard.benchmarks.conformance.run import run
from jacquard.benchmarks.models.seeded import SeededStream, calibration_batches, seeded_inputs
from jacquard.compiler.frontend.import_model import import_model
from jacquard.compiler.frontend.quantize import quantize_model
from jacquard.compiler.main import CompileOptions, compile_model
from jacquard.proto.lib.arch import load_config
from jacquard.sim.reference.interpreter import run_reference

LOW = np.float32(np.finfo(np.float32).min)
OF_PARTS, OF_ATTENTION = '"" : 20', '"" : 23'
MICROSOFT = '"" : 17, "com.microsoft" : 1'
KEEP = np.array([[1, 1, 1, 0, 1, 0]])
SEEN = (np.arange(6) < 4) | np.eye(6, dtype=bool)  # each row keeps some


def normal(*shape: int, seed: int = 1) -> np.ndarray:
    return SeededStream(seed).normal(shape)


CONSTANTS: dict[str, Any] = {
    "zero": np.float32(0), "one": np.float32(1), "low": LOW, "inf": np.float32(-np.inf),
    "axes": np.array([1, 2]), "all": np.ones((1, 1, 6, 1), bool),
    "lower": np.tril(np.ones((1, 1, 6, 6), bool)), "last": np.int64(-1),
    "at": np.stack(np.broadcast_arrays(np.zeros((1, 1, 1, 6), np.int64), np.arange(6)), -1),
    "seen": SEEN, "hidden": np.where(SEEN, 0, -1e5).astype(np.float32),
    "words": normal(50, 16, seed=1), "types": normal(2, 16, seed=2),
    "places": normal(8, 16, seed=3), "g": normal(16, seed=4), "h": normal(16, seed=5),
    "w": normal(16, 8), "b": normal(8, seed=3),
    "b48": normal(48, seed=6), "half": np.float32(0.5), "ends": np.array([-1]),
    "mixing": normal(6, 6, seed=8) / 2, "three": np.float32(3),
    "second": np.array([1]), "three_ids": np.array(3), "axis": np.array(1),
    "slopes": np.where(SEEN, -np.arange(6) / 8, -np.inf).astype(np.float32),
    "w3": normal(16, 3, 3, 3, seed=7) / 4,
}
MASKS = {  # of int64 m [1, 6]
    "gather_nd": "k = Cast<to = 9>(m)  n = GatherND(k, at)  a = And(all, n)  "
                 "s = Where(a, zero, low)",
    "causal": "u = Unsqueeze(m, axes)  k = Cast<to = 9>(u)  a = And(k, lower)  "
              "s = Where(a, zero, low)",
    "product": "f = Cast<to = 1>(m)  i = Sub(one, f)  u = Unsqueeze(i, axes)  s = Mul(u, low)",
    "infinite": "u = Unsqueeze(m, axes)  k = Cast<to = 9>(u)  s = Where(k, zero, inf)",
}
LOGITS = "t = Transpose<perm = [0,1,3,2]>(x)  l = MatMul(x, t)  o = Add(l, s)"
TAILS = {"plain": "y = Softmax(o)",
         "guarded": "p = Softmax(o)  n2 = IsNaN(p)  y = Where(n2, zero, p)"}
FORMS: dict[str, tuple[str, str]] = {
    "classifier": (OF_PARTS, """(float[1,3,8,8] x) => (float[1,8] y) {
        c = Conv<pads = [1,1,1,1]>(x, w3)  r = Relu(c)
        m = MaxPool<kernel_shape = [2,2], strides = [2,2]>(r)  n = Sigmoid(m)  a = Add(m, n)
        p = GlobalAveragePool(a)  f = Flatten(p)  l = MatMul(f, w)  q = Add(l, b)
        y = Softmax(q) }"""),
    "pooled_logits": (OF_PARTS, """(float[1,3,8,8] x) => (float[1,3,4,4] y, float[1,3,8,8] z) {
        m = MaxPool<kernel_shape = [2,2], strides = [2,2]>(x)  y = Softmax(m)
        s = Softmax(x)  z = Mul(s, x) }"""),
    "choices": (OF_PARTS, """(float[1,6,16] x, float[1,6,16] z) => (float[1,6,1] y) {
        c = Greater(x, z)  a = Where(c, x, z)  d = LessOrEqual(a, half)  e = Cast<to = 1>(d)
        f = Mul(e, x)  y = ReduceSum<keepdims = 1>(f, ends) }"""),
    "norms_and_choices": (OF_PARTS, """(float[1,6,16] x, float[1,6,16] z) => (float[1,6,16] y) {
        u = LayerNormalization(x, g, h)  v = LayerNormalization(z, h, g)  c = Less(u, v)
        a = Where(c, v, u)  r = ReduceMax<keepdims = 1>(a, ends)  y = Sub(a, r) }"""),
    "number": (OF_PARTS, """(float[6,40,16] x) => (float y, float[6,16] z) {
        s = ReduceSum<keepdims = 0>(x)  y = Neg(s)  z = ReduceMax<keepdims = 0>(x, second) }"""),
    "turned": (OF_PARTS, """(float[1,6,16] x) => (float[1,6,16] y, float[1,6,16] z) {
        p = MatMul(mixing, x)  a = Add(p, x)  n = LayerNormalization<axis = 1>(a, g)
        y = Softmax<axis = 1>(n)  k = Greater(n, x)  l = Less(x, half)  o = And(k, l)
        r = Not(o)  c = Where(r, n, x)  z = Pow(three, c) }"""),
    "two_masks": (OF_PARTS, f"""(float[1,2,6,6] x, int64[1,6] m) => (float[1,2,6,6] y) {{
        t = Transpose<perm = [0,1,3,2]>(x)  l = MatMul(x, t)  c = Add(l, hidden)
        {MASKS["product"]}  o = Add(c, s)  y = Softmax(o) }}"""),
    "embeddings": (OF_PARTS, """(int64[1,6] ids, int64[1,6] kinds, int64[1,6] order) =>
        (float[1,6,16] y) {
        a = Gather(words, ids)  c = Gather(types, kinds)  d = Gather(places, order)
        e = Add(a, c)  f = Add(e, d)  y = LayerNormalization<axis = -1>(f, g, h) }"""),
    "positions_of_ids": (OF_PARTS, """(int64[1,6] ids) => (float[1,6,16] y) {
        a = Equal(ids, three_ids)  n = Not(a)  c = Cast<to = 7>(n)  s = CumSum(c, axis)
        k = Mul(s, c)  d = Gather(places, k)  e = Gather(words, ids)  f = Add(e, d)
        y = LayerNormalization<axis = -1>(f, g, h) }"""),
    "last_token": (OF_PARTS, """(float[1,6,16] x) => (float[1,8] y) {
        p = MatMul(x, w)  q = Gather<axis = 1>(p, last)  r = Add(q, b)  y = Tanh(r) }"""),
    "factor_and_bias": (OF_PARTS, """(float[1,6,16] x) => (float[1,6,8] y) {
        p = MatMul(x, w)  q = Mul(p, half)  r = Add(q, b)  n = Gelu(r)  z = Add(n, b)
        y = Softmax(z) }"""),
    "skip_layer_norm": (MICROSOFT, """(float[1,5,16] x) => (float[1,5,16] y) { s = Relu(x)
        y = com.microsoft.SkipLayerNormalization<epsilon = 0.001>(x, s, g, h) }"""),
    "skip_rms_norm": (MICROSOFT, """(float[1,5,16] x) => (float[1,5,16] y) { s = Relu(x)
        y = com.microsoft.SkipSimplifiedLayerNormalization<epsilon = 0.001>(x, s, g) }"""),
    "fast_gelu": (MICROSOFT, """(float[1,5,16] x) => (float[1,5,16] y) {
        y = com.microsoft.FastGelu(x, g) }"""),
    "multi_head": (MICROSOFT, """(float[1,6,16] q, float[1,6,16] k, float[1,6,16] v) =>
        (float[1,6,16] y) { y = com.microsoft.MultiHeadAttention<num_heads = 4>(q, k, v, b48) }"""),
    "bias_and_mask": (OF_PARTS, f"""(float[1,2,6,6] x, int64[1,6] m) => (float[1,2,6,6] y) {{
        t = Transpose<perm = [0,1,3,2]>(x)  l = MatMul(x, t)  c = Add(l, slopes)
        {MASKS["product"]}  o = Add(c, s)  y = Softmax(o) }}"""),
    "attention_causal_float_m": (OF_ATTENTION, """(float[1,2,6,8] q, float[1,2,6,8] k,
        float[1,2,6,8] v, float[1,1,6,6] float_m) => (float[1,2,6,8] y) {
        y = Attention<is_causal = 1>(q, k, v, float_m) }"""),
    "multi_head_padded": (MICROSOFT, """(float[1,6,16] q, float[1,6,16] k, float[1,6,16] v,
        int32[1,6] padding) => (float[1,6,16] y) {
        y = com.microsoft.MultiHeadAttention<num_heads = 2, unidirectional = 1>
            (q, k, v, b48, padding) }"""),
    "multi_head_lengths": (MICROSOFT, """(float[1,6,16] q, float[1,9,16] k, float[1,9,16] v,
        int32[1] length) => (float[1,6,16] y) {
        y = com.microsoft.MultiHeadAttention<num_heads = 2>(q, k, v, b48, length) }"""),
    "attention_capped": (OF_ATTENTION, """(float[1,2,6,8] q, float[1,2,6,8] k, float[1,2,6,8] v)
        => (float[1,2,6,8] y) { y = Attention<softcap = 2.0>(q, k, v) }"""),
    "attention_short": (OF_ATTENTION, """(float[1,2,6,8] q, float[1,2,6,8] k, float[1,2,6,8] v,
        bool[6,5] short) => (float[1,2,6,8] y) { y = Attention(q, k, v, short) }"""),
    **{f"attention_{name}_{heads}": (OF_ATTENTION, f"""(float[1,4,6,8] q, float[1,{heads},6,8] k,
        float[1,{heads},6,8] v) => (float[1,4,6,8] y) {{ y = Attention<{given}>(q, k, v) }}""")
       for name, given in (("causal", "is_causal = 1"), ("scaled", "scale = 0.4"))
       for heads in (4, 2)},
    "attention_flat": (OF_ATTENTION, """(float[1,6,32] q, float[1,6,16] k, float[1,6,16] v) =>
        (float[1,6,32] y) { y = Attention<q_num_heads = 4, kv_num_heads = 2>(q, k, v) }"""),
    **{f"attention_{mask}": (OF_ATTENTION, f"""(float[1,2,6,8] q, float[1,2,6,8] k,
        float[1,2,6,8] v{given}) => (float[1,2,6,8] y) {{ y = Attention(q, k, v, {mask}) }}""")
       for mask, given in (("seen", ""), ("hidden", ""), ("bool_m", ", bool[6,6] bool_m"),
                           ("float_m", ", float[1,1,6,6] float_m"))},
    **{f"mask_{name}_{tail}": (OF_PARTS, f"""(float[1,2,6,6] x, int64[1,6] m) =>
        (float[1,2,6,6] y) {{ {MASKS[name]}  {LOGITS}  {TAILS[tail]} }}""")
       for name in MASKS for tail in TAILS},
}


def quantized(name: str) -> onnx.ModelProto:
    opset, text = FORMS[name]
    model: onnx.ModelProto = parser.parse_model(
        f"<ir_version: 10, opset_import: [{opset}]> {name} {text}")
    used = {operand for node in model.graph.node for operand in node.input}
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(CONSTANTS[n]), n) for n in sorted(used & set(CONSTANTS)))
    floats = import_model(model.SerializeToString())
    return quantize_model(floats, calibration_batches(floats, 0, 4), "minmax")


def inputs_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    given = {"padding": KEEP.astype(np.int32), "length": np.array([5], np.int32),
             "short": SEEN[:, :5], "m": KEEP, "bool_m": SEEN,
             "ids": np.array([[7, 3, 0, 41, 3, 2]]),
             "float_m": CONSTANTS["hidden"][None, None],
             "kinds": np.array([[0, 1, 1, 0, 1, 1]]), "order": np.array([[7, 0, 3, 3, 1, 2]])}
    return {name: given.get(name, value) for name, value in seeded_inputs(model, 7).items()}


@pytest.mark.parametrize("name", FORMS)
def test_equals_the_integer_reference(name: str) -> None:
    model = quantized(name)
    inputs = inputs_of(model)
    expected = run_reference(model, inputs).integer_outputs
    assert all(q.size == 1 or len(np.unique(q)) > 5 for q in expected.values())
    for config in ("nano4", "edge16"):
        arch = load_config(config)
        for fuse in (True, False):
            found = run(compile_model(model, arch, CompileOptions(fuse=fuse)), arch, inputs)
            assert set(found) == set(expected)
            for output, integers in expected.items():
                np.testing.assert_array_equal(found[output], integers, f"{config}, fuse={fuse}")
