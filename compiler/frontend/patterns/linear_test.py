"""Layers in one form, split layers, and what is left alone."""

import numpy as np
import pytest

from jacquard.benchmarks.models.seeded import SeededStream
from jacquard.compiler.frontend.patterns.equivalence_test import (
    assert_same,
    model_of,
    operators,
)


def normal(*shape: int, seed: int = 1) -> np.ndarray:
    return SeededStream(seed).normal(shape)


FLAT = {"flat": np.array([-1, 4]), "wide": np.array([1, 6, 12])}
LAYER = {**FLAT, "w": normal(4, 12), "b": normal(12, seed=2)}
# Each ends in a Softmax, which makes the rules run at all.
CASES = {
    "flattened": ("""(float[1,6,4] x) => (float[1,6,12] y) {
      f = Reshape(x, flat)  g = Gemm(f, w, b)  r = Reshape(g, wide)  y = Softmax(r) }""",
                  LAYER, ["Add", "MatMul", "Softmax"]),
    "weights_transposed": ("""(float[1,6,4] x) => (float[1,6,12] y) {
      f = Reshape(x, flat)  g = Gemm<transB = 1>(f, w, b)  r = Reshape(g, wide)
      y = Softmax(r) }""", {**LAYER, "w": normal(12, 4)}, ["Add", "MatMul", "Softmax"]),
    "with_a_factor": ("""(float[1,6,4] x) => (float[1,6,12] y) {
      f = Reshape(x, flat)  g = Gemm<alpha = 0.5>(f, w, b)  r = Reshape(g, wide)
      y = Softmax(r) }""", LAYER, ["Gemm", "Reshape", "Reshape", "Softmax"]),
    "columns_mixed": ("""(float[1,6,4] x) => (float[1,12,6] y) {
      f = Reshape(x, flat)  g = Gemm(f, w, b)  r = Reshape(g, wide)  y = Softmax(r) }""",
                      {**LAYER, "wide": np.array([1, 12, 6])},
                      ["Gemm", "Reshape", "Reshape", "Softmax"]),
    "split": ("""(float[1,6,4] x) => (float[1,6,6] y) {
      m = MatMul(x, w)  a = Add(m, b)  q, k, v = Split<axis = -1, num_outputs = 3>(a)
      t = Transpose<perm = [0, 2, 1]>(k)  s = MatMul(q, t)  p = Softmax(s)
      o = MatMul(p, v)  y = MatMul(o, last) }""",
              {**LAYER, "last": normal(4, 6)},
              ["Add", "Add", "Add", "MatMul", "MatMul", "MatMul", "MatMul", "MatMul", "MatMul",
               "Softmax", "Transpose"]),
    "split_of_positions": ("""(float[1,6,4] x) => (float[1,2,12] y) {
      m = MatMul(x, w)  a = Add(m, b)  q, k, v = Split<axis = 1, num_outputs = 3>(a)
      s = Mul(q, k)  t = Mul(s, v)  y = Softmax(t) }""", LAYER,
                           ["Add", "MatMul", "Mul", "Mul", "Softmax", "Split"]),
    "split_and_whole": ("""(float[1,6,4] x) => (float[1,6,4] y, float[1,6,12] a) {
      m = MatMul(x, w)  a = Add(m, b)  q, k, v = Split<axis = 2, num_outputs = 3>(a)
      s = Mul(q, k)  t = Mul(s, v)  y = Softmax(t) }""", LAYER,
                        ["Add", "MatMul", "Mul", "Mul", "Softmax", "Split"]),
    "split_unevenly": ("""(float[1,6,4] x) => (float[1,6,8] y, float[1,6,4] z) {
      m = MatMul(x, w)  a = Add(m, b)  q, z = Split<axis = 2>(a, sizes)  y = Softmax(q) }""",
                       {**LAYER, "sizes": np.array([8, 4])},
                       ["Add", "Add", "MatMul", "MatMul", "Softmax"]),
}


@pytest.mark.parametrize("name", CASES)
def test_layers(name: str) -> None:
    text, tensors, left = CASES[name]
    model = model_of(text, **tensors)
    result = assert_same(model)
    assert operators(result) == left
