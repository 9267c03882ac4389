"""The one definition of requantization: real scales to integers, integers to integers.

A real factor `scale` is applied to an integer as `(x * mult) >> shift`, where `mult` is an int32
and the shift rounds half to even, as ONNX QuantizeLinear does. All factors of one vector (the
channels of a convolution, the two operands of an Add) share one shift, because the hardware holds
one shift per instruction; entries much smaller than the largest lose low bits of their multiplier
and nothing else.

The compiler, the integer reference and the functional simulator import this module; the RTL is
compared with it. Products must fit an int64: `|x| <= 2**31` leaves room for two of them.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from jacquard.proto.lib.errors import UserError

Int64Array = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]

MAX_SHIFT = 62
MAX_MULTIPLIER = 2**31 - 1
# A factor outside these bounds comes from a broken model (a mask of -3.4e38 that was calibrated as
# data gives scales of 1e36), never from one that computes something.
MIN_SCALE = 2.0**-40
MAX_SCALE = 2.0**24
OFFSET_STEP = 2.0**-16  # of an output LSB: see quantize_offset


def quantize_multipliers(scales: npt.ArrayLike) -> tuple[npt.NDArray[np.int32], int]:
    """Integer multipliers for real factors, under one shared shift.

    The shift is the largest in [0, 62] with `round_half_even(scale * 2**shift) <= 2**31 - 1` for
    every entry. A factor of zero is allowed (a channel that is always zero).

    Args:
      scales: float64[n], n >= 1.

    Returns:
      `(mult int32[n], shift)`.

    Raises:
      UserError: an entry is negative, not finite or above 2**24, or the largest is below 2**-40.
    """
    vector = np.asarray(scales, dtype=np.float64).reshape(-1)
    if vector.size == 0:
        raise ValueError("quantize_multipliers: at least one scale is needed, got none")
    for bad, rule in (
        (~np.isfinite(vector), "must be finite"),
        (vector < 0, "must not be negative"),
        (vector > MAX_SCALE, "must be at most 2**24"),
    ):
        if bad.any():
            index = int(np.argmax(bad))
            raise UserError(
                f"requantization factor {index}: {rule}, got {vector[index]!r}; "
                "recalibrate the model with data in its normal range"
            )
    largest = float(vector.max())
    if largest == 0.0:
        return np.zeros(vector.shape, np.int32), MAX_SHIFT
    if largest < MIN_SCALE:
        raise UserError(
            f"requantization factors: the largest must be at least 2**-40, got {largest!r}; "
            "recalibrate the model with data in its normal range"
        )
    exponent = int(np.frexp(largest)[1])  # largest = m * 2**exponent, m in [0.5, 1)
    shift = min(31 - exponent, MAX_SHIFT)
    if np.rint(np.ldexp(largest, shift)) > MAX_MULTIPLIER:
        shift -= 1
    return np.rint(np.ldexp(vector, shift)).astype(np.int32), shift


def rounding_shift(x: npt.ArrayLike, shift: int) -> Int64Array:
    """`x / 2**shift`, rounded half to even.

    Args:
      x: int64, any shape.
      shift: 0 to 62.

    Returns:
      int64, the shape of `x`.
    """
    value = np.asarray(x, dtype=np.int64)
    if not 0 <= shift <= MAX_SHIFT:
        raise ValueError(f"rounding_shift: shift must be in [0, 62], got {shift}")
    if shift == 0:
        return value
    floor = value >> shift
    remainder = value & ((1 << shift) - 1)
    # Up when above the half, or on the half with an odd floor: floor & 1 lowers the threshold.
    up = remainder + (floor & 1) > (1 << (shift - 1))
    result: Int64Array = floor + up
    return result


def requantize_sum(
    operands: Sequence[tuple[npt.ArrayLike, npt.ArrayLike]],
    shift: int,
    zero_point: int,
    lo: npt.ArrayLike,
    hi: npt.ArrayLike,
) -> Int64Array:
    """`clamp(rounding_shift(sum(x * mult), shift) + zero_point, lo, hi)`: one rounding.

    Args:
      operands: `(x int64, mult)` pairs that broadcast against each other; a negative `mult`
        subtracts. `sum(|x| * |mult|)` must stay below 2**63.
      shift, zero_point: of the output.
      lo, hi: inclusive bounds, with the zero point in.
    """
    total: Int64Array | None = None
    for x, mult in operands:
        product = np.asarray(x, np.int64) * np.asarray(mult, np.int64)
        total = product if total is None else total + product
    if total is None:
        raise ValueError("requantize_sum: at least one operand is needed, got none")
    shifted = rounding_shift(total, shift) + zero_point
    return np.minimum(np.maximum(shifted, lo), hi).astype(np.int64, copy=False)


def requantize(
    acc: npt.ArrayLike,
    mult: npt.ArrayLike,
    shift: int,
    zero_point: int,
    lo: npt.ArrayLike,
    hi: npt.ArrayLike,
) -> Int64Array:
    """`clamp(rounding_shift(acc * mult, shift) + zero_point, lo, hi)`, int64."""
    return requantize_sum([(acc, mult)], shift, zero_point, lo, hi)


def requantization_scale(
    numerators: Sequence[npt.ArrayLike], output_scale: npt.ArrayLike, divisor: npt.ArrayLike = 1
) -> Float64Array:
    """The real factor of an operand, in the one order of operations that everybody uses.

    `((n0 * n1) * n2 ...) / (divisor * output_scale)` in float64. Scales are float32 in the model,
    so that the product of two is exact and the quotient is rounded once.

    Args:
      numerators: the operand's scales: `[sx, sw]` behind a convolution, `[sa]` for an Add.
      output_scale: `sy` of the QuantizeLinear.
      divisor: the count of averaged elements, 1 elsewhere.
    """
    product = np.asarray(np.float64(1.0))
    for numerator in numerators:
        product = product * np.asarray(numerator, np.float64)
    divided = product / (np.asarray(divisor, np.float64) * np.asarray(output_scale, np.float64))
    return np.asarray(divided, np.float64)


def quantize_bound(bound: float, scale: float, zero_point: int, lo: int, hi: int) -> int:
    """Where a real clamp bound lies on an output grid: `round_half_even(bound / scale)` + zero
    point, clamped to `[lo, hi]`. Infinite bounds give `lo` or `hi`.

    Quantization is monotone, so clamping before it at `bound` equals clamping after it here.
    """
    if np.isinf(bound):
        return hi if bound > 0 else lo
    on_grid = float(np.rint(np.float64(bound) / np.float64(scale))) + zero_point
    return int(min(max(on_grid, lo), hi))


def quantize_constant(values: npt.ArrayLike, scale: npt.ArrayLike) -> Int64Array:
    """Real constants on an integer grid: `round_half_even(values / scale)` in float64, int64.

    Used for a bias in another scale than its accumulator's.

    Raises:
      UserError: a constant does not fit an int32 on that grid.
    """
    grid = np.rint(np.asarray(values, np.float64) / np.asarray(scale, np.float64))
    if not (np.abs(grid) <= MAX_MULTIPLIER).all():
        raise UserError(
            f"constant on an integer grid: must fit an int32, got {np.abs(grid).max()!r}; "
            "recalibrate the model, the scales of this layer are too small"
        )
    return grid.astype(np.int64)


def batch_norm_affine(
    gamma: npt.ArrayLike,
    beta: npt.ArrayLike,
    mean: npt.ArrayLike,
    variance: npt.ArrayLike,
    epsilon: float,
) -> tuple[Float64Array, Float64Array]:
    """`(gain, offset)` float64[C] of an inference-mode batch normalization."""
    gain = np.asarray(gamma, np.float64) / np.sqrt(np.asarray(variance, np.float64) + epsilon)
    return gain, np.asarray(beta, np.float64) - np.asarray(mean, np.float64) * gain


def quantize_offset(offset: npt.ArrayLike, output_scale: npt.ArrayLike) -> Int64Array:
    """A real constant that is added before a QuantizeLinear (the offset of an affine): an operand
    of its own in steps of `output_scale * OFFSET_STEP`, so that it is exact to 2**-17 LSB.

    Its factor is `OFFSET_STEP`, which goes into the joint vector of `quantize_multipliers` with
    the factors of the other operands and comes out as a power of two.
    """
    return quantize_constant(offset, np.asarray(output_scale, np.float64) * OFFSET_STEP)
