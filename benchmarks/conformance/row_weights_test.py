"""When a softmax is stored as weights of its rows: compiler and reference agree on every form."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from jacquard.benchmarks.conformance.run import run
from jacquard.compiler.main import compile_model
from jacquard.compiler.passes.import_qdq import import_qdq
from jacquard.compiler.passes.row_weights import row_weights
from jacquard.proto.lib.arch import load_config
from jacquard.sim.reference.interpreter import run_reference

HEADER = '<ir_version: 10, opset_import: ["" : 21]>'
INPUTS = "float[2,3,7,21] l, float[2,3,21,5] x, float[2,1,1,21] k"
RANDOM = np.random.default_rng(9)
CONSTANTS = {
    "sl": np.float32(4e-4), "zl": np.int16(0), "sp": np.float32(1 / 255), "zp": np.uint8(0),
    "z1": np.uint8(1), "zi": np.int8(0), "sx": np.float32(0.02), "zx": np.uint8(120),
    "sy": np.float32(0.004), "zy": np.int8(-3), "s2": np.float32(0.003), "z16": np.int16(0),
    "third": np.float32(1 / 3), "b": RANDOM.normal(size=5).astype(np.float32),
    "zero": np.float32(0), "w": RANDOM.integers(-99, 99, (21, 5)).astype(np.int8),
    "causal": np.triu(np.full((7, 21), -np.inf, np.float32), 3),
}
START = ("li = QuantizeLinear(l, sl, zl) a = DequantizeLinear(li, sl, zl) "
         "xi = QuantizeLinear(x, sx, zx) v = DequantizeLinear(xi, sx, zx) ")
P = "p = Softmax(a) w0 = QuantizeLinear(p, sp, zp) q = DequantizeLinear(w0, sp, zp) "
SOFTMAX = f"{START} {P}"
Y = "y = QuantizeLinear({0}, sy, zy)"

# name -> (nodes, whether the tensor w0 holds weights)
FORMS = {
    "plain": (f"{SOFTMAX} m = MatMul(q, v) {Y.format('m')}", True),
    "to_16_bits": (f"{SOFTMAX} m = MatMul(q, v) y = QuantizeLinear(m, sp, z16)", True),
    "masked": (f"{START} s = Add(a, causal) {P.replace('(a)', '(s)')} m = MatMul(q, v) "
               f"{Y.format('m')}", True),
    "guarded": (f"{START} g = Softmax(a) n = IsNaN(g) p = Where(n, zero, g) "
                f"w0 = QuantizeLinear(p, sp, zp) q = DequantizeLinear(w0, sp, zp) "
                f"m = MatMul(q, v) {Y.format('m')}", True),
    "names_of_the_same": (f"{SOFTMAX} i = Identity(q) d = Dropout(i) c = Cast<to = 1>(d) "
                          f"m = MatMul(c, v) j = Identity(m) {Y.format('j')}", True),
    "gains_and_clamp": (f"{SOFTMAX} m = MatMul(q, v) g = Mul(third, m) h = Div(g, third) "
                        f"r = Relu(h) {Y.format('r')}", True),
    "two_products": (f"{SOFTMAX} m = MatMul(q, v) g = Mul(m, third) "
                     f"ki = QuantizeLinear(k, sx, zx) kr = DequantizeLinear(ki, sx, zx) "
                     f"t = Transpose<perm = [0,1,3,2]>(kr) e = Concat<axis = 1>(t, t, t) "
                     f"ei = QuantizeLinear(e, sx, zx) er = DequantizeLinear(ei, sx, zx) "
                     f"o = MatMul(q, er) gi = QuantizeLinear(g, s2, z16) "
                     f"oi = QuantizeLinear(o, sy, z16) gr = DequantizeLinear(gi, s2, z16) "
                     f"orr = DequantizeLinear(oi, sy, z16) u = Add(gr, orr) {Y.format('u')}", True),
    "quantized_twice_behind": (f"{SOFTMAX} m = MatMul(q, v) gi = QuantizeLinear(m, s2, z16) "
                               f"oi = QuantizeLinear(m, sy, z16) "
                               f"gr = DequantizeLinear(gi, s2, z16) "
                               f"orr = DequantizeLinear(oi, sy, z16) u = Add(gr, orr) "
                               f"{Y.format('u')}", True),
    "two_dequantizers": (f"{SOFTMAX} q2 = DequantizeLinear(w0, sp, zp) m = MatMul(q, v) "
                         f"o = MatMul(q2, v) gi = QuantizeLinear(m, s2, z16) "
                         f"oi = QuantizeLinear(o, sy, z16) gr = DequantizeLinear(gi, s2, z16) "
                         f"orr = DequantizeLinear(oi, sy, z16) u = Add(gr, orr) "
                         f"{Y.format('u')}", True),
    "stored_again": (f"{SOFTMAX} w1 = QuantizeLinear(q, sp, zp) q1 = DequantizeLinear(w1, sp, zp) "
                     f"m = MatMul(q1, v) {Y.format('m')}", True),
    "other_result_too": (f"{SOFTMAX} m = MatMul(q, v) mi = QuantizeLinear(m, sy, zy) "
                         f"mr = DequantizeLinear(mi, sy, zy) pi = QuantizeLinear(p, s2, zi) "
                         f"pr = DequantizeLinear(pi, s2, zi) o = MatMul(pr, v) "
                         f"oi = QuantizeLinear(o, sy, zy) orr = DequantizeLinear(oi, sy, zy) "
                         f"u = Add(mr, orr) {Y.format('u')}", True),
    "dead_reader": (f"{SOFTMAX} d = Relu(q) di = QuantizeLinear(d, sp, zp) m = MatMul(q, v) "
                    f"{Y.format('m')}", True),
    "zero_point": (f"{SOFTMAX.replace('sp, zp', 'sp, z1')} m = MatMul(q, v) {Y.format('m')}",
                   False),
    "signed": (f"{SOFTMAX.replace('sp, zp', 'sp, zi')} m = MatMul(q, v) {Y.format('m')}", False),
    "bias": (f"{SOFTMAX} m = MatMul(q, v) s = Add(m, b) {Y.format('s')}", False),
    "clamped": (f"{START} {P.replace('p = Softmax(a)', 'g = Softmax(a) p = Relu(g)')} "
                f"m = MatMul(q, v) {Y.format('m')}", False),
    "moved": (f"{SOFTMAX} t = Transpose<perm = [1,0,2,3]>(q) ti = QuantizeLinear(t, sp, zp) "
              f"tr = DequantizeLinear(ti, sp, zp) h = Transpose<perm = [1,0,2,3]>(v) "
              f"hi = QuantizeLinear(h, sx, zx) hr = DequantizeLinear(hi, sx, zx) "
              f"m = MatMul(tr, hr) {Y.format('m')}", False),
    "on_the_right": (f"{SOFTMAX} t = Transpose<perm = [0,1,3,2]>(v) ti = QuantizeLinear(t, sx, zx)"
                     f" tr = DequantizeLinear(ti, sx, zx) s = Transpose<perm = [0,1,3,2]>(q) "
                     f"si = QuantizeLinear(s, sp, zp) sr = DequantizeLinear(si, sp, zp) "
                     f"m = MatMul(tr, sr) {Y.format('m')}", False),
    "added_to": (f"{SOFTMAX} m = MatMul(q, v) mi = QuantizeLinear(m, sy, zy) u = Add(q, q) "
                 f"ui = QuantizeLinear(u, s2, zi) ur = DequantizeLinear(ui, s2, zi) "
                 f"mr = DequantizeLinear(mi, sy, zy) o0 = MatMul(ur, v) "
                 f"oi = QuantizeLinear(o0, sy, zy) orr = DequantizeLinear(oi, sy, zy) "
                 f"o = Add(mr, orr) {Y.format('o')}", False),
}


def model_of(nodes: str, inputs: str = INPUTS, **more: np.ndarray) -> onnx.ModelProto:
    """Nodes that end in `y`, with the constants that they name."""
    model = parser.parse_model(f"{HEADER} weights ({inputs}) => (float[] out) {{ {nodes} }}")
    last = model.graph.node[-1]
    model.graph.node.append(
        onnx.helper.make_node("DequantizeLinear", [*last.output, *last.input[1:]], ["out"]))
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{index}"
    used = {name for node in model.graph.node for name in node.input}
    for value in list(model.graph.input):
        if value.name not in used:
            model.graph.input.remove(value)
    for name, constant in {**CONSTANTS, **more}.items():
        if name in used:
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(constant), name))
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return model


def inputs_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    random = np.random.default_rng(11)
    return {
        value.name: random.normal(size=[d.dim_value for d in value.type.tensor_type.shape.dim])
        .astype(np.float32)
        for value in model.graph.input
    }


@pytest.mark.parametrize("name", FORMS)
def test_compiler_and_reference_agree(name: str) -> None:
    nodes, weighted = FORMS[name]
    model = model_of(nodes)
    inputs = inputs_of(model)
    expected = run_reference(model, inputs)
    tops = expected.tensors["w0"].max(axis=-1)
    assert (tops == 255).all() == weighted  # a probability of 1 does not occur among 21
    graph = import_qdq(model, name)
    assert [row_weights(graph, op) for op in graph.ops if op.outputs[0] == "w0"] == [weighted]
    assert len(np.unique(expected.integer_outputs["out"])) > 10
    for config in ("nano4", "edge16"):
        arch = load_config(config)
        found = run(compile_model(model, arch), arch, inputs)
        np.testing.assert_array_equal(found["out"], expected.integer_outputs["out"])


@pytest.mark.parametrize("config", ["nano4", "edge16"])
def test_rows_in_chunks(config: str) -> None:
    hidden = np.where(RANDOM.random((2, 9000)) < 0.3, np.float32(-1e9), np.float32(0))
    model = model_of(FORMS["masked"][0], "float[1,2,9000] l, float[1,9000,5] x", causal=hidden)
    inputs, arch = inputs_of(model), load_config(config)
    expected = run_reference(model, inputs)
    assert (expected.tensors["w0"].max(axis=-1) == 255).all()
    found = run(compile_model(model, arch), arch, inputs)
    np.testing.assert_array_equal(found["out"], expected.integer_outputs["out"])
