"""Scales and NaN guards of decomposed attention."""

import numpy as np
import pytest

from jacquard.benchmarks.models.seeded import SeededStream
from jacquard.compiler.frontend.patterns.equivalence_test import (
    assert_same,
    model_of,
    operators,
    run,
)

ROOT = np.array(8.0**-0.25, np.float32)


def normal(*shape: int, seed: int = 1) -> np.ndarray:
    return SeededStream(seed).normal(shape)


SCALES = {
    "both_sides": ("a = Mul(q, r)  b = Mul(r, k)  y = MatMul(a, b)", ["MatMul", "Mul"]),
    "one_side_and_behind": ("a = Mul(q, r)  s = MatMul(a, k)  y = Mul(s, r)", ["MatMul", "Mul"]),
    "divided": ("s = MatMul(q, k)  y = Div(s, r)", ["MatMul", "Mul"]),
    "before_movements": ("""a = Mul(q, r)  t = Transpose<perm = [0, 1, 2]>(a)  b = Div(k, r)
      u = Transpose<perm = [0, 2, 1]>(b)  v = Transpose<perm = [0, 2, 1]>(u)
      s = MatMul(t, v)  y = Mul(s, r)""", ["MatMul", "Mul"]),
}


@pytest.mark.parametrize("name", SCALES)
def test_factors_meet_behind_the_product(name: str) -> None:
    body, wanted = SCALES[name]
    text = f"""(float[2,6,8] q, float[2,8,6] k) => (float[2,6,6] p) {{ {body}  p = Softmax(y) }}"""
    imported = assert_same(model_of(text, r=ROOT))
    assert operators(imported) == sorted([*wanted, "Softmax"])


LINEAR = """(float[1,6,8] x, float[1,8,6] k) => (float[1,6,6] p) {
  m = MatMul(x, w)  b = Add(m, c)  t = Reshape(b, same)  a = Mul(t, r)  kr = Mul(k, r)
  s = MatMul(a, kr)  p = Softmax(s) }"""


def test_the_layer_before_takes_the_factor() -> None:
    model = model_of(LINEAR, w=normal(8, 8), c=normal(8, seed=2), r=ROOT,
                     same=np.array([1, 6, 8]))
    assert operators(assert_same(model)) == ["Add", "MatMul", "MatMul", "Softmax"]


def test_a_layer_that_others_read_keeps_its_weights() -> None:
    text = LINEAR.replace("float[1,6,6] p)", "float[1,6,6] p, float[1,6,8] z)").replace(
        "p = Softmax(s)", "p = Softmax(s)  z = Relu(b)")
    model = model_of(text, w=normal(8, 8), c=normal(8, seed=2), r=ROOT, same=np.array([1, 6, 8]))
    assert "Mul" in operators(assert_same(model))


def test_weights_of_two_layers_are_not_scaled_for_one() -> None:
    text = LINEAR.replace("k) => (float[1,6,6] p)", "k) => (float[1,6,6] p, float[1,6,8] z)"
                          ).replace("p = Softmax(s)", "p = Softmax(s)  z = MatMul(x, w)")
    model = model_of(text, w=normal(8, 8), c=normal(8, seed=2), r=ROOT, same=np.array([1, 6, 8]))
    assert "Mul" in operators(assert_same(model))


def guarded(mask: str, body: str = "") -> str:
    return f"""(float[1,6,8] q, float[1,8,6] k, int64[1,1,6] m) => (float[1,6,6] y) {{
      s = MatMul(q, k)  c = Cast<to = 9>(m)  {body}  a = Add(s, {mask})  p = Softmax(a)
      n = IsNaN(p)  g = Where(n, zero, p)  y = Relu(g) }}"""


LOW = {"zero": np.array(0, np.float32), "low": np.array(np.finfo(np.float32).min)}
INFINITE = {"zero": np.array(0, np.float32), "low": np.array(-np.inf, np.float32)}
WHERE = "w = Where(c, zero, low)"


def feeds(mask: list[int]) -> dict[str, np.ndarray]:
    return {"q": normal(1, 6, 8), "k": normal(1, 8, 6, seed=2), "m": np.array([[mask]])}


def test_guard_behind_a_finite_mask_goes() -> None:
    model = model_of(guarded("w", WHERE), **LOW)
    imported = assert_same(model, feeds([1, 1, 0, 1, 0, 0]))
    assert "IsNaN" not in operators(imported)
    whole = feeds([0] * 6)
    assert_same(model, whole)
    np.testing.assert_allclose(run(imported, whole)[0], 1 / 6, rtol=1e-6)


def test_guard_behind_an_infinite_mask_stays() -> None:
    model = model_of(guarded("w", WHERE), **INFINITE)
    whole = feeds([0] * 6)
    imported = assert_same(model, whole)
    assert "IsNaN" in operators(imported)
    assert (run(imported, whole)[0] == 0).all()


@pytest.mark.parametrize(("rows", "stays"), [(np.tril(np.ones((6, 6))), False),
                                             (np.tril(np.ones((6, 6)), -1), True)])
def test_guard_behind_an_infinite_constant(rows: np.ndarray, stays: bool) -> None:
    """A causal mask leaves something in each row; one that masks row 0 does not."""
    mask = np.where(rows > 0, 0, -np.inf).astype(np.float32)[None]
    text = guarded("w").replace("c = Cast<to = 9>(m)", "").replace(", int64[1,1,6] m", "")
    model = model_of(text, w=mask, zero=np.array(0, np.float32))
    assert ("IsNaN" in operators(assert_same(model))) == stays


def test_guard_behind_a_mask_that_is_an_input_stays() -> None:
    text = guarded("w").replace("int64[1,1,6] m", "float[1,6,6] w").replace(
        "c = Cast<to = 9>(m)", "")
    model = model_of(text, zero=np.array(0, np.float32))
    inputs = {"q": normal(1, 6, 8), "k": normal(1, 8, 6), "w": np.full((1, 6, 6), -np.inf, "f")}
    assert "IsNaN" in operators(assert_same(model, inputs))
