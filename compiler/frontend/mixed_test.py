"""Mixed precision: who gets how many bits, what stays float, what is refused."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper, parser

from jacquard.benchmarks.models.seeded import SeededStream, calibration_batches, seeded_inputs
from jacquard.compiler.frontend.import_model import import_model
from jacquard.compiler.frontend.mixed import LARGEST_LOGIT_SCALE
from jacquard.compiler.frontend.mixed_plan import wants_mixed
from jacquard.compiler.frontend.quantize import quantize_model
from jacquard.proto.lib.errors import UserError

# 8-bit operands of few channels; a mistaken scale or zero point costs far more.
NEAR_DB = 27


def normal(*shape: int, seed: int = 1) -> np.ndarray:
    return SeededStream(seed).normal(shape)


def parsed(text: str, **tensors: np.ndarray) -> onnx.ModelProto:
    head = '<ir_version: 10, opset_import: ["" : 20]>'
    model: onnx.ModelProto = parser.parse_model(f"{head} g {text}")
    model.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in tensors.items())
    return import_model(model.SerializeToString())


def quantized(
    model: onnx.ModelProto, method: str = "minmax", per_head: bool = True
) -> onnx.ModelProto:
    return quantize_model(model, calibration_batches(model, 0, 4), method, per_head=per_head)


class Reading:
    """A QDQ model by tensors."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self.by_name = {node.name: node for node in model.graph.node}
        self.by_output = {name: node for node in model.graph.node for name in node.output}

    def dtype(self, name: str) -> np.dtype:
        """Of the tensor `name` behind its QuantizeLinear."""
        return self.constants[self.by_name[f"{name}_QuantizeLinear"].input[2]].dtype

    def scale(self, name: str) -> np.ndarray:
        return self.constants[self.by_name[f"{name}_QuantizeLinear"].input[1]]

    def reads(self, name: str, position: int) -> str:
        """The float tensor that an operator's operand was dequantized from."""
        operand = self.by_name[name].input[position]
        return operand.removesuffix("_DequantizeLinear_Output")

    def run(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        return run(self.model, inputs)


def run(model: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    results: list[np.ndarray] = ort.InferenceSession(model.SerializeToString(), options).run(
        None, inputs)
    return results


def distance(model: onnx.ModelProto, other: onnx.ModelProto) -> float:
    """SQNR in dB over a few inputs."""
    signal = noise = 0.0
    for seed in range(4):
        inputs = seeded_inputs(model, seed)
        for exact, found in zip(run(model, inputs), run(other, inputs), strict=True):
            signal += float(np.square(exact).sum())
            noise += float(np.square(exact - found).sum())
    return 10 * np.log10(signal / noise)


BLOCK = """(int64[1,8] ids, int64[1,8] keep) => (float[1,8,16] y) {
  e = Gather(table, ids)
  n = LayerNormalization(e, gamma, beta)
  qm = MatMul(n, wq)  q = Add(qm, bq)
  km = MatMul(n, wk)  k = Add(km, bk)
  kt = Transpose<perm = [0, 2, 1]>(k)
  s = MatMul(q, kt)
  c = Cast<to = 9>(keep)  u = Unsqueeze(c, one)  w = Where(u, zero, low)
  a = Add(s, w)  p = Softmax(a)
  o = MatMul(p, n)
  h = MatMul(o, wo)  r = Add(h, bo)
  y = Add(r, n)
}"""


def block(low: float = -3.4e38, **changes: np.ndarray) -> onnx.ModelProto:
    tensors = {
        "table": normal(32, 16), "gamma": 1 + normal(16, seed=2) / 8, "beta": normal(16, seed=3),
        "one": np.array([1]), "zero": np.array(0, np.float32), "low": np.array(low, np.float32),
    }
    for index, name in enumerate(("q", "k", "o")):
        tensors[f"w{name}"] = normal(16, 16, seed=10 + index) / (16 if name == "q" else 4)
        tensors[f"b{name}"] = normal(16, seed=20 + index) / 4
    model = parsed(BLOCK, **(tensors | changes))
    return model


def test_widths() -> None:
    model = block()
    assert wants_mixed(model)
    read = Reading(quantized(model))
    wide = {"e", "n", "s", "r", "y"}
    assert {name: read.dtype(name) for name in wide} == dict.fromkeys(wide, np.dtype(np.int16))
    narrow = {"n.narrow", "q", "k", "p", "o", "kt"}
    assert {name: read.dtype(name) for name in narrow} == dict.fromkeys(narrow, np.dtype(np.uint8))
    # n goes to products by way of its 16 bits, to the residual without the narrow ones
    assert read.by_name["n.narrow_QuantizeLinear"].input[0] == "n_DequantizeLinear_Output"
    (add,) = [node for node in read.model.graph.node if node.output[0].startswith("y_Quant")
              and node.op_type == "Add"]
    assert list(add.input) == ["r_DequantizeLinear_Output", "n_DequantizeLinear_Output"]
    assert distance(model, read.model) > NEAR_DB


def test_constants() -> None:
    model = block()
    read = Reading(quantized(model))
    floats = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    assert read.constants["table_quantized"].dtype == np.int16
    np.testing.assert_allclose(
        read.constants["table_quantized"] * read.constants["table_scale"], floats["table"],
        atol=1e-4)
    weights, scale = read.constants["wq_quantized"], read.constants["wq_scale"]
    assert weights.dtype == np.int8 and scale.shape == (16,)
    assert (np.abs(weights).max(axis=0) == 127).all()
    np.testing.assert_allclose(weights * scale, floats["wq"], atol=0.51 * scale.max())
    bias, step = read.constants["bq_quantized"], read.constants["bq_scale"]
    assert bias.dtype == np.int32
    np.testing.assert_allclose(step, read.scale("n.narrow") * scale, rtol=1e-6)
    np.testing.assert_allclose(bias * step, floats["bq"], atol=0.51 * step.max())
    assert {"gamma", "beta"} <= set(read.constants)


def test_movements_keep_their_operands_grid() -> None:
    read = Reading(quantized(block()))
    assert read.by_name["kt_QuantizeLinear"].input[1:] == read.by_name["k_QuantizeLinear"].input[1:]
    assert read.by_name["e_QuantizeLinear"].input[1] == "table_scale"


def test_the_mask_stays_float_and_inside() -> None:
    read = Reading(quantized(block()))
    softmax = next(node for node in read.model.graph.node if node.op_type == "Softmax")
    front = read.by_output[softmax.input[0]]
    assert front.op_type == "Add" and front.input[0] == "s_DequantizeLinear_Output"
    assert read.by_output[front.input[1]].op_type == "Where"
    assert max(float(v.max()) for n, v in read.constants.items() if n.endswith("_scale")) < 1


def test_an_infinite_mask_with_a_guard() -> None:
    text = BLOCK.replace("p = Softmax(a)", "p0 = Softmax(a)  i = IsNaN(p0)  p = Where(i, zero, p0)")
    original = block()
    tensors = {t.name: numpy_helper.to_array(t) for t in original.graph.initializer}
    tensors |= {"one": np.array([1]), "zero": np.array(0, np.float32),
                "low": np.array(-np.inf, np.float32)}
    model = parsed(text, **tensors)
    result = quantized(model)
    assert distance(model, result) > NEAR_DB
    inputs = seeded_inputs(model, 1) | {"keep": np.zeros((1, 8), np.int64)}
    exact, found = run(model, inputs)[0], run(result, inputs)[0]
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, exact, atol=0.15)


@pytest.mark.parametrize("low", [-1e4, -3.4e38, -np.inf])
def test_a_constant_causal_mask(low: float) -> None:
    mask = np.where(np.tril(np.ones((8, 8))) > 0, 0, low).astype(np.float32)
    text = """(float[1,8,16] x) => (float[1,8,8] y) {
      t = Transpose<perm = [0, 2, 1]>(x)  s = MatMul(x, t)  a = Add(s, m)  y = Softmax(a) }"""
    model = parsed(text, m=mask)
    read = Reading(quantized(model))
    assert read.dtype("s") == np.int16 and "m_quantized" not in read.constants
    found = read.run(seeded_inputs(model, 1))[0]
    assert (found[0][np.triu_indices(8, 1)] == 0).all()


@pytest.mark.parametrize("choice", [False, True])
def test_two_masks_in_a_row(choice: bool) -> None:
    """GPT-2's: the causal order as a constant, then the padding, from data."""
    first = "h = Where(seen, s, low)" if choice else "h = Add(s, causal)"
    text = f"""(float[1,8,16] x, int64[1,8] m) => (float[1,8,8] y) {{
      t = Transpose<perm = [0, 2, 1]>(x)  s = MatMul(x, t)  {first}
      f = Cast<to = 1>(m)  i = Sub(one, f)  n = Mul(i, low)  a = Add(h, n)  y = Softmax(a) }}"""
    seen = np.tril(np.ones((8, 8), bool))
    low = np.array(np.finfo(np.float32).min)
    given = {"seen": seen} if choice else {"causal": np.where(seen, 0, low)}
    model = parsed(text, one=np.array(1, np.float32), low=low, **given)
    read = Reading(quantized(model))
    assert read.dtype("s") == np.int16 and read.scale("s") <= LARGEST_LOGIT_SCALE
    assert not {"h_QuantizeLinear", "a_QuantizeLinear", "causal_quantized"} & {
        *read.by_name, *read.constants}
    inputs = seeded_inputs(model, 1) | {"m": np.array([[1, 1, 0, 1, 1, 1, 1, 0]])}
    found = read.run(inputs)[0]
    assert (found[0][~(seen & (inputs["m"] == 1))] == 0).all()
    np.testing.assert_allclose(found, run(model, inputs)[0], atol=0.05)


@pytest.mark.parametrize("padding", [False, True])
def test_a_bias_and_a_mask_in_one_constant(padding: bool) -> None:
    """ALiBi's slopes with the causal order in them."""
    seen = np.tril(np.ones((8, 8), bool))
    values = np.where(seen, -np.abs(np.subtract.outer(range(8), range(8))) / 4, -np.inf)
    more, last = (", float[1,1,8] m", "b = Add(a, m)") if padding else ("", "b = Identity(a)")
    text = f"""(float[1,8,16] x{more}) => (float[1,8,8] y) {{
      t = Transpose<perm = [0, 2, 1]>(x)  s = MatMul(x, t)  k = Mul(s, r)  a = Add(k, c)  {last}
      y = Softmax(b) }}"""
    model = parsed(text, c=values.astype(np.float32), r=np.array(0.1, np.float32))
    inputs = [{"x": normal(1, 8, 16, seed=seed)} for seed in range(4)]
    if padding:
        low = np.array([[[0, 0, 0, -1e9, 0, 0, 0, 0]]], np.float32)
        inputs = [each | {"m": low} for each in inputs]
    result = quantize_model(model, inputs)
    read = Reading(result)
    assert len([name for name in read.constants if name.endswith("bias_quantized")]) == 1
    found, exact = read.run(inputs[0])[0], run(model, inputs[0])[0]
    assert (found[0][~seen] == 0).all()
    np.testing.assert_allclose(found, exact, atol=0.03)


def test_a_product_with_a_bias_is_no_mask() -> None:
    text = """(float[1,8,16] x) => (float[1,8,8] y) { n = LayerNormalization(x, g)
      p = MatMul(n, w)  a = Add(p, b)  y = Softmax(a) }"""
    model = parsed(text, g=normal(16), w=normal(16, 8), b=normal(8))
    read = Reading(quantized(model))
    assert read.dtype("a") == np.int16 and "p_QuantizeLinear" not in read.by_name
    assert read.constants["b_quantized"].dtype == np.int32


def test_a_bias_of_positions_is_data() -> None:
    """T5 adds small numbers to the logits; they are no mask."""
    text = """(float[1,8,16] x) => (float[1,8,8] y) {
      t = Transpose<perm = [0, 2, 1]>(x)  s = MatMul(x, t)  a = Add(s, m)  y = Softmax(a) }"""
    read = Reading(quantized(parsed(text, m=normal(8, 8))))
    assert read.dtype("a") == np.int16 and read.constants["m_quantized"].dtype == np.int16


def test_large_logits_are_not_clipped() -> None:
    text = """(float[1,8,16] x) => (float[1,8,8] y) {
      t = Transpose<perm = [0, 2, 1]>(x)  s = MatMul(x, t)  k = Mul(s, big)  y = Softmax(k) }"""
    model = parsed(text, big=np.array(100, np.float32))
    inputs = [seeded_inputs(model, seed) for seed in range(4)]
    result = quantize_model(model, inputs)
    largest = max(np.abs(100 * each["x"][0] @ each["x"][0].T).max() for each in inputs)
    assert 327 < largest < Reading(result).scale("k") * 32767
    assert distance(model, result) > 50


def test_a_mask_among_data_leaves_logits_fine_steps() -> None:
    """(1 - m) * -1e4 of a float m that nothing tells from data."""
    text = """(float[1,8,16] x, float[1,1,8] m) => (float[1,8,8] y) {
      t = Transpose<perm = [0, 2, 1]>(x)  s = MatMul(x, t)
      i = Sub(one, m)  n = Mul(i, low)  a = Add(s, n)  y = Softmax(a) }"""
    model = parsed(text, one=np.array(1, np.float32), low=np.array(-1e4, np.float32))
    result = quantize_model(model, [
        {"x": normal(1, 8, 16), "m": np.array([[[1, 1, 0, 1, 1, 0, 1, 1]]], np.float32)}])
    assert Reading(result).scale("a") == np.float32(LARGEST_LOGIT_SCALE)


FLAT = {"Gelu": "y = Gelu(a)", "HardSwish": "y = HardSwish(a)", "Exp": "y = Exp(a)",
        "Tanh": "y = Tanh(a)", "Erf": "y = Erf(a)", "Sigmoid": "y = Sigmoid(a)",
        "Swish": "s = Sigmoid(a)  y = Mul(a, s)"}


@pytest.mark.parametrize("function", FLAT)
def test_what_a_function_is_flat_for_takes_no_steps(function: str) -> None:
    """Of Gelu(-300) nothing is left but that it is 0."""
    text = f"""(float[1,8,16] x) => (float[1,8,16] y) {{
      n = LayerNormalization(x, g)  a = Add(n, far)  {FLAT[function]} }}"""
    model = parsed(text, g=np.ones(16, np.float32), far=np.array([0] * 15 + [-300], np.float32))
    result = quantized(model)
    assert Reading(result).scale("a") * 32767 < 25
    assert distance(model, result) > 60


def test_a_scale_behind_the_product_is_one_group_with_it() -> None:
    text = """(float[1,8,16] x) => (float[1,8,8] y) {
      t = Transpose<perm = [0, 2, 1]>(x)  s = MatMul(x, t)  k = Mul(s, r)  y = Softmax(k) }"""
    read = Reading(quantized(parsed(text, r=np.array(0.25, np.float32))))
    assert "s_QuantizeLinear" not in read.by_name and read.dtype("k") == np.int16


def test_outputs_that_are_read_again_and_by_products_alone() -> None:
    text = """(float[1,8,16] x) => (float[1,8,16] n, float[1,8,16] q, float[1,8,8] s) {
      n = LayerNormalization(x, g)  q = MatMul(n, w)
      t = Transpose<perm = [0, 2, 1]>(q)  s = MatMul(q, t) }"""
    model = parsed(text, g=np.ones(16, np.float32), w=normal(16, 16) / 4)
    result = quantized(model)
    read = Reading(result)
    assert [value.name for value in result.graph.output] == ["n", "q", "s"]
    assert {read.dtype(name) for name in ("n", "s")} == {np.dtype(np.int16)}
    assert read.dtype("q") == np.uint8  # a key: the next step's product reads it
    assert distance(model, result) > NEAR_DB


def test_weights_near_zero_leave_their_bias_real() -> None:
    weights = normal(16, 16) / 4
    weights[:, 3] = 1e-12
    model = block(wo=weights)
    result = quantized(model)
    assert "bo" in Reading(result).constants
    assert distance(model, result) > NEAR_DB


def test_convolutional_models_are_none_of_this() -> None:
    text = """(float[1,3,8,8] x) => (float[1,4,8,8] y) { c = Conv<pads = [1,1,1,1]>(x, w)
      y = Relu(c) }"""
    assert not wants_mixed(parsed(text, w=normal(4, 3, 3, 3)))


@pytest.mark.parametrize("method", ["minmax", "entropy", "percentile"])
def test_same_bytes_each_time(method: str) -> None:
    model = block()
    first, second = (quantized(model, method).SerializeToString(deterministic=True)
                     for _ in range(2))
    assert first == second


def test_a_quantized_transformer_is_imported_as_it_is() -> None:
    model = quantized(block())
    again = import_model(model.SerializeToString())
    inputs = seeded_inputs(model, 5)
    assert (run(model, inputs)[0] == run(again, inputs)[0]).all()
    assert quantize_model(again, []) is again


def test_infinite_activations_are_refused() -> None:
    text = """(float[1,8,16] x) => (float[1,8,16] y) {
      n = LayerNormalization(x, g)  a = Mul(n, big)  b = Mul(a, big)  y = MatMul(b, w) }"""
    model = parsed(text, g=np.ones(16, np.float32), big=np.array(1e30, np.float32),
                   w=normal(16, 16))
    with pytest.raises(UserError) as error:
        quantized(model)
    places = [line.split(":")[0] for line in error.value.lines]
    assert places == ["tensor a", "tensor b", "tensor y"]
    assert error.value.lines[1] == (
        "tensor b: must be finite and below 3e+10 in calibration, got -inf .. inf; calibrate with "
        "data in its normal range, or keep a mask's constant out of the quantized part"
    )


def test_token_ids_of_calibration_are_checked() -> None:
    model = block()
    good = seeded_inputs(model, 1)
    with pytest.raises(UserError, match=r"sample 0: ids must lie in \[0, 32\), got 32; "):
        quantize_model(model, [good | {"ids": np.full((1, 8), 32)}])
    with pytest.raises(UserError, match=r"sample 0: keep must be int64, got float32; "):
        quantize_model(model, [good | {"keep": np.ones((1, 8), np.float32)}])


def test_an_input_mask_is_no_data() -> None:
    """An additive mask that is a graph input reaches the Softmax as it is."""
    text = """(float[1,8,16] x, float[1,1,8] m) => (float[1,8,8] y) {
      t = Transpose<perm = [0, 2, 1]>(x)  s = MatMul(x, t)  a = Add(s, m)  y = Softmax(a) }"""
    model = parsed(text)
    result = quantize_model(model, [
        {"x": normal(1, 8, 16), "m": np.array([[[0, 0, 0, -3.4e38] * 2]], np.float32)}])
    read = Reading(result)
    front = next(node for node in result.graph.node if node.output[0] == "a")
    assert list(front.input) == ["s_DequantizeLinear_Output", "m"] and read.dtype("s") == np.int16
    assert helper.tensor_dtype_to_np_dtype(result.graph.input[1].type.tensor_type.elem_type) == "f"
