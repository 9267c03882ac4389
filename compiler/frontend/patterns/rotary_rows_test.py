"""Rotary embeddings in front of the split of heads, and what is none."""

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


ROTATED = """
  h = Reshape(x, heads)  t = Transpose<perm = [0, 2, 1, 3]>(h)  c = Mul(t, cosines)
  low = Slice(t, zero, half, last)  high = Slice(t, half, end, last)  minus = Neg(high)
  turned = Concat<axis = -1>(minus, low)  s = Mul(turned, sines)  r = Add(c, s)
  y = Softmax(r)"""
CONSTANT = f"(float[1,5,12] x) => (float[1,3,5,4] y) {{ {ROTATED} }}"
TENSORS = {
    "heads": np.array([1, 5, 3, 4]), "zero": np.array([0]), "half": np.array([2]),
    "end": np.array([2**62]), "last": np.array([3]), "cosines": normal(1, 1, 5, 4, seed=2),
    "sines": normal(1, 1, 5, 4, seed=3),
}
DONE = sorted(["Add", "Gather", "Mul", "Mul", "Reshape", "Softmax", "Transpose"])


def test_factors_of_all_positions() -> None:
    assert operators(assert_same(model_of(CONSTANT, **TENSORS))) == DONE


def test_summands_the_other_way_round() -> None:
    text = CONSTANT.replace("Add(c, s)", "Add(s, c)").replace("Mul(t, cosines)", "Mul(cosines, t)")
    assert operators(assert_same(model_of(text, **TENSORS))) == DONE


def test_a_row_of_a_table() -> None:
    text = f"""(float[1,1,12] x, int64[1,1] position) => (float[1,3,1,4] y) {{
      f = Cast<to = 1>(position)  a = Mul(f, rates)  cf = Cos(a)  sf = Sin(a)
      cosines = Reshape(cf, four)  sines = Reshape(sf, four) {ROTATED} }}"""
    given = {name: value for name, value in TENSORS.items() if name not in ("cosines", "sines")}
    model = model_of(text, **given | {
        "heads": np.array([1, 1, 3, 4]), "four": np.array([1, 1, 1, 4]),
        "rates": np.array([1, 0.1, 1, 0.1], np.float32)})
    for position in (0, 3, 500):
        result = assert_same(model, {"x": normal(1, 1, 12), "position": np.array([[position]])})
    left = operators(result)
    assert {"Slice", "Concat", "Neg", "Cos", "Sin"}.isdisjoint(left) and left.count("Gather") == 3


@pytest.mark.parametrize(("old", "new"), [
    ("Concat<axis = -1>(minus, low)", "Concat<axis = -1>(low, minus)"),
    ("minus = Neg(high)", "minus = Relu(high)"),
    ("low = Slice(t, zero, half, last)", "low = Slice(t, half, end, last)"),
    ("c = Mul(t, cosines)", "c = Mul(turned, cosines)"),
])
def test_near_misses_stay(old: str, new: str) -> None:
    text = CONSTANT.replace(old, new)
    if "turned, cosines" in new:  # in an order that can be run
        text = text.replace(f"  {new}", "").replace("r = Add", f"{new}  r = Add")
    assert text != CONSTANT
    assert "Concat" in operators(assert_same(model_of(text, **TENSORS)))
