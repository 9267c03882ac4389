"""Slices in front of what computes each row alone; integers stay, other Slices too."""

from collections import Counter

import numpy as np
import onnx
import pytest

from jacquard.benchmarks.models.seeded import SeededStream, calibration_batches, seeded_inputs
from jacquard.compiler.frontend import quantize
from jacquard.compiler.frontend.fold import shapes_of
from jacquard.compiler.frontend.import_model import import_model
from jacquard.compiler.frontend.patterns.equivalence_test import model_of, run

LAYER = """(float[1,6,8] x) => (float[1,1,8] y, float[1,6,8] k, float[1,6,8] v) {
  n = LayerNormalization(x, g, b)
  q = MatMul(n, wq)  k = MatMul(n, wk)  v = MatMul(n, wv)
  t = Transpose<perm = [0, 2, 1]>(k)  s = MatMul(q, t)  a = Add(s, mask)  p = Softmax(a)
  o = MatMul(p, v)  h = MatMul(o, wo)  r = Add(h, x)
  m = LayerNormalization(r, g, b)  u = MatMul(m, wu)  e = Gelu(u)  d = MatMul(e, wd)
  z = Add(d, r)  l = Slice(z, start, end, axis)  y = MatMul(l, wy) }"""


def layer(text: str = LAYER, **changes: np.ndarray) -> onnx.ModelProto:
    stream = SeededStream(1)
    tensors = {f"w{name}": stream.normal((8, 8)) / 3 for name in "qkvoudy"}
    tensors |= {"g": stream.uniform((8,), 0.5, 1.5), "b": stream.normal((8,)) / 4}
    tensors["mask"] = np.where(np.tri(6) > 0, 0, -1e4).astype(np.float32)
    tensors |= {"start": np.array([-1]), "end": np.array([2**62]), "axis": np.array([1])}
    return import_model(model_of(text, **(tensors | changes)).SerializeToString())


def quantized(model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch) -> list[onnx.ModelProto]:
    """With the rows that nobody reads, and without."""
    found = [quantize.quantize_model(model, calibration_batches(model, 0, 4))]
    monkeypatch.setattr(quantize, "without_unread", lambda model: model)
    return [quantize.quantize_model(model, calibration_batches(model, 0, 4)), *found]


def rows(model: onnx.ModelProto, kind: str) -> list[int]:
    shapes = shapes_of(model.graph)
    return [shapes[n.output[0]][-2] for n in model.graph.node if n.op_type == kind]


def test_one_row_of_the_last_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    model = layer()
    whole, cut = quantized(model, monkeypatch)
    assert sorted(rows(cut, "MatMul")) == [1] * 7 + [6, 6]  # keys and values of all positions
    assert rows(whole, "MatMul").count(1) == 1
    assert rows(cut, "Softmax") == rows(cut, "Gelu") == [1]
    assert Counter(rows(cut, "LayerNormalization")) == {6: 1, 1: 1}
    for seed in range(4):
        inputs = seeded_inputs(model, seed)
        for left, right in zip(run(whole, inputs), run(cut, inputs), strict=True):
            # Float sums of one row or of six may differ in their last bits: one step in many.
            assert (left == right).mean() > 0.98
            np.testing.assert_allclose(left, right, atol=np.ptp(left) / 100)


def test_a_slice_of_features_stays_behind_what_mixes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    wy = SeededStream(9).normal((3, 8))
    text = LAYER.replace("float[1,1,8] y", "float[1,6,8] y")
    model = layer(text, start=np.array([2]), end=np.array([5]), axis=np.array([2]), wy=wy)
    assert rows(quantized(model, monkeypatch)[1], "LayerNormalization") == [6, 6]


def test_what_is_an_output_too_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    text = LAYER.replace("float[1,6,8] v)", "float[1,6,8] v, float[1,6,8] z)")
    assert rows(quantized(layer(text), monkeypatch)[1], "LayerNormalization") == [6, 6]
