"""Cosines and sines of a run-time position become rows of a table."""

import numpy as np
import onnx
from onnx import numpy_helper

from jacquard.benchmarks.models.seeded import SeededStream
from jacquard.compiler.frontend.patterns.equivalence_test import (
    assert_same,
    model_of,
    operators,
)
from jacquard.compiler.frontend.patterns.rotary import POSITIONS

STEP = """(float[1,2,1,8] x, int64[1,{n}] position) => (float[1,2,1,8] y) {{
  u = Unsqueeze(position, two)  f = Cast<to = 1>(u)  a = Mul(f, rates)
  e = Concat<axis = -1>(a, a)  c = Cos(e)  s = Sin(e)
  c4 = Unsqueeze(c, one)  s4 = Unsqueeze(s, one)
  p = Mul(x, c4)  q = Mul(x, s4)  r = Add(p, q)  y = Softmax(r) }}"""
TENSORS = {
    "one": np.array([1]), "two": np.array([2]),
    "rates": np.array([1.0, 0.1, 0.01, 0.001], np.float32),
}


def inputs(position: int) -> dict[str, np.ndarray]:
    return {"x": SeededStream(1).normal((1, 2, 1, 8)), "position": np.array([[position]])}


def test_rows_of_a_table() -> None:
    model = model_of(STEP.format(n=1), **TENSORS)
    for position in (0, 1, 77, POSITIONS - 1):
        result = assert_same(model, inputs(position))
    left = operators(result)
    assert left.count("Gather") == 2 and not {"Cos", "Sin", "Cast", "Concat"} & set(left)
    tables = [t for t in result.graph.initializer if list(t.dims) == [POSITIONS, 8]]
    angles = np.arange(POSITIONS)[:, None] * np.tile(TENSORS["rates"], 2).astype(np.float64)
    found = sorted((numpy_helper.to_array(t) for t in tables), key=lambda t: t[0, 0])
    for table, wave in zip(found, (np.sin, np.cos), strict=True):
        np.testing.assert_allclose(table, wave(angles), atol=3e-4)  # float32 angles up to 4095


def test_several_positions_stay() -> None:
    text = STEP.format(n=3).replace("[1,2,1,8] y", "[1,2,3,8] y")
    assert {"Cos", "Sin"} <= set(operators(assert_same(model_of(text, **TENSORS))))


def test_waves_of_data_stay() -> None:
    text = """(float[1,8] x, int64[1,1] position) => (float[1,8] y) {
      f = Cast<to = 1>(position)  a = Mul(x, f)  c = Cos(a)  y = Softmax(c) }"""
    model = model_of(text)
    given = {"x": SeededStream(1).normal((1, 8)), "position": np.array([[3]])}
    assert "Cos" in operators(assert_same(model, given))


def test_masks_of_a_position_stay() -> None:
    """A float made without a wave: the Softmax must see it as the mask that it is."""
    text = """(float[1,8] x, int64[1,1] position) => (float[1,8] y) {
      k = LessOrEqual(places, position)  w = Where(k, zero, low)  a = Add(x, w)  y = Softmax(a) }"""
    model: onnx.ModelProto = model_of(
        text, places=np.arange(8)[None], zero=np.array(0, np.float32),
        low=np.array(-1e4, np.float32))
    given = {"x": SeededStream(1).normal((1, 8)), "position": np.array([[3]])}
    assert "Where" in operators(assert_same(model, given))
