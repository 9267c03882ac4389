"""Nonlinear operators against onnxruntime's float results on the same integers.

Bounds here; the figures of docs/nonlinear.md are held by sim/operations.
"""

from typing import Any

import numpy as np
import pytest

from jacquard.sim.operations import rows
from jacquard.sim.operations.rows import EIGHT
from jacquard.sim.reference.interpreter import run_reference
from jacquard.sim.reference.nonlinear.softmax import EXP
from jacquard.sim.reference.one_operator import Errors, Grid, errors, float_result, qdq_model
from jacquard.sim.reference.value import AnyArray

EVERY: dict[str, AnyArray] = {
    "int8": np.arange(-128, 128, dtype=np.int8),
    "uint8": np.arange(0, 256, dtype=np.uint8),
    "int16": np.arange(-(2**15), 2**15, dtype=np.int16),
}
TANH_GELU = {"approximate": "tanh"}
UNARY: list[tuple[str, float, float, float, dict[str, Any]]] = [
    # op, largest |input|, output range, attributes
    ("Gelu", 8, -0.17, 8, {}), ("Gelu", 40, -0.17, 40, {}), ("Gelu", 8, -0.17, 8, TANH_GELU),
    ("Erf", 6, -1, 1, {}), ("Tanh", 6, -1, 1, {}), ("Tanh", 50, -1, 1, {}),
    ("Sigmoid", 10, 0, 1, {}), ("Sigmoid", 80, 0, 1, {}), ("HardSigmoid", 5, 0, 1, {}),
    ("HardSwish", 8, -0.375, 8, {}), ("Exp", 8, 0, 2981, {}), ("Log", 20, -4, 3, {}),
    ("Sqrt", 20, 0, 4.48, {}), ("Reciprocal", 20, -10, 10, {}),
]


def output_grid(dtype: str, lo: float, hi: float) -> Grid:
    if dtype == "uint8":
        return Grid(dtype, (hi - lo) / 255, round(-lo * 255 / (hi - lo)))
    return Grid(dtype, max(-lo, hi) / np.iinfo(dtype).max)


def input_grid(dtype: str, largest: float) -> Grid:
    return Grid(dtype, largest / (2.0**15 if dtype == "int16" else 128),
                120 if dtype == "uint8" else 0)


def unary_errors(case: tuple[Any, ...], given: str, result: str, opset: int = 21) -> Errors:
    op, largest, lo, hi, attributes = case
    out = output_grid(result, lo, hi)
    model = qdq_model(op, [(EVERY[given], input_grid(given, largest))], out, attributes, opset)
    inputs = {"q0": EVERY[given]}
    real = float_result(model, inputs)
    none = np.isnan(real)  # no value: the output's lowest; the root counts it as 0
    wide_root = op == "Sqrt" and given == "int16"
    exact = np.where(none, 0.0 if wide_root else -np.inf, real)
    return errors(model, inputs, out, exact)


@pytest.mark.parametrize("case", UNARY, ids=lambda c: f"{c[0]}_{c[1]}")
def test_unary(case: tuple[Any, ...]) -> None:
    for given in ("int8", "uint8"):
        for result in ("int8", "uint8", "int16"):
            assert unary_errors(case, given, result).largest < 0.5005  # float32 beside float64
    for result in ("int8", "uint8"):
        narrow = unary_errors(case, "int16", result)
        assert narrow.largest < 1 and narrow.beyond <= 0.001
    wide = unary_errors(case, "int16", "int16")
    assert wide.largest < 12 and wide.rms < 1.1  # 16 bits from 256 pieces


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0, 0.5, -1.0])
def test_power(exponent: float) -> None:
    grid = Grid("int16", 2.0 / 2**15)
    q = EVERY["int16"][2**15 + 1:]
    out = Grid("uint8", 2.0 ** abs(exponent) / 255)
    model = qdq_model("Pow", [(q, grid), np.array(exponent, np.float32)], out)
    found = errors(model, {"q0": q}, out)
    assert found.largest < 0.75 and found.beyond < 0.02


@pytest.mark.parametrize("kinds", [("int16", "int16"), ("uint8", "int16"), ("int16", "uint8"),
                                   ("uint16", "uint16")])
@pytest.mark.parametrize("result", ["uint8", "int16", "uint16"])
@pytest.mark.parametrize("far", [0.01, 1.0, 3000.0])
def test_quotient(kinds: tuple[str, str], result: str, far: float) -> None:
    """Every magnitude of both operands; results of small, middle and large quotients."""
    rng = np.random.default_rng(11)
    tensors = []
    for kind in kinds:
        info, zero = np.iinfo(kind), 0 if kind.startswith("int") else 96
        q = rng.integers(-(2**17), 2**17, 20000) >> rng.integers(0, 17, 20000)
        tensors.append((np.clip(q + zero, info.min, info.max).astype(kind), Grid(kind, 0.01, zero)))
    (a, x), (b, y) = tensors
    some = b != y.zero
    tensors = [(a[some], x), (b[some], y)]
    out = output_grid(result, -far, far) if result != "uint16" else Grid("uint16", 2 * far / 2**16,
                                                                         2**15)
    model = qdq_model("Div", tensors, out)
    exact = (tensors[0][0].astype(float) - x.zero) / (tensors[1][0].astype(float) - y.zero)
    inputs = {f"q{i}": q for i, (q, _) in enumerate(tensors)}
    assert errors(model, inputs, out, exact).largest < 0.51


def test_a_divisor_of_zero_is_half_a_step() -> None:
    a, b = np.array([[-7], [0], [12]], np.int16), np.zeros((1, 2), np.int8)
    model = qdq_model("Div", [(a, Grid("int16", 0.5)), (b, Grid("int8", 0.25))], Grid("int16", 1.0))
    y = run_reference(model, {"q0": a, "q1": b}).tensors["y"]
    assert y.tolist() == [[-28, -28], [0, 0], [48, 48]]


def test_uneven_zero_points_of_16_bits() -> None:
    q = np.arange(0, 2**16, dtype=np.uint16)
    out = output_grid("uint8", -0.17, 8)
    model = qdq_model("Gelu", [(q, Grid("uint16", 16 / 2**16, 30000))], out)
    assert errors(model, {"q0": q}, out).beyond < 0.001
    wide = qdq_model("Tanh", [(q, Grid("uint16", 60 / 2**16, 20000))], Grid("int8", 1 / 127))
    assert errors(wide, {"q0": q}, Grid("int8", 1 / 127)).beyond < 0.001


@pytest.mark.parametrize("n", [1, 16, 128, 1000, 1024])
@pytest.mark.parametrize("spread", [0.01, 0.5, 2.0, 5.0, 12.0])
def test_softmax(n: int, spread: float) -> None:
    q, grid = rows.logits(n, spread, n)
    sums, tops = rows.sums_and_tops(q, grid)
    assert sums < 0.01 and tops < 0.01
    exact = rows.softmax64(q, grid)
    assert errors(qdq_model("Softmax", [(q, grid)], EIGHT), {"q0": q}, EIGHT, exact).largest < 0.6


@pytest.mark.parametrize("distance", rows.DISTANCES)
def test_softmax_with_1023_tails(distance: float) -> None:
    """The worst row: whether each tail rounds to one step or to none decides for all of them."""
    sums, tops = rows.sums_and_tops(*rows.tails(distance))
    assert sums < 0.01 and tops < 0.01


def test_softmax_extremes() -> None:
    assert EXP.look_up(np.array([-(2**40)]))[0] == -(2**15)  # nothing is left of a masked element
    q = np.array([[2**31 - 1, -(2**31), 0], [-(2**31)] * 3], np.int32)
    y = run_reference(qdq_model("Softmax", [(q, Grid("int32", 0.01))], EIGHT), {"q0": q})
    assert y.tensors["y"].tolist() == [[255, 0, 0], [85, 85, 85]]
    longest = np.zeros((1, 32768), np.int16)
    grid = Grid("uint16", 2.0**-24)
    y = run_reference(qdq_model("Softmax", [(longest, Grid("int16", 0.01))], grid), {"q0": longest})
    assert np.abs(y.tensors["y"].astype(int) - 512).max() <= 1


def test_softmax_over_another_axis() -> None:
    q, grid = rows.logits(24, 2.0, 5)
    y = run_reference(qdq_model("Softmax", [(q, grid)], EIGHT), {"q0": q}).tensors["y"]
    model = qdq_model("Softmax", [(q.T, grid)], EIGHT, {"axis": 0})
    assert (run_reference(model, {"q0": q.T}).tensors["y"] == y.T).all()


@pytest.mark.parametrize("n", [64, 100, 768, 1024])
@pytest.mark.parametrize("op", ["LayerNormalization", "RMSNormalization"])
@pytest.mark.parametrize("bits", [8, 16])
def test_normalization(op: str, n: int, bits: int) -> None:
    for name in ("plain", "outliers", "far mean", "250"):
        if name == "250" and bits == 8:
            continue  # a step of 8 bits is 256: nothing left to normalize
        q = rows.inputs(name, n, bits)
        grid = Grid("int8" if bits == 8 else "int16", 3e-4 * 2.0 ** (16 - bits))
        gains, exact = rows.normalize64(op, q, grid)
        for dtype in ("int8", "int16"):
            out = output_grid(dtype, exact.min(), exact.max())
            model = qdq_model(op, [(q, grid), *gains], out, {"epsilon": 1e-5}, 23)
            found = errors(model, {"q0": q}, out, exact)
            assert found.far <= 0.001 and found.largest < 1.5
            theirs = float_result(model, {"q0": q})
            assert np.abs(theirs - exact).max() < 2e-4 * np.abs(exact).max()


def test_normalization_of_extreme_rows() -> None:
    """Bounds of every intermediate are asserted in normalization.py: these rows reach them."""
    low, high = -(2**15), 2**15 - 1
    for n in (1, 2, 896, 909, 910, 911, 32767, 32768):
        half = np.where(np.arange(n) % 2, low, high)
        lone = np.where(np.arange(n) == 0, high, low)
        q = np.stack([np.full(n, low), np.full(n, high), half, lone, np.zeros(n)]).astype(np.int16)
        out = Grid("int16", max(np.sqrt(n), 2.0) * 1.2 / 2**15)
        x = q.astype(np.float64)
        for op in ("LayerNormalization", "RMSNormalization"):
            centred = op == "LayerNormalization"
            d = x - x.mean(axis=-1, keepdims=True) if centred else x
            exact = d / np.sqrt((d * d).mean(axis=-1, keepdims=True) + 1e-5)
            gains = [np.ones(n, np.float32)] + [np.zeros(n, np.float32)] * centred
            for epsilon in (1e-5, 1e-30):
                model = qdq_model(op, [(q, Grid("int16", 1.0)), *gains], out,
                                  {"epsilon": epsilon}, 23)
                assert errors(model, {"q0": q}, out, exact).largest < 2.0


@pytest.mark.parametrize("op", ["LayerNormalization", "RMSNormalization"])
def test_normalization_of_extreme_bytes(op: str) -> None:
    n = 1023
    q = np.stack([np.full(n, 255), np.where(np.arange(n) % 2, 0, 255), np.arange(n) % 256])
    q = q.astype(np.uint8)
    out = Grid("int16", 2.5 / 2**15)
    d = q - q.mean(axis=-1, keepdims=True) if op == "LayerNormalization" else q.astype(float)
    exact = d / np.sqrt((d * d).mean(axis=-1, keepdims=True) + 1e-5)
    model = qdq_model(op, [(q, Grid("uint8", 1.0)), np.ones(n, np.float32)], out,
                      {"epsilon": 1e-5}, 23)
    assert errors(model, {"q0": q}, out, exact).largest < 0.6


def test_a_constant_row_gives_beta() -> None:
    beta = np.linspace(-1, 1, 64).astype(np.float32)
    q = np.full((2, 64), 1234, np.int16)
    out = Grid("int8", 1 / 127)
    model = qdq_model(
        "LayerNormalization", [(q, Grid("int16", 1e-3)), np.ones(64, np.float32), beta], out)
    y = run_reference(model, {"q0": q}).tensors["y"]
    assert (y == out.quantize(beta)).all()
