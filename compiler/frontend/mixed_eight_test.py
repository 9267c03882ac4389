"""Models of 8 bits with what onnxruntime's own quantizer does not serve: Softmax, sums, choices."""

import numpy as np
import onnx
import pytest

from jacquard.benchmarks.models.seeded import seeded_inputs
from jacquard.compiler.frontend.import_model import import_model
from jacquard.compiler.frontend.mixed import LARGEST_LOGIT_SCALE
from jacquard.compiler.frontend.mixed_plan import wants_mixed, wants_plan
from jacquard.compiler.frontend.mixed_test import Reading, distance, normal, parsed, quantized
from jacquard.compiler.frontend.patterns.equivalence_test import model_of
from jacquard.compiler.frontend.quantize import quantize_model

CLASSIFIER = """(float[1,3,8,8] x) => (float[1,10] y) {
  a = Conv<pads = [1,1,1,1]>(x, w, b)  c = Relu(a)
  d = MaxPool<kernel_shape = [2,2], strides = [2,2]>(c)
  e = Conv<pads = [1,1,1,1]>(d, v)  f = Add(e, d)  g = Relu(f)
  h = GlobalAveragePool(g)  i = Flatten(h)  j = Gemm(i, u, t)  y = Softmax(j) }"""
WEIGHTS = {"w": normal(8, 3, 3, 3) / 4, "b": normal(8, seed=2), "v": normal(8, 8, 3, 3) / 8,
           "u": normal(8, 10) * 6, "t": normal(10, seed=3)}


def test_a_classifier_has_8_bits_up_to_its_logits() -> None:
    model = parsed(CLASSIFIER, **WEIGHTS)
    assert wants_plan(model) and not wants_mixed(model)
    read = Reading(quantized(model))
    assert {read.dtype(name) for name in ("x", "c", "d", "g", "h", "i")} == {np.dtype(np.uint8)}
    assert {read.dtype(name) for name in ("j", "y")} == {np.dtype(np.int16)}
    assert read.scale("j") <= LARGEST_LOGIT_SCALE and read.scale("y") == np.float32(1 / 32767)
    # Relu is part of the operator in front of it, and a maximum has its operand's grid.
    assert not {"a_QuantizeLinear", "f_QuantizeLinear"} & set(read.by_name)
    assert read.by_name["d_QuantizeLinear"].input[1] == "c_scale"
    assert distance(model, read.model) > 40


@pytest.mark.parametrize("length", [10, 1000])
def test_rows_of_probabilities(length: int) -> None:
    """As promised for rows up to 1024: sums and top probabilities within 1 % of float's."""
    model = parsed(f"(float[1,64] x) => (float[1,{length}] y) {{ a = Gemm(x, w)  y = Softmax(a) }}",
                   w=normal(64, length) / 3)
    read = Reading(quantized(model))
    for seed in range(4):
        x = seeded_inputs(model, seed)["x"]
        steps = read.constants["x_scale"], read.constants["x_zero_point"].astype(np.float64)
        x = (np.rint(x / steps[0]).clip(-steps[1], 255 - steps[1]) * steps[0]).astype(np.float64)
        logits = x @ (read.constants["w_quantized"] * read.constants["w_scale"].astype(np.float64))
        exact = np.exp(logits) / np.exp(logits).sum()
        found = read.run({"x": x.astype(np.float32)})[0]
        assert abs(found.sum() - 1) < 0.01
        assert abs(found.max() / exact.max() - 1) < 0.01


def test_logits_through_movements_and_from_a_pool() -> None:
    text = """(float[1,3,8,8] x) => (float[1,8,64] y, float[1,3,16] z) {
      c = Conv(x, w)  r = Reshape(c, s)  k = Transpose<perm = [0,1,2]>(r)  y = Softmax(k)
      p = MaxPool<kernel_shape = [2,2], strides = [2,2]>(x)  q = Reshape(p, s)  z = Softmax(q) }"""
    read = Reading(quantized(parsed(text, w=normal(8, 3, 1, 1), s=np.array([1, 0, -1]))))
    assert read.dtype("c") == np.int16 and read.scale("c") <= LARGEST_LOGIT_SCALE
    assert read.dtype("p") == read.dtype("q") == np.uint8  # a pool gives 8 bits


OPERATORS = {
    "sum": ("y = ReduceSum<keepdims = 1>(x, last)", [1, 7, 1]),
    "largest": ("y = ReduceMax<keepdims = 1>(x, last)", [1, 7, 1]),
    "least": ("y = ReduceMin<keepdims = 1>(x, last)", [1, 7, 1]),
    "choice": ("c = Greater(x, z)  y = Where(c, x, z)", [1, 7, 40]),
    "choice_of_constant": ("c = Less(x, half)  y = Where(c, half, x)", [1, 7, 40]),
    "equal": ("m = Max(x, z)  c = Equal(m, z)  y = Cast<to = 1>(c)", [1, 7, 40]),
    "expand": ("s = ReduceMean<keepdims = 1>(x, last)  y = Expand(s, sizes)", [1, 7, 40]),
    "rows": ("y = Gather<axis = 1>(x, two)", [1, 2, 40]),
    "cast": ("d = Cast<to = 1>(x)  y = Relu(d)", [1, 7, 40]),
}
CONSTANTS = {"last": np.array([-1]), "half": np.float32(0.5), "sizes": np.array([1, 7, 40]),
             "two": np.array([3, 0])}


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("name", OPERATORS)
def test_operators_on_activations(name: str, norm: bool) -> None:
    """With a norm in front all but operands of products have 16 bits, without one 8."""
    body, shape = OPERATORS[name]
    front = "x = LayerNormalization(a, g)  z = LayerNormalization(b, h)" if norm else (
        "x = Neg(a)  z = Abs(b)")
    text = f"(float[1,7,40] a, float[1,7,40] b) => (float{shape} y) {{ {front}  {body} }}"
    gains = {"g": normal(40, seed=2), "h": normal(40, seed=3) * 3} if norm else {}
    used = {key: np.asarray(value) for key, value in CONSTANTS.items() if key in body}
    model = import_model(model_of(text, **used, **gains).SerializeToString())
    result = quantize_model(model, [seeded_inputs(model, seed) for seed in range(4)])
    made = {node.output[0]: node for node in result.graph.node}
    assert made["y"].op_type == "DequantizeLinear"
    floats = {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE}
    types = {v.name: v.type.tensor_type.elem_type for v in result.graph.value_info}
    for node in result.graph.node:
        if node.op_type in ("Greater", "Equal"):
            scales = [Reading(result).constants[made[n].input[1]] for n in node.input]
            assert scales[0] == scales[1]
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear", "Cast"):
            assert all(made[n].op_type == "DequantizeLinear" for n in node.input
                       if n in made and types.get(n) in floats)
    assert name == "equal" or distance(model, result) > (60 if norm else 33)
