"""A scale per head: whom it passes through, and what is refused in a line."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper, numpy_helper, parser

from jacquard.compiler.graph.ir import Graph
from jacquard.compiler.passes.head_scales import parts
from jacquard.compiler.passes.import_qdq import import_qdq
from jacquard.proto.lib.errors import UserError

CONSTANTS = {
    "s": np.float32(0.02), "z": np.int8(0), "lo": np.float32(-1), "hi": np.float32(1),
    "s2": np.array([0.01, 0.02], np.float32), "z2": np.zeros(2, np.int8),
    "odd": np.array([0, 1], np.int8),
    "s4": np.array([0.01, 0.01, 0.02, 0.02], np.float32), "z4": np.zeros(4, np.int8),
    "s8": np.repeat(np.array([0.01, 0.02], np.float32), 4), "z8": np.zeros(8, np.int8),
    "sw": np.full(8, 0.003, np.float32), "wq": np.ones((8, 8), np.int8),
    "heads": np.array([1, 6, 2, 4]), "order": np.array([1, 0]),
    "cs": np.float32(0.05), "kernel": np.ones((2, 2, 1, 1), np.int8),
}
X = "xi = QuantizeLinear(x, s, z) xr = DequantizeLinear(xi, s, z) "
K = (X + "w = DequantizeLinear<axis = 1>(wq, sw, z8) k0 = MatMul(xr, w) "
     "k1 = QuantizeLinear<axis = 2>(k0, s8, z8) k = DequantizeLinear<axis = 2>(k1, s8, z8) ")
HEADS = (K + "h0 = Reshape(k, heads) h1 = QuantizeLinear<axis = 2>(h0, s2, z2) "
         "h = DequantizeLinear<axis = 2>(h1, s2, z2) t = Transpose<perm = [0, 2, 3, 1]>(h) ")
KEYS = HEADS + "t1 = QuantizeLinear<axis = 1>(t, s2, z2) r = DequantizeLinear<axis = 1>(t1, s2, z2) "
Q = "qi = QuantizeLinear(q, s, z) qr = DequantizeLinear(qi, s, z) "
OUT = "yi = QuantizeLinear({0}, cs, z) y = DequantizeLinear(yi, cs, z)"


def imported(nodes: str) -> Graph:
    inputs = "float[1,6,8] x, float[1,2,5,4] q, float[1,2,4,6] f, float[1,2,6,6] i"
    text = f'<ir_version: 10, opset_import: ["" : 21]> heads ({inputs}) => (float[] y) {{ {nodes} }}'
    model = parser.parse_model(text)
    read = {name for node in model.graph.node for name in node.input}
    for value in list(model.graph.input):
        if value.name not in read:
            model.graph.input.remove(value)
    for node in model.graph.node:
        node.name = node.output[0]
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name)
        for name, value in CONSTANTS.items() if name in read)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", 1, None))
    return import_qdq(model, "")


def test_scales_go_with_their_heads() -> None:
    graph = imported(KEYS + Q + "l = MatMul(qr, r) " + OUT.format("l"))
    found = {n: (t.grid.scales, t.axis) for n, t in graph.tensors.items() if t.grid.scales}
    scales = tuple(map(float, CONSTANTS["s2"]))
    assert found == {"k1": (scales, 2), "h1": (scales, 2), "t1": (scales, 1)}


def test_scales_go_along_where_nothing_quantizes_a_movement() -> None:
    graph = imported(HEADS + Q + "l = MatMul(qr, t) " + OUT.format("l"))
    (product,) = [op for op in graph.ops if op.name == "l"]
    assert graph.tensors[product.inputs[1]].axis == 1


def test_equal_scales_are_one() -> None:
    graph = imported("xi = QuantizeLinear<axis = 2>(x, sw, z8) "
                     "xr = DequantizeLinear<axis = 2>(xi, sw, z8) a = Relu(xr) " + OUT.format("a"))
    assert not any(tensor.grid.scales for tensor in graph.tensors.values())


@pytest.mark.parametrize(
    ("scales", "found"), [([1, 1, 2, 2], (1, 2)), ([1, 2, 1, 2], (1, 2, 1, 2)), ([3, 3], (3,)),
                          ([1, 1, 2], (1, 1, 2))])
def test_the_fewest_parts(scales: list[float], found: tuple[float, ...]) -> None:
    assert parts(np.array(scales, np.float32)) == found


NOT_HEADS = ("scales of one dimension must be those of heads of keys or values (right operands of "
             "products of two activations), got ")


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (K + "w2 = DequantizeLinear<axis = 1>(wq, sw, z8) a = MatMul(k, w2) " + OUT.format("a"),
         f"node a (MatMul): {NOT_HEADS}k1 with 2 scales along dimension 2; quantize it per tensor"),
        (K + "a = Add(k, k) " + OUT.format("a"), f"node a (Add): {NOT_HEADS}k1 with 2 scales"),
        (K + "a = Softmax(k) " + OUT.format("a"), f"node a (Softmax): {NOT_HEADS}k1"),
        ("ii = QuantizeLinear<axis = 1>(i, s2, z2) r = DequantizeLinear<axis = 1>(ii, s2, z2) "
         "w3 = DequantizeLinear(kernel, s, z) a = Conv(r, w3) " + OUT.format("a"),
         f"node a (Conv): {NOT_HEADS}ii with 2 scales along dimension 1"),
        ("qi = QuantizeLinear<axis = 1>(q, s2, z2) qr = DequantizeLinear<axis = 1>(qi, s2, z2) "
         "fi = QuantizeLinear(f, s, z) fr = DequantizeLinear(fi, s, z) l = MatMul(qr, fr) "
         + OUT.format("l"), f"node l (MatMul): {NOT_HEADS}qi with 2 scales along dimension 1"),
        (Q + "fi = QuantizeLinear<axis = 2>(f, s4, z4) fr = DequantizeLinear<axis = 2>(fi, s4, z4) "
         "l = MatMul(qr, fr) " + OUT.format("l"),
         f"node l (MatMul): {NOT_HEADS}fi with 2 scales along dimension 2"),
        (Q + "a = Add(qr, qr) y0 = QuantizeLinear<axis = 3>(a, s4, z4) "
         "y = DequantizeLinear<axis = 3>(y0, s4, z4)",
         f"node a (Add): {NOT_HEADS}its result with 2 scales along dimension 3"),
        (X + "b = Softmax(xr) bi = QuantizeLinear(b, cs, z) br = DequantizeLinear(bi, cs, z) "
         "a = Add(xr, br) y0 = QuantizeLinear<axis = 2>(a, s8, z8) "
         "y = DequantizeLinear<axis = 2>(y0, s8, z8)",
         f"node a (Add): {NOT_HEADS}its result with 2 scales along dimension 2"),
        (X + "a = Relu(xr) y0 = QuantizeLinear<axis = 2>(a, s8, z8) "
         "y = DequantizeLinear<axis = 2>(y0, s8, z8)",
         "node y0 (QuantizeLinear): must not requantize to or from a scale per head, got xi with 1 "
         "scales to 2; quantize it once, or per tensor"),
        (X + "w = DequantizeLinear<axis = 1>(wq, sw, z8) m = MatMul(xr, w) a = Clip(m, lo, hi) "
         "y0 = QuantizeLinear<axis = 2>(a, s8, z8) y = DequantizeLinear<axis = 2>(y0, s8, z8)",
         f"node m (MatMul): {NOT_HEADS}its result with 2 scales along dimension 2"),
        (HEADS + OUT.format("t"), "node t (Transpose): a scale per head must go along with its "
         "elements, got 2 scales in front and 1 behind; quantize both alike, or per tensor"),
        (HEADS + "g = Gather<axis = 1>(t, order) y0 = QuantizeLinear<axis = 1>(g, s2, z2) "
         "y = DequantizeLinear<axis = 1>(y0, s2, z2)", "node g (Gather): a scale per head must go "
         "along with its elements, got 2 scales in front and 2 behind"),
        (K.replace("z8) k =", "z8) j = Identity(k1) k =").replace("(k1, s8, z8)", "(j, s2, z2)")
         + OUT.format("k"),
         "node k (DequantizeLinear): scales must be one, or one for each of the (8,) elements of "
         "dimension 2, got (2,); correct the model"),
        ("fi = QuantizeLinear<axis = 1>(f, s2, odd) y = DequantizeLinear<axis = 1>(fi, s2, odd)",
         "node fi (QuantizeLinear): activations must have one zero point, got 2; quantize them "
         "symmetrically, or per tensor"),
        (K.replace("DequantizeLinear<axis = 2>", "DequantizeLinear") + OUT.format("k"),
         "node k (DequantizeLinear): scales must be one"),
    ])
def test_what_is_refused(nodes: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        imported(nodes)
    assert message in "\n".join(error.value.lines)
