"""Unary functions of every integer: to half a step on 8 bits, to the reference's bits on 16."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jacquard.benchmarks.conformance.run import run
from jacquard.benchmarks.conformance.small_model import On, model
from jacquard.compiler.main import compile_model
from jacquard.proto.lib.arch import load_config
from jacquard.sim.reference.interpreter import run_reference


def _gelu(x: float) -> float:
    return x / 2 * math.erfc(-x / math.sqrt(2))


def _gelu_tanh(x: float) -> float:
    return x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


# Operator, attributes, the function by Python's own arithmetic, whether it is of positive numbers.
FUNCTIONS: tuple[tuple[str, dict[str, Any], Callable[[float], float], bool], ...] = (
    ("Gelu", {}, _gelu, False),
    ("Gelu", {"approximate": "tanh"}, _gelu_tanh, False),
    ("Erf", {}, math.erf, False),
    ("Tanh", {}, math.tanh, False),
    ("Sigmoid", {}, _sigmoid, False),
    ("Swish", {"alpha": 1.5}, lambda x: x * _sigmoid(1.5 * x), False),
    ("HardSigmoid", {"alpha": 0.25}, lambda x: min(max(x / 4 + 0.5, 0), 1), False),
    ("HardSwish", {}, lambda x: x * min(max(x + 3, 0), 6) / 6, False),
    ("Exp", {}, math.exp, False),
    ("Log", {}, math.log, True),
    ("Sqrt", {}, math.sqrt, True),
    ("Reciprocal", {}, lambda x: 1 / x, True),
)
IDS = [f"{op}{'-tanh' if a.get('approximate') else ''}" for op, a, _, _ in FUNCTIONS]
GRIDS = (  # of the operand, for functions of all numbers
    (On(0.05, 3, "int8"), On(0.0123, -5, "int8")),
    (On(0.021, 128, "uint8"), On(0.02, 7, "uint8")),
    (On(0.3, -20, "int8"), On(0.001, 0, "int16")),
)


@pytest.mark.parametrize(("op", "attributes", "function", "positive"), FUNCTIONS, ids=IDS)
@pytest.mark.parametrize("which", range(len(GRIDS)))
def test_8_bits_are_exact_to_half_a_step(
    op: str, attributes: dict[str, Any], function: Callable[[float], float], positive: bool,
    which: int,
) -> None:
    x, y = GRIDS[which]
    limits = np.iinfo(x.dtype)
    if positive:
        x = On(x.scale, int(limits.min), x.dtype)
    q = np.arange(limits.min, limits.max + 1).reshape(4, 64)
    made = model([(op, "x", "y", attributes)], {"x": q.shape}, {"x": x, "y": y}, ["y"])
    arch = load_config("nano4")
    (found,) = run(compile_model(made, arch), arch, {"x": x.reals(q)}).values()
    kept = np.iinfo(y.dtype)
    for integer, result in zip(q.reshape(-1).tolist(), found.reshape(-1).tolist(), strict=True):
        real = (integer - x.zero) * float(np.float32(x.scale))
        if positive and real == 0:
            continue
        exact = function(real) / float(np.float32(y.scale)) + y.zero
        assert abs(result - min(max(exact, kept.min), kept.max)) <= 0.5 + 1e-9, (integer, exact)


WIDE = (
    (On(8 / 32768, 0, "int16"), On(8 / 128, 0, "int8")),
    (On(60 / 32768, 0, "int16"), On(60 / 32768, 100, "int16")),
    (On(9 / 32768, 20000, "uint16"), On(9 / 32768, -50, "int16")),
)


@pytest.mark.parametrize(("op", "attributes"), [f[:2] for f in FUNCTIONS], ids=IDS)
@pytest.mark.parametrize("which", range(len(WIDE)))
def test_16_bits_equal_the_reference(op: str, attributes: dict[str, Any], which: int) -> None:
    x, y = WIDE[which]
    limits = np.iinfo(x.dtype)
    q = np.arange(limits.min, limits.max + 1).reshape(4096, 16)
    made = model([(op, "x", "y", attributes)], {"x": q.shape}, {"x": x, "y": y}, ["y"])
    arch, inputs = load_config("edge16"), {"x": x.reals(q)}
    found = run(compile_model(made, arch), arch, inputs)
    expected = run_reference(made, inputs).integer_outputs
    for name, integers in expected.items():
        np.testing.assert_array_equal(found[name], integers)
