"""What the import makes of several nodes at once: compiled, run on sim/func, compared bit for bit.

Products with their biases and factors, rows of tables by ids, masks of the host and constant ones.
"""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from jacquard.benchmarks.conformance.run import run
from jacquard.compiler.main import CompileOptions, compile_model
from jacquard.proto.lib.arch import load_config
from jacquard.proto.lib.errors import UserError
from jacquard.sim.reference.interpreter import run_reference

HEADER = '<ir_version: 10, opset_import: ["" : 21]>'
INPUTS = "float[1,7,24] x, float[2,3,5,6] l, float[1,6,24] o, int64[1,9] ids, int64[1,1,1,6] keep"
RANDOM = np.random.default_rng(16)
CONSTANTS: dict[str, Any] = {
    "sx": np.float32(0.013), "zx": np.uint8(119), "s16": np.float32(2e-4), "z16": np.int16(0),
    "sp": np.float32(1 / 255), "zp": np.uint8(0), "sl": np.float32(1e-3), "sy": np.float32(0.021),
    "zy": np.int8(-7), "w": RANDOM.integers(-127, 128, (24, 21)).astype(np.int8),
    "sw": RANDOM.uniform(0.001, 0.02, 21).astype(np.float32), "zw": np.zeros(21, np.int8),
    "b": RANDOM.normal(size=21).astype(np.float32), "b1": np.float32(-0.37),
    "q": RANDOM.integers(-9000, 9000, 21).astype(np.int32), "zq": np.zeros(21, np.int32),
    "third": np.float32(1 / 3), "eight": np.float32(8), "b6": RANDOM.normal(size=6).astype(
        np.float32),
    "t16": RANDOM.integers(-32768, 32768, (50, 40)).astype(np.int16),
    "t8": RANDOM.integers(0, 256, (50, 40)).astype(np.uint8), "one": np.int64(1),
    "low": np.float32(-3.4028235e38), "inf": np.float32("-inf"), "zero": np.float32(0),
    "causal": np.triu(np.full((5, 6), -1e9, np.float32), 2), "upper": np.tri(5, 6, 1) == 0,
}
CONSTANTS["sq"] = np.float32(CONSTANTS["sx"]) * CONSTANTS["sw"]
X = "xi = QuantizeLinear(x, sx, zx) a = DequantizeLinear(xi, sx, zx)"
O = "oi = QuantizeLinear(o, sx, zx) c = DequantizeLinear(oi, sx, zx)"
W = "v = DequantizeLinear<axis = 1>(w, sw, zw)"
L = "li = QuantizeLinear(l, sl, z16) z = DequantizeLinear(li, sl, z16)"
Y8, Y16 = "r = QuantizeLinear({0}, sy, zy)", "r = QuantizeLinear({0}, s16, z16)"
P = "p = Softmax({0}) r = QuantizeLinear(p, sp, zp)"
KEEP = "k = Cast<to = 9>(keep)"

MODELS = {
    "bias_on_the_grid": f"{X} {W} d = DequantizeLinear<axis = 0>(q, sq, zq) m = MatMul(a, v) "
                        f"s = Add(m, d) {Y16.format('s')}",
    "bias_float": f"{X} {W} m = MatMul(a, v) s = Add(b, m) {Y8.format('s')}",
    "bias_of_one_and_factors": f"{X} {W} m = MatMul(a, v) s = Add(m, b1) t = Mul(third, s) "
                               f"u = Div(t, eight) {Y8.format('u')}",
    "product_bias_factor": f"{X} {O} t = Transpose<perm = [0,2,1]>(c) m = MatMul(a, t) "
                           f"s = Add(m, b6) u = Mul(s, third) {Y16.format('u')}",
    "rows_16": f"t = DequantizeLinear(t16, s16, z16) g = Gather(t, ids) {Y16.format('g')}",
    "rows_8": "t = DequantizeLinear(t8, sx, zx) g = Gather(t, ids) r = QuantizeLinear(g, sx, zx)",
    "rows_16_to_8": f"t = DequantizeLinear(t16, s16, z16) g = Gather(t, ids) e = Relu(g) "
                    f"{Y8.format('e')}",
    "rows_of_later_ids": f"i = Add(ids, one) t = DequantizeLinear(t16, s16, z16) g = Gather(t, i) "
                         f"h = Gather(t, ids) gi = QuantizeLinear(g, s16, z16) "
                         f"hi = QuantizeLinear(h, s16, z16) gr = DequantizeLinear(gi, s16, z16) "
                         f"hr = DequantizeLinear(hi, s16, z16) s = Add(gr, hr) {Y8.format('s')}",
    "mask_added": f"{L} {KEEP} m = Where(k, zero, low) s = Add(z, m) {P.format('s')}",
    "mask_chosen": f"{L} {KEEP} s = Where(k, z, inf) {P.format('s')}",
    "mask_causal": f"{L} s = Add(causal, z) {P.format('s')}",
    "mask_causal_chosen": f"{L} s = Where(upper, low, z) {P.format('s')}",
    "mask_of_both": f"{L} {KEEP} m = Where(k, zero, low) h = Add(z, causal) s = Add(h, m) "
                    f"{P.format('s')}",
    "mask_guarded": f"{L} {KEEP} m = Where(k, zero, inf) s = Add(z, m) y = Softmax(s) "
                    "n = IsNaN(y) e = Where(n, zero, y) r = QuantizeLinear(e, sp, zp)",
    "chain_16_8": f"{L} h = Relu(z) hi = QuantizeLinear(h, s16, z16) "
                  f"hr = DequantizeLinear(hi, s16, z16) {Y8.format('hr')}",
    "twice": f"{L} y = Softmax(z) yi = QuantizeLinear(y, s16, z16) yr = DequantizeLinear(yi, s16, "
             f"z16) ni = QuantizeLinear(y, sp, zp) nr = DequantizeLinear(ni, sp, zp) "
             f"s = Add(yr, nr) {Y8.format('s')}",
}


def model_of(name: str) -> onnx.ModelProto:
    text = f"{HEADER} {name} ({INPUTS}) => (float[] out) {{ {MODELS[name]} }}"
    model = parser.parse_model(text)
    last = model.graph.node[-1]
    model.graph.node.append(
        onnx.helper.make_node("DequantizeLinear", [*last.output, *last.input[1:]], ["out"]))
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{index}"
    used = {name for node in model.graph.node for name in node.input}
    for i in reversed(range(len(model.graph.input))):
        if model.graph.input[i].name not in used:
            del model.graph.input[i]
    for constant in sorted(used & set(CONSTANTS)):
        value = np.asarray(CONSTANTS[constant])
        model.graph.initializer.append(numpy_helper.from_array(value, constant))
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return model


def inputs_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    found = {}
    for value in model.graph.input:
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if value.name == "ids":
            found["ids"] = random.integers(0, 49, shape)
            found["ids"][0, :3] = 0, 48, 0
        elif value.name == "keep":
            found["keep"] = np.array([1, 1, 0, 1, 0, 0]).reshape(shape)
        else:
            found[value.name] = random.normal(size=shape).astype(np.float32)
    return found


@pytest.mark.parametrize("config", ["nano4", "edge16"])
@pytest.mark.parametrize("name", MODELS)
def test_equals_the_integer_reference(name: str, config: str) -> None:
    model, arch = model_of(name), load_config(config)
    inputs = inputs_of(model)
    expected = run_reference(model, inputs).integer_outputs["out"]
    assert len(np.unique(expected)) > 10
    for fuse in (True, False):
        program = compile_model(model, arch, CompileOptions(fuse=fuse))
        np.testing.assert_array_equal(run(program, arch, inputs)["out"], expected)


def test_what_the_host_must_refuse() -> None:
    arch = load_config("nano4")
    model = model_of("rows_16")
    with pytest.raises(UserError, match="50"):
        run(compile_model(model, arch), arch, {"ids": np.full((1, 9), 50)})
    model = model_of("mask_guarded")
    inputs = inputs_of(model) | {"keep": np.zeros((1, 1, 1, 6), np.int64)}
    with pytest.raises(UserError, match="keep"):
        run(compile_model(model, arch), arch, inputs)
