"""Softmax in front of a product: row weights against float64, and rows that sum to one."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from jacquard.sim.operations import rows
from jacquard.sim.reference.interpreter import run_reference
from jacquard.sim.reference.one_operator import Grid
from jacquard.sim.reference.value import AnyArray

VALUES = Grid("uint8", 0.023, 121)
OUT = Grid("int16", 1e-4, 0)


def attend(
    logits: AnyArray, grid: Grid, values: AnyArray, given: Grid, out: Grid, between: str = ""
) -> tuple[AnyArray, AnyArray]:
    """(weights, contexts) of logits [M, N] int16 and values [N, C] uint8. between: nodes that make
    `r` of the product `m`."""
    (m, n), c = logits.shape, values.shape[1]
    text = f"""<ir_version: 10, opset_import: ["" : 21]>
    weights (int16[{m},{n}] x, uint8[{n},{c}] v) => ({out.dtype}[{m},{c}] y) {{
      a = DequantizeLinear(x, sx, zx) p = Softmax(a) w = QuantizeLinear(p, sp, zp)
      q = DequantizeLinear(w, sp, zp) b = DequantizeLinear(v, sv, zv) m = MatMul(q, b)
      {between or "r = Identity(m)"} y = QuantizeLinear(r, sy, zy) }}"""
    model = parser.parse_model(text)
    for name, (kind, scale, zero) in {
        "x": (grid.dtype, grid.scale, grid.zero), "p": ("uint8", 0.4, 0),
        "v": (given.dtype, given.scale, given.zero), "y": (out.dtype, out.scale, out.zero),
    }.items():
        for constant, value in (
            (f"s{name}", np.float32(scale)), (f"z{name}", np.dtype(kind).type(zero)),
        ):
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), constant))
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(np.float32(0.3)), "gain"))
    onnx.checker.check_model(model)
    tensors = run_reference(model, {"x": logits, "v": values}).tensors
    return tensors["w"], tensors["y"].astype(np.int64)


def random_values(n: int) -> AnyArray:
    return VALUES.quantize(np.random.default_rng(n).normal(size=(n, 32)))


@pytest.mark.parametrize("n", [1, 16, 128, 1000, 1024])
@pytest.mark.parametrize("spread", [0.01, 0.5, 1.0, 2.0, 12.0])
def test_weights_and_contexts(n: int, spread: float) -> None:
    q, grid = rows.logits(n, spread, n)
    values = random_values(n)
    weights, found = attend(q, grid, values, VALUES, OUT)
    e = np.exp((q - q.max(axis=-1, keepdims=True).astype(np.float64)) * np.float32(grid.scale))
    # Half a step of rounding, and what the table's chords and steps of 2^-12 add.
    assert np.abs(weights - 255 * e).max() < 0.6
    total = weights.sum(axis=-1, keepdims=True, dtype=np.int64)
    centred = (values.astype(np.float64) - VALUES.zero) * np.float32(VALUES.scale)
    of_weights = weights / total @ centred
    real = found * np.float64(np.float32(OUT.scale))
    # A factor of 15 bits, and half a step of the result.
    assert np.abs(real - of_weights).max() < 0.5 * OUT.scale + 1e-4 * np.abs(of_weights).max()
    if spread <= 1:  # weights' roundings are independent: so far does their noise bring a context
        exact = rows.softmax64(q, grid)
        noise = 0.32 * np.sqrt(n) / total.mean() * centred.std() + OUT.scale
        assert np.sqrt(((real - exact @ centred) ** 2).mean()) < 1.5 * noise
        assert np.abs((weights / total).max(axis=-1) / exact.max(axis=-1) - 1).max() < 0.01


@pytest.mark.parametrize("spread", [0.01, 2.0, 12.0])
def test_rows_sum_to_one(spread: float) -> None:
    """Every key has the same value: that is the context, whatever the weights."""
    q, grid = rows.logits(1024, spread, 3)
    for value in (0, 1, 77, 121, 255):
        values = np.full((1024, 4), value, np.uint8)
        _, found = attend(q, grid, values, VALUES, Grid("uint8", VALUES.scale, 121))
        assert (found == value).all()


def test_the_longest_row() -> None:
    q = np.zeros((2, 32768), np.int16)
    q[1] = -(2**15)
    q[1, 5] = 2**15 - 1
    values = np.full((32768, 1), 255, np.uint8)
    values[5] = 7
    given = Grid("uint8", 0.01, 0)
    weights, found = attend(q, Grid("int16", 0.01), values, given, Grid("uint8", 0.01, 0))
    assert weights[0].min() == 255 and weights[1].sum(dtype=int) == 255
    assert found[:, 0].tolist() == [255, 7]


def test_gains_and_clamps_of_the_product() -> None:
    q, grid = rows.logits(40, 1.0, 4)
    values = random_values(40)
    _, plain = attend(q, grid, values, VALUES, OUT)
    _, gained = attend(q, grid, values, VALUES, OUT, "g = Mul(gain, m) r = Relu(g)")
    assert np.abs(gained - np.maximum(plain * float(np.float32(0.3)), 0)).max() < 1


def test_a_row_that_the_nan_guard_replaces() -> None:
    text = """<ir_version: 10, opset_import: ["" : 21]>
    guarded (int16[3,4] x, uint8[4,2] v) => (int16[3,2] y) {
      a = DequantizeLinear(x, s, z) s0 = Add(a, mask) p0 = Softmax(s0) n = IsNaN(p0)
      p = Where(n, nothing, p0) w = QuantizeLinear(p, s, zp) q = DequantizeLinear(w, s, zp)
      b = DequantizeLinear(v, s, zv) m = MatMul(q, b) y = QuantizeLinear(m, s, zy) }"""
    mask = np.zeros((3, 4), np.float32)
    mask[1] = -np.inf
    mask[2, :2] = -np.inf
    constants = {
        "s": np.float32(0.01), "z": np.int16(0), "zp": np.uint8(0), "zv": np.uint8(3),
        "zy": np.int16(-5), "mask": mask, "nothing": np.float32(0),
    }
    model = parser.parse_model(text)
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    values = np.array([[10, 20], [30, 40], [50, 60], [70, 80]], np.uint8)
    found = run_reference(model, {"x": np.zeros((3, 4), np.int16), "v": values}).tensors
    assert found["w"].tolist() == [[255] * 4, [0] * 4, [0, 0, 255, 255]]
    assert found["y"].tolist() == [[32, 42], [-5, -5], [52, 62]]
