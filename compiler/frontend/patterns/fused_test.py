"""Fused operators against onnxruntime, which runs them as they are."""

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from jacquard.benchmarks.models.seeded import SeededStream
from jacquard.compiler.frontend.import_model import import_model
from jacquard.compiler.frontend.patterns.equivalence_test import assert_same, model_of, operators
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


def test_forms_without_an_expansion_are_named() -> None:
    model = attention("", "padding", num_heads=4)
    model.graph.initializer.append(
        onnx.numpy_helper.from_array(np.array([6, 6], np.int32), "padding"))
    with pytest.raises(UserError, match=r"mha \(MultiHeadAttention\): must be without key_pad"):
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


def test_attention_with_a_cap_stays() -> None:
    text = """(float[1,2,6,8] q, float[1,2,6,8] k, float[1,2,6,8] v) => (float[1,2,6,8] y) {
      y = Attention<softcap = 2.0>(q, k, v) }"""
    assert operators(assert_same(model_of(text, 'opset_import: ["" : 23]'))) == ["Attention"]
