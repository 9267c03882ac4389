"""Sqrt, Log and Reciprocal of 16-bit tensors: a table over one octave pair, scaled by the exponent.

docs/nonlinear.md, "Functions with a pole": one table over the input's grid is too coarse beside 0.
"""

import math

import numpy as np

from jacquard.proto.lib.fixed_point import Int64Array, quantize_multipliers, rounding_shift
from jacquard.sim.reference.nonlinear.rows import exponent, held, norm, product
from jacquard.sim.reference.nonlinear.softmax import RECIPROCAL
from jacquard.sim.reference.nonlinear.table import T_MAX, T_MIN, Table, interpolated
from jacquard.sim.reference.pending import Target


def _table(function: np.ufunc) -> Table:
    """16384 * function(mu) for mu from 1 to 4; 0 below."""
    return interpolated(
        lambda t: np.where(t < -16384, 0.0, 16384.0 * function((t + 32768.0) / 16384.0)),
        0, T_MAX, 0,
    )


ROOT, LOGARITHM = _table(np.sqrt), _table(np.log)
MOST = 14  # the exponent of 65535, the largest magnitude of a 16-bit tensor less its zero point


def _mantissa(table: Table, x: Int64Array) -> Int64Array:
    return np.clip(table.look_up(rounding_shift(norm(x), 14) - 32768), T_MIN, T_MAX)


def _factor(real: float) -> tuple[int, int]:
    mult, shift = quantize_multipliers([real])
    return int(mult[0]), shift


def square_root(x: Int64Array, scale: float, target: Target) -> Int64Array:
    """sqrt(x * scale) on the target's grid; 0 for x <= 0."""
    c, sh = _factor(math.sqrt(scale) / (16384.0 * target.scale))
    moved = held(_mantissa(ROOT, x) << (exponent(x) >> 1), "square root")
    return rounding_shift(product(moved, c, "square root"), sh) + target.zero


def logarithm(x: Int64Array, scale: float, target: Target) -> Int64Array:
    """ln(x * scale) on the target's grid; the type's lowest value for x <= 0."""
    (m, h), sh = quantize_multipliers(
        [1.0 / (16384.0 * target.scale), math.log(2.0) / (32768.0 * target.scale)]
    )
    octaves = held(exponent(x) * 32768 + int(np.rint(math.log2(scale) * 32768.0)), "logarithm")
    total = product(_mantissa(LOGARITHM, x), int(m), "logarithm") + product(
        octaves, int(h), "logarithm"
    )
    return np.where(x > 0, rounding_shift(total, sh) + target.zero, target.lo)


def reciprocal(x: Int64Array, scale: float, target: Target) -> Int64Array:
    """1 / (x * scale) on the target's grid; the type's highest value for 0."""
    c, sh = _factor(1.0 / (32767.0 * 2.0**MOST * scale * target.scale))
    size = np.abs(x)
    moved = held(_mantissa(RECIPROCAL, size) << (MOST - exponent(size)), "reciprocal")
    y = rounding_shift(product(moved * np.sign(x), c, "reciprocal"), sh) + target.zero
    return np.where(x == 0, target.hi, y)
