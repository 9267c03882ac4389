"""Every way in which Gelu, Swish and HardSwish are written, and near misses."""

import math

import numpy as np
import onnx
import pytest

from jacquard.compiler.frontend.patterns.equivalence_test import (
    assert_same,
    model_of,
    operators,
)
from jacquard.compiler.frontend.patterns.view import attributes_of

NUMBERS = {
    "half": 0.5, "one": 1.0, "root": math.sqrt(2), "inverse": math.sqrt(0.5), "three": 3.0,
    "pi": math.sqrt(2 / math.pi), "cubic": 0.044715, "two": 2.0, "quick": 1.702,
}
FORMS = {
    "erf_divided": ("d = Div(x, root) e = Erf(d) f = Add(e, one) g = Mul(x, f) y = Mul(g, half)",
                    "none"),
    "erf_half_first": ("h = Mul(x, half) d = Div(x, root) e = Erf(d) f = Add(e, one) y = Mul(h, f)",
                       "none"),
    "erf_half_inside": ("d = Mul(x, inverse) e = Erf(d) f = Add(one, e) g = Mul(half, f) "
                        "y = Mul(x, g)", "none"),
    "gelu_new": ("h = Mul(x, half) p = Pow(x, three) c = Mul(p, cubic) a = Add(x, c) "
                 "m = Mul(a, pi) t = Tanh(m) f = Add(t, one) y = Mul(h, f)", "tanh"),
    "cube_by_products": ("q = Mul(x, x) p = Mul(q, x) c = Mul(cubic, p) a = Add(x, c) "
                         "m = Mul(pi, a) t = Tanh(m) f = Add(one, t) g = Mul(x, f) "
                         "y = Mul(g, half)", "tanh"),
    "gelu_fast": ("q = Mul(x, x) c = Mul(q, cubic) i = Add(c, one) z = Mul(x, pi) m = Mul(z, i) "
                  "t = Tanh(m) f = Add(t, one) h = Mul(x, half) y = Mul(h, f)", "tanh"),
}


def gelu_model(body: str, before: str = "", **numbers: float) -> onnx.ModelProto:
    tensors = {name: np.array(value, np.float32) for name, value in (NUMBERS | numbers).items()}
    return model_of(f"(float[4,64] x0) => (float[4,64] y) {{ {before or 'x = Relu(x0)'} {body} }}",
                    **tensors)


@pytest.mark.parametrize("before", ["x = Neg(x0)", "x = Mul(x0, three)", "x = Mul(x0, x0)"])
@pytest.mark.parametrize("name", FORMS)
def test_gelu(name: str, before: str) -> None:
    body, form = FORMS[name]
    imported = assert_same(gelu_model(body, before))
    assert operators(imported) == sorted(["Gelu", before.split()[2].split("(")[0]])
    (gelu,) = [node for node in imported.graph.node if node.op_type == "Gelu"]
    assert attributes_of(gelu)["approximate"].decode() == form


@pytest.mark.parametrize("numbers", [{"half": 0.4}, {"one": 1.1}, {"cubic": 0.05}, {"pi": 0.9},
                                     {"root": 1.5, "inverse": 0.8}])
@pytest.mark.parametrize("name", FORMS)
def test_other_numbers_are_no_gelu(name: str, numbers: dict[str, float]) -> None:
    body, _ = FORMS[name]
    if not any(number in body for number in numbers):
        return
    assert "Gelu" not in operators(assert_same(gelu_model(body, **numbers)))


def test_parts_that_others_read_are_kept() -> None:
    body, _ = FORMS["erf_divided"]
    model = model_of(f"(float[4,64] x) => (float[4,64] y, float[4,64] f) {{ {body} }}",
                     **{name: np.array(value, np.float32) for name, value in NUMBERS.items()})
    assert operators(assert_same(model)) == ["Add", "Erf", "Gelu", "Mul"]


GATED = {
    "silu": ("s = Sigmoid(x) y = Mul(x, s)", ["Relu", "Swish"]),
    "silu_reversed": ("s = Sigmoid(x) y = Mul(s, x)", ["Relu", "Swish"]),
    "quick_gelu": ("m = Mul(x, quick) s = Sigmoid(m) y = Mul(x, s)", ["Relu", "Swish"]),
    "gate_of_another": ("n = Neg(x) s = Sigmoid(n) y = Mul(x, s)",
                        ["Mul", "Neg", "Relu", "Sigmoid"]),
    "hard_swish": ("s = HardSigmoid<alpha = 0.16666667, beta = 0.5>(x) y = Mul(x, s)",
                   ["HardSwish", "Relu"]),
    "hard_gate": ("s = HardSigmoid<alpha = 0.2, beta = 0.5>(x) y = Mul(x, s)",
                  ["HardSigmoid", "Mul", "Relu"]),
}


@pytest.mark.parametrize("name", GATED)
def test_gated(name: str) -> None:
    body, wanted = GATED[name]
    assert operators(assert_same(gelu_model(body))) == wanted
