"""Turned operators against onnxruntime, which runs them as they are; near misses stay."""

import numpy as np
import pytest

from jacquard.benchmarks.models.seeded import SeededStream
from jacquard.compiler.frontend.patterns.equivalence_test import assert_same, model_of, operators


def normal(*shape: int, seed: int = 1) -> np.ndarray:
    return SeededStream(seed).normal(shape)


X = "float[2,3,5,7] x"
CASES = {
    "softmax_1": (X, "float[2,3,5,7]", "y = Softmax<axis = 1>(x)", {},
                  ["Softmax", "Transpose", "Transpose"]),
    "softmax_0": (X, "float[2,3,5,7]", "y = Softmax<axis = -4>(x)", {},
                  ["Softmax", "Transpose", "Transpose"]),
    "softmax_last": (X, "float[2,3,5,7]", "y = Softmax<axis = 3>(x)", {}, ["Softmax"]),
    "norm_2": (X, "float[2,3,5,7]", "y = LayerNormalization<axis = 2, epsilon = 0.1>(x, g, b)",
               {"g": normal(5, 7), "b": normal(7, seed=2)},
               ["LayerNormalization", "Reshape", "Reshape"]),
    "norm_1_without_offset": (X, "float[2,3,5,7]", "y = LayerNormalization<axis = -3>(x, g)",
                              {"g": normal(3, 5, 7)}, ["LayerNormalization", "Reshape", "Reshape"]),
    "norm_last": (X, "float[2,3,5,7]", "y = LayerNormalization<axis = 3>(x, g)",
                  {"g": normal(7)}, ["LayerNormalization"]),
    "sum_of_all": ("float[2,5,7] x", "float", "y = ReduceSum<keepdims = 0>(x)", {},
                   ["ReduceSum", "ReduceSum", "Reshape"]),
    "largest_of_two": ("float[2,5,7] x", "float[2,1,1]", "y = ReduceMax(x, a)",
                       {"a": np.array([1, -1])}, ["ReduceMax", "ReduceMax"]),
    "least_of_others": ("float[2,5,7] x", "float[7]", "y = ReduceMin<keepdims = 0>(x, a)",
                        {"a": np.array([0, 1])}, ["ReduceMin"]),
    "product": ("float[2,5,7] x", "float[2,4,7]", "y = MatMul(c, x)", {"c": normal(4, 5)},
                ["MatMul", "Transpose", "Transpose"]),
    "product_of_matrices": ("float[5,7] x", "float[4,7]", "y = MatMul(c, x)", {"c": normal(4, 5)},
                            ["MatMul", "Transpose", "Transpose"]),
    "power": (X, "float[2,3,5,7]", "y = Pow(c, x)", {"c": np.float32(1.5)}, ["Exp", "Mul"]),
    "power_below": (X, "float[2,3,5,7]", "y = Pow(c, x)", {"c": np.float32(0.25)}, ["Exp", "Mul"]),
    "not": (X, "float[2,3,5,7]", "d = Neg(x)  c = Greater(x, d)  n = Not(c)  y = Where(n, x, d)",
            {}, ["Greater", "Neg", "Where"]),
    "and": (X, "float[2,3,5,7]",
            "d = Neg(x)  c = Greater(x, d)  e = Less(x, one)  n = And(c, e)  y = Where(n, x, d)",
            {"one": np.float32(1)}, ["Greater", "Less", "Neg", "Where", "Where"]),
    "or_of_not": (X, "float[2,3,5,7]", "d = Neg(x)  c = Greater(x, d)  k = Not(c)  "
                  "e = Less(x, one)  n = Or(e, k)  y = Where(n, x, d)",
                  {"one": np.float32(-1)}, ["Greater", "Less", "Neg", "Where", "Where"]),
}


@pytest.mark.parametrize("name", CASES)
def test_turned(name: str) -> None:
    inputs, shape, body, tensors, wanted = CASES[name]
    arrays = {key: np.asarray(value) for key, value in tensors.items()}
    model = model_of(f"({inputs}) => ({shape} y) {{ {body} }}", **arrays)
    assert operators(assert_same(model)) == wanted


def test_what_stays() -> None:
    """A negative base has no logarithm; a mask's logic is the host's."""
    text = "(float[2,3] x) => (float[2,3] y) { a = Abs(x)  b = Relu(a)  y = Pow(c, b) }"
    assert "Pow" in operators(assert_same(model_of(text, c=np.array(-2, np.float32)),
                                          {"x": np.array([[1, 2, 3], [0, 4, 5]], np.float32)}))
    text = """(bool[1,4] m, bool[1,4] n, float[2,4] x) => (float[2,4] y) {
      c = And(m, n)  y = Where(c, x, low) }"""
    assert "And" in operators(assert_same(model_of(text, low=np.array(-1e4, np.float32))))
