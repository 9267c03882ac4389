"""The constants of a softmax's integer sequence (docs/nonlinear.md, "Softmax")."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from jacquard.compiler.codelets._linear import scaled
from jacquard.compiler.codelets.base import Array, bounds
from jacquard.compiler.codelets.elementwise._scaling import factors_to_multipliers
from jacquard.compiler.graph.ir import Grid, Op, QTensor
from jacquard.compiler.tile.attention import Requantize, WeightTables
from jacquard.compiler.tile.lowering import dtype_of
from jacquard.compiler.tile.table import (
    NARROW_BITS,
    WIDE_BITS,
    RealFunction,
    Table,
    TableStage,
    interpolated,
)
from jacquard.proto.lib.fixed_point import requantization_scale

STEPS = 4096  # of the exponent's argument, per unit
TOP = 65535  # the largest exponential; stored less MIDDLE
MIDDLE = 32768
LARGEST = 32767
WEIGHT = 255  # the largest weight of a row
UNIT = 256  # weights count so much in a sum, which keeps it above 2**15


@dataclasses.dataclass(frozen=True)
class SoftmaxTables:
    """The softmax's constants: int16[256, 2] tables, multipliers and shifts (docs/nonlinear.md).

    mult, shift: m and sh of the exponent; factor_mult: c of F; `result`: the way to probabilities.
    """

    exponential: npt.NDArray[np.int16]
    reciprocal: npt.NDArray[np.int16]
    mult: int
    shift: int
    factor_mult: int
    result: Requantize


def _exponential(t: np.ndarray) -> np.ndarray:
    return TOP * np.exp((t - LARGEST) / STEPS) - MIDDLE


def _weight(t: np.ndarray) -> np.ndarray:
    return WEIGHT * np.exp((t - LARGEST) / STEPS)


def _reciprocal(t: np.ndarray) -> np.ndarray:
    """Of mu in [1, 4), in steps of 1 / 32767."""
    return LARGEST * 16384.0 / np.maximum(t + 32768.0, 16384.0)


def _table(function: RealFunction, lo: int) -> Table:
    return interpolated(function, lo, LARGEST, WIDE_BITS).table


EXPONENTIAL, RECIPROCAL = _table(_exponential, -MIDDLE), _table(_reciprocal, 0)
WEIGHTS: TableStage = interpolated(_weight, 0, WEIGHT, NARROW_BITS)


def exponent_step(op: Op, scale: float) -> tuple[int, int]:
    """(m, sh) of the exponent of logits in steps of `scale`."""
    (mult,), shift = factors_to_multipliers(op, [scale * STEPS])
    return mult, shift


def product_factors(op: Op, steps: Array, y: QTensor) -> tuple[tuple[int, ...], int]:
    """(c for each of `steps`, sh) of a product of weights with values of those scales, to y."""
    step = scaled(steps.reshape(-1), op.attrs.get("gains", ()))
    factors = 2.0 * UNIT * requantization_scale([step], np.float64(y.grid.scale)) / LARGEST
    mults, shift = factors_to_multipliers(op, factors.tolist())
    return tuple(mults), shift


def softmax_tables(op: Op, scale: float, y: Grid) -> SoftmaxTables:
    """For logits in steps of `scale` and a result on grid y, with the op's clamp."""
    mult, shift = exponent_step(op, scale)
    (factor,), result_shift = factors_to_multipliers(op, [2.0 / (LARGEST * y.scale)])
    lo, hi = bounds(op, y)
    dtype = dtype_of(QTensor(op.outputs[0], (), y))
    result = Requantize(1, result_shift, y.zero_point, lo, hi, dtype)
    return SoftmaxTables(EXPONENTIAL, RECIPROCAL, mult, shift, factor, result)


def weight_tables(op: Op, scale: float, factor_mults: tuple[int, ...]) -> WeightTables:
    """For logits in steps of `scale`; factor_mults: c of the rows' factors."""
    mult, shift = exponent_step(op, scale)
    return WeightTables(WEIGHTS.table, WEIGHTS.table_shift, RECIPROCAL, mult, shift, UNIT,
                        factor_mults)
