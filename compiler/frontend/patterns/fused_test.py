"""Fused operators against onnxruntime, which runs them as they are."""

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from jacquard.benchmarks.models.seeded import SeededStream
from jacquard.compiler.frontend.import_model import import_model
from jacquard.compiler.frontend.patterns.equivalence_test import (
    assert_same,
    model_of,
    operators,
    run,
)
from jacquard.proto.lib.errors import UserError

CONTRIB = 'opset_import: ["" : 17, "com.microsoft" : 1]'


def normal(*shape: int, seed: int = 1) -> np.ndarray:
    return SeededStream(seed).normal(shape)


CASES = {
    "fast_gelu": ("y = com.microsoft.FastGelu(x, b)", {"b": normal(16, seed=2)},
                  ["Add", "Gelu"]),
    "fast_gelu_plain": ("y = com.microsoft.FastGelu(x)", {}, ["Gelu"]),
    "bias_gelu": ("y = com.microsoft.BiasGelu(x, b)", {"b": normal(16, seed=2)}, ["Add", "Gelu"]),
    "gelu": ("y = com.microsoft.Gelu(x)", {}, ["Gelu"]),
    "quick_gelu": ("y = com.microsoft.QuickGelu<alpha = 1.702>(x)", {}, ["Swish"]),
    "skip": ("""s = Relu(x)
      y = com.microsoft.SkipLayerNormalization<epsilon = 0.001>(x, s, g, b, c)""",
             {"g": normal(16, seed=3), "b": normal(16, seed=4), "c": normal(16, seed=5)},
             ["Add", "Add", "LayerNormalization", "Relu"]),
    "skip_with_sum": ("""s = Relu(x)
      n, m, v, t = com.microsoft.SkipLayerNormalization<epsilon = 0.001>(x, s, g, b)
      y = Add(n, t)""".replace("n, m, v, t", 'n, "", "", t').replace('""', ""),
             {"g": normal(16, seed=3), "b": normal(16, seed=4)},
             ["Add", "Add", "LayerNormalization", "Relu"]),
    "rms": ("y = SimplifiedLayerNormalization<axis = -1, epsilon = 0.001>(x, g)",
            {"g": normal(16, seed=3)}, ["RMSNormalization"]),
    "skip_rms": ("""s = Relu(x)
      y = com.microsoft.SkipSimplifiedLayerNormalization<epsilon = 0.001>(x, s, g)""",
                 {"g": normal(16, seed=3)}, ["Add", "RMSNormalization", "Relu"]),
}


@pytest.mark.parametrize("name", CASES)
def test_elementwise_forms(name: str) -> None:
    body, tensors, wanted = CASES[name]
    model = model_of(f"(float[2,5,16] x) => (float[2,5,16] y) {{ {body} }}", CONTRIB, **tensors)
    imported = assert_same(model)
    assert operators(imported) == wanted


def attention(*operands: str, **attributes: object) -> onnx.ModelProto:
    node = helper.make_node("MultiHeadAttention", ["q", "k", "v", *operands], ["y"],
                            name="mha", domain="com.microsoft", **attributes)
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 6, 16])
              for name in ("q", "k", "v")]
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 6, 16])
    tensors = {"bias": normal(48, seed=6), "mask": np.where(
        np.arange(6) < 4, 0, -1e4).astype(np.float32) * np.ones((2, 1, 6, 6), np.float32)}
    graph = helper.make_graph([node], "g", inputs, [result], [
        onnx.numpy_helper.from_array(tensors[name], name) for name in operands if name in tensors])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


@pytest.mark.parametrize("operands", [(), ("bias",), ("", "", "mask"), ("bias", "", "mask")])
@pytest.mark.parametrize("scale", [0.0, 0.3])
def test_multi_head_attention(operands: tuple[str, ...], scale: float) -> None:
    attributes = {"num_heads": 4} | ({"scale": scale} if scale else {})
    imported = assert_same(attention(*operands, **attributes))
    counts = Counter(operators(imported))
    assert counts["MatMul"] == 2 and counts["Softmax"] == 1 and counts["Mul"] == 1
    assert set(counts) <= {"Add", "MatMul", "Mul", "Reshape", "Softmax", "Transpose"}


KEEP = np.array([[1, 1, 0, 1, 0, 1], [1, 0, 0, 0, 1, 1]], np.int32)
PADDINGS = {
    "keys": KEEP,
    "queries": np.stack([KEEP, KEEP[::-1]], 1).repeat(3, 1) | np.eye(6, dtype=np.int32),
    "lengths": np.array([4, 6], np.int32),
}


@pytest.mark.parametrize("given", ["constant", "input"])
@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("padding", [None, *PADDINGS])
def test_multi_head_attention_of_padded_keys(padding: str | None, causal: int, given: str) -> None:
    model = attention("", *(["padding"] if padding else []), num_heads=4, unidirectional=causal)
    inputs = {name: normal(2, 6, 16, seed=i) for i, name in enumerate("qkv")}
    if padding and given == "constant":
        model.graph.initializer.append(onnx.numpy_helper.from_array(PADDINGS[padding], "padding"))
    elif padding:
        inputs["padding"] = PADDINGS[padding]
        model.graph.input.append(helper.make_tensor_value_info(
            "padding", TensorProto.INT32, PADDINGS[padding].shape))
    counts = Counter(operators(assert_same(model, inputs)))
    assert counts["Softmax"] == 1 and counts["MatMul"] == 2 and "And" not in counts or causal
    assert counts["Where"] == int(bool(padding) and given == "input")


def test_forms_without_an_expansion_are_named() -> None:
    model = attention("", "padding", num_heads=4)
    model.graph.initializer.append(
        onnx.numpy_helper.from_array(np.zeros(8, np.int32), "padding"))
    with pytest.raises(UserError, match=r"mha \(MultiHeadAttention\): must be with a length per"):
        import_model(model.SerializeToString())


ATTENTIONS = {
    "plain": "",
    "scale": "scale = 0.4",
    "causal": "is_causal = 1",
}


@pytest.mark.parametrize("name", ATTENTIONS)
@pytest.mark.parametrize("key_heads", [4, 2])
@pytest.mark.parametrize("flat", [False, True])
def test_attention_of_opset_23(name: str, key_heads: int, flat: bool) -> None:
    if flat:
        shapes = f"(float[2,6,32] q, float[2,6,{key_heads * 8}] k, float[2,6,{key_heads * 8}] v)"
        result, heads = "float[2,6,32]", f"q_num_heads = 4, kv_num_heads = {key_heads}"
    else:
        shapes = f"(float[2,4,6,8] q, float[2,{key_heads},6,8] k, float[2,{key_heads},6,8] v)"
        result, heads = "float[2,4,6,8]", ""
    attributes = ", ".join(part for part in (heads, ATTENTIONS[name]) if part)
    given = f"<{attributes}>" if attributes else ""
    text = f"{shapes} => ({result} y) {{ y = Attention{given}(q, k, v) }}"
    imported = assert_same(model_of(text, 'opset_import: ["" : 23]'))
    assert "Attention" not in operators(imported)


@pytest.mark.parametrize("kind", ["bool", "float"])
def test_attention_of_opset_23_with_a_mask(kind: str) -> None:
    keep = np.arange(6) < 4
    mask = keep[None, :] | np.eye(6, dtype=bool)
    value = mask if kind == "bool" else np.where(mask, 0, -1e5).astype(np.float32)
    text = """(float[1,2,6,8] q, float[1,2,6,8] k, float[1,2,6,8] v) => (float[1,2,6,8] y) {
      y = Attention(q, k, v, m) }"""
    assert_same(model_of(text, 'opset_import: ["" : 23]', m=value))


@pytest.mark.parametrize("given", ["constant", "input"])
@pytest.mark.parametrize("kind", ["bool", "float"])
def test_attention_of_opset_23_with_a_causal_mask_too(kind: str, given: str) -> None:
    keep = np.array([1, 1, 0, 1, 0, 1], bool) & np.ones((6, 1), bool)
    mask = keep if kind == "bool" else np.where(keep, 0, -1e5).astype(np.float32)
    more = f", {kind}[6,6] m" if given == "input" else ""
    text = f"""(float[1,2,6,8] q, float[1,2,6,8] k, float[1,2,6,8] v{more}) =>
      (float[1,2,6,8] y) {{ y = Attention<is_causal = 1>(q, k, v, m) }}"""
    model = model_of(text, 'opset_import: ["" : 23]', **({} if more else {"m": mask}))
    inputs = {name: normal(1, 2, 6, 8, seed=i) for i, name in enumerate("qkv")}
    imported = assert_same(model, inputs | ({"m": mask} if more else {}))
    adds = operators(imported).count("Add")
    assert adds == (2 if more and kind == "float" else 1)


@pytest.mark.parametrize("kind", ["bool", "float"])
def test_attention_of_opset_23_with_a_mask_of_fewer_keys(kind: str) -> None:
    """What a mask does not reach is hidden; onnxruntime has only the whole mask."""
    keep = np.tril(np.ones((6, 4), bool))
    whole = np.pad(keep, ((0, 0), (0, 2)))
    low = np.float32(-1e5)
    text = """(float[1,2,6,8] q, float[1,2,6,8] k, float[1,2,6,8] v) => (float[1,2,6,8] y) {
      y = Attention(q, k, v, m) }"""
    inputs = {name: normal(1, 2, 6, 8, seed=i) for i, name in enumerate("qkv")}
    short, full = (
        model_of(text, 'opset_import: ["" : 23]',
                 m=mask if kind == "bool" else np.where(mask, np.float32(0), low))
        for mask in (keep, whole)
    )
    exact = run(full, inputs)[0]
    np.testing.assert_allclose(run(import_model(short.SerializeToString()), inputs)[0], exact,
                               rtol=2e-5, atol=2e-6)


def test_attention_with_a_cap() -> None:
    text = """(float[1,2,6,8] q, float[1,2,6,8] k, float[1,2,6,8] v) => (float[1,2,6,8] y) {
      y = Attention<softcap = 0.5>(q, k, v) }"""
    assert "Tanh" in operators(assert_same(model_of(text, 'opset_import: ["" : 23]')))


def test_forms_of_attention_without_parts_are_named() -> None:
    text = """(float[1,2,6,8] q, float[1,2,6,8] k, float[1,2,6,8] v) =>
      (float[1,2,6,8] y, float[1,2,6,8] z) {
      [first] y = Attention<softcap = 2.0, is_causal = 1>(q, k, v)
      [second] z, pk, pv, qk = Attention<qk_matmul_output_mode = 1>(q, k, v) }"""
    model = model_of(text, 'opset_import: ["" : 23]')
    with pytest.raises(UserError) as error:
        import_model(model.SerializeToString())
    assert [line.split(",")[0] for line in error.value.lines] == [
        "node first (Attention): must be without a mask where it has a softcap",
        "node second (Attention): must be with one output",
    ]
