"""Softmax and the normalizations over rows that are hard for them: their errors against float64.

Measured on sim/reference, which every compiled Program equals to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from jacquard.sim.reference.interpreter import run_reference
from jacquard.sim.reference.nonlinear.softmax import row_weights
from jacquard.sim.reference.one_operator import Grid, errors, qdq_model
from jacquard.sim.reference.value import AnyArray

FINE, EIGHT = Grid("uint16", 1 / 65535), Grid("uint8", 1 / 255)
LENGTHS, SPREADS = (16, 128, 1000, 1024), (0.01, 0.5, 2.0, 5.0, 12.0)
NARROW_SPREADS = (0.01, 0.5, 1.0)  # for which 8-bit weights leave a row's top where it is
NORMALIZED = (64, 100, 768, 1024)
DISTANCES = (9.7, 10.4, 11.0, 11.5, 11.8, 12.2)


def logits(n: int, spread: float, seed: int) -> tuple[AnyArray, Grid]:
    """60 normal rows of n, as int16."""
    scale = min(0.01, spread * 6 / 2**15)
    x = np.random.default_rng(seed).normal(size=(60, n)) * spread / scale
    return np.clip(np.rint(x), -(2**15), 2**15 - 1).astype(np.int16), Grid("int16", scale)


def tails(distance: float) -> tuple[AnyArray, Grid]:
    """One element that far above 1023 equal ones."""
    grid = Grid("int16", 0.0005)
    q = np.zeros((1, 1024), np.int16)
    q[0, 7] = round(distance / grid.scale)
    return q, grid


def softmax64(q: AnyArray, grid: Grid) -> AnyArray:
    """In float64."""
    x = q.astype(np.float64) * float(np.float32(grid.scale))
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    p: AnyArray = e / e.sum(axis=-1, keepdims=True)
    return p


def sums_and_tops(q: AnyArray, grid: Grid) -> tuple[float, float]:
    """To 16 bits: how far a row's sum lies from 1, and its top from the float one, relatively."""
    p = softmax64(q, grid)
    y = run_reference(qdq_model("Softmax", [(q, grid)], FINE), {"q0": q}).tensors["y"] / 65535
    top = np.abs(y.max(axis=-1) / p.max(axis=-1) - 1).max()
    return float(np.abs(y.sum(axis=-1) - 1).max()), float(top)


def tops_of_weights(q: AnyArray, grid: Grid) -> float:
    """In front of a product: how far a row's top over the sum lies from the float one."""
    weights = row_weights(q.astype(np.int64), None, float(np.float32(grid.scale)))
    exact = softmax64(q, grid)
    top = weights.max(axis=-1) / weights.sum(axis=-1) / exact.max(axis=-1)
    return float(np.abs(top - 1).max())


def inputs(name: str, n: int, bits: int) -> AnyArray:
    """40 rows for a normalization: plain, outliers, far mean, or a deviation in 16-bit steps."""
    rng = np.random.default_rng(n)
    x = rng.normal(size=(40, n))
    if name == "outliers":
        x = np.where(np.arange(n) == 3, 32767, x * 400)
    else:
        x = x * 1000 + 20000 if name == "far mean" else x * (8000 if name == "plain" else int(name))
    steps = np.rint(x / (256 if bits == 8 else 1))
    dtype = np.int8 if bits == 8 else np.int16
    return np.clip(steps, np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)


def normalize64(op: str, q: AnyArray, grid: Grid) -> tuple[list[AnyArray], AnyArray]:
    """Gains (gamma, and beta of LayerNormalization), and the result in float64; epsilon 1e-5."""
    rng, n = np.random.default_rng(1), q.shape[-1]
    noise = np.asarray(rng.normal(size=(2, n)))
    gamma = (noise[0] * 0.3 + 1).astype(np.float32) * np.where(np.arange(n) % 9, 1, -1)
    beta = (noise[1] * 0.2).astype(np.float32)
    x = q * np.float64(np.float32(grid.scale))
    layer = op == "LayerNormalization"
    d = x - x.mean(axis=-1, keepdims=True) if layer else x
    exact = d / np.sqrt((d * d).mean(axis=-1, keepdims=True) + np.float32(1e-5)) * gamma
    gains: list[AnyArray] = [gamma.astype(np.float32), beta]
    return (gains, exact + beta) if layer else (gains[:1], exact)


def symmetric(dtype: str, exact: AnyArray) -> Grid:
    """That holds a result."""
    return Grid(dtype, max(-exact.min(), exact.max()) / np.iinfo(dtype).max)


def _normalization(op: str, names: tuple[str, ...], dtype: str) -> tuple[float, float]:
    found = []
    for n in NORMALIZED:
        for name in names:
            for bits in (8, 16):
                if name.isdigit() and bits == 8:
                    continue  # a step of 8 bits is 256: nothing left to normalize
                q = inputs(name, n, bits)
                grid = Grid("int8" if bits == 8 else "int16", 3e-4 * 2.0 ** (16 - bits))
                gains, exact = normalize64(op, q, grid)
                out = symmetric(dtype, exact)
                model = qdq_model(op, [(q, grid), *gains], out, {"epsilon": 1e-5}, 23)
                measured = errors(model, {"q0": q}, out, exact)
                found.append((measured.largest, measured.rms))
    return max(f[0] for f in found), max(f[1] for f in found)


def _steps(error: tuple[float, float]) -> str:
    return f"{error[0]:.3f} / {error[1]:.3f}"


def _relative(error: tuple[float, float]) -> str:
    return f"sums within {100 * error[0]:.2f} %, top within {100 * error[1]:.2f} %"


def _softmax() -> Iterator[dict[str, Any]]:
    cases = [logits(n, spread, n) for n in LENGTHS for spread in SPREADS]
    narrow = []
    for q, grid in cases:
        model = qdq_model("Softmax", [(q, grid)], EIGHT)
        found = errors(model, {"q0": q}, EIGHT, softmax64(q, grid))
        narrow.append((found.largest, found.rms))
    worst_narrow = max(n[0] for n in narrow), max(n[1] for n in narrow)
    for name, rows, eight in (
        (f"Softmax, {min(LENGTHS)} to {max(LENGTHS)} elements, spreads {min(SPREADS)} to "
         f"{max(SPREADS):g}", cases, _steps(worst_narrow)),
        (f"Softmax, one element {min(DISTANCES)} to {max(DISTANCES)} above 1023 equal ones",
         [tails(distance) for distance in DISTANCES], ""),
    ):  # fmt: skip
        wide = [sums_and_tops(*row) for row in rows]
        worst = max(w[0] for w in wide), max(w[1] for w in wide)
        yield {"rows": name, "narrow": eight, "wide": _relative(worst)}


def _weights() -> Iterator[dict[str, Any]]:
    for spreads in (NARROW_SPREADS, SPREADS[2:]):
        tops = [tops_of_weights(*logits(n, spread, n)) for n in LENGTHS for spread in spreads]
        yield {
            "rows": f"Softmax in front of a product, {min(LENGTHS)} to {max(LENGTHS)} elements, "
                    f"spreads {min(spreads):g} to {max(spreads):g}",
            "narrow": f"sums 1, top within {100 * max(tops):.2f} %", "wide": "",
        }  # fmt: skip


def measure() -> list[dict[str, Any]]:
    """A dictionary for each line of the page."""
    hard = ("plain", "outliers", "far mean")
    found = [*_softmax(), *_weights()]
    for op, names, text in (
        ("LayerNormalization", hard, "normal, outlier of 80 deviations, mean 20 deviations away"),
        ("LayerNormalization", ("250",), "deviation of 250 input steps"),
        ("LayerNormalization", ("100",), "deviation of 100 input steps"),
        ("LayerNormalization", ("15",), "deviation of 15 input steps"),
        ("RMSNormalization", (*hard, "250"), "normal, outlier, mean far away, deviation of 250"),
    ):
        found.append({
            "rows": f"{op}, {min(NORMALIZED)} to {max(NORMALIZED)} elements, {text}",
            "narrow": _steps(_normalization(op, names, "int8")),
            "wide": _steps(_normalization(op, names, "int16")),
        })  # fmt: skip
    return found
