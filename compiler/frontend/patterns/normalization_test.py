"""Norms from their parts, and near misses."""

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


TENSORS = {
    "g": normal(16, seed=2), "b": normal(16, seed=3), "two": np.array(2, np.float32),
    "eps": np.array(1e-3, np.float32), "half": np.array(0.5, np.float32),
    "minus": np.array(-0.5, np.float32), "one": np.array(1, np.float32), "last": np.array([-1]),
    "middle": np.array([1]), "third": np.array([2]), "three": np.array(3, np.float32),
    "wide": normal(1, 1, 16, seed=4),
}
MEAN = "m = ReduceMean(x, last) d = Sub(x, m) "
LAYER = {
    "pow_sqrt_div": MEAN + "q = Pow(d, two) v = ReduceMean(q, last) e = Add(v, eps) r = Sqrt(e) "
                           "n = Div(d, r) s = Mul(n, g) y = Add(s, b)",
    "product_and_other_order": MEAN + "q = Mul(d, d) v = ReduceMean(q, third) e = Add(eps, v) "
                                      "r = Sqrt(e) n = Div(d, r) s = Mul(g, n) y = Add(b, s)",
    "two_differences": MEAN + "d2 = Sub(x, m) q = Pow(d2, two) v = ReduceMean(q, last) "
                              "e = Add(v, eps) r = Sqrt(e) n = Div(d, r) s = Mul(n, g) "
                              "y = Add(s, b)",
    "reciprocal": MEAN + "q = Pow(d, two) v = ReduceMean(q, last) e = Add(v, eps) r = Sqrt(e) "
                         "i = Reciprocal(r) n = Mul(d, i) s = Mul(n, wide) y = Add(s, b)",
    "power": MEAN + "q = Pow(d, two) v = ReduceMean(q, last) e = Add(v, eps) i = Pow(e, minus) "
                    "n = Mul(d, i) s = Mul(n, g) y = Add(s, b)",
    "quotient_of_one": MEAN + "q = Pow(d, two) v = ReduceMean(q, last) e = Add(v, eps) "
                              "r = Sqrt(e) i = Div(one, r) n = Mul(d, i) s = Mul(n, g) "
                              "y = Add(s, b)",
    "without_beta": MEAN + "q = Pow(d, two) v = ReduceMean(q, last) e = Add(v, eps) r = Sqrt(e) "
                           "n = Div(d, r) y = Mul(n, g)",
    "bare": MEAN + "q = Pow(d, two) v = ReduceMean(q, last) e = Add(v, eps) r = Sqrt(e) "
                   "y = Div(d, r)",
}
RMS = {
    "llama": "q = Pow(x, two) v = ReduceMean(q, last) e = Add(v, eps) r = Sqrt(e) "
             "i = Reciprocal(r) n = Mul(x, i) y = Mul(g, n)",
    "quotient": "q = Mul(x, x) v = ReduceMean(q, last) e = Add(v, eps) r = Sqrt(e) n = Div(x, r) "
                "y = Mul(n, g)",
    "bare": "q = Mul(x, x) v = ReduceMean(q, last) e = Add(v, eps) r = Pow(e, half) y = Div(x, r)",
}
OTHERS = {
    "other_axis": LAYER["pow_sqrt_div"].replace("(q, last)", "(q, middle)"),
    "cube": LAYER["pow_sqrt_div"].replace("Pow(d, two)", "Pow(d, three)"),
    "other_operand": LAYER["pow_sqrt_div"].replace("Div(d, r)", "Div(x, r)"),
}


def graph(body: str) -> str:
    return f"(float[2,5,16] x0) => (float[2,5,16] y) {{ x = Relu(x0) {body} }}"


@pytest.mark.parametrize("name", LAYER)
def test_layer_norm(name: str) -> None:
    assert operators(assert_same(model_of(graph(LAYER[name]), **TENSORS))) == [
        "LayerNormalization", "Relu"]


@pytest.mark.parametrize("name", RMS)
def test_rms_norm(name: str) -> None:
    assert operators(assert_same(model_of(graph(RMS[name]), **TENSORS))) == [
        "RMSNormalization", "Relu"]


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_none(name: str) -> None:
    found = operators(assert_same(model_of(graph(OTHERS[name]), **TENSORS)))
    assert not {"LayerNormalization", "RMSNormalization"} & set(found)


def test_old_opset_with_axes_as_attribute() -> None:
    body = LAYER["pow_sqrt_div"].replace("ReduceMean(x, last)", "ReduceMean<axes = [-1]>(x)"
                                         ).replace("ReduceMean(q, last)",
                                                   "ReduceMean<axes = [2]>(q)")
    model = model_of(graph(body), 'opset_import: ["" : 13]', **TENSORS)
    assert operators(assert_same(model)) == ["LayerNormalization", "Relu"]
