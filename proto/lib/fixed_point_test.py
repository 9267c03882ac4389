"""Requantization against exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacquard.proto.lib import fixed_point
from jacquard.proto.lib.errors import UserError

# The machine may be slow, and a failure must come back: no deadline, no chance.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

INT32 = st.integers(-(2**31), 2**31 - 1)
MULTIPLIER = st.integers(-(2**31) + 1, 2**31 - 1)
SHIFT = st.integers(0, 62)
SCALE = st.floats(2.0**-20, 2.0**10, allow_nan=False)


def exact(*products: tuple[int, int], shift: int, zero_point: int, lo: int, hi: int) -> int:
    """The definition: Python's `round` of a Fraction rounds half to even."""
    total = sum(Fraction(x * mult, 2**shift) for x, mult in products)
    return min(max(round(total) + zero_point, lo), hi)


@given(x=st.integers(-(2**63), 2**63 - 1), shift=SHIFT)
def test_rounding_shift_is_round_half_even(x: int, shift: int) -> None:
    assert int(fixed_point.rounding_shift(x, shift)) == round(Fraction(x, 2**shift))


@given(quotient=st.integers(-(2**20), 2**20), shift=st.integers(1, 40), off=st.integers(-1, 1))
def test_rounding_shift_at_and_beside_ties(quotient: int, shift: int, off: int) -> None:
    x = (quotient << shift) + (1 << (shift - 1)) + off
    assert int(fixed_point.rounding_shift(x, shift)) == round(Fraction(x, 2**shift))


@given(acc=INT32, mult=MULTIPLIER, shift=SHIFT, zero_point=st.integers(-128, 255))
def test_requantize(acc: int, mult: int, shift: int, zero_point: int) -> None:
    got = fixed_point.requantize(np.int64(acc), np.int32(mult), shift, zero_point, -128, 255)
    assert int(got) == exact(
        (acc, mult), shift=shift, zero_point=zero_point, lo=-128, hi=255
    )


@given(a=INT32, mult_a=MULTIPLIER, b=INT32, mult_b=MULTIPLIER, shift=SHIFT)
def test_requantize_sum_rounds_once(a: int, mult_a: int, b: int, mult_b: int, shift: int) -> None:
    wide = (-(2**63), 2**63 - 1)
    got = fixed_point.requantize_sum([(a, mult_a), (b, mult_b)], shift, 3, *wide)
    assert int(got) == exact(
        (a, mult_a), (b, mult_b), shift=shift, zero_point=3, lo=wide[0], hi=wide[1]
    )


def test_requantize_broadcasts_per_channel() -> None:
    acc = np.arange(12, dtype=np.int64).reshape(1, 3, 2, 2) * 1000
    mult, shift = fixed_point.quantize_multipliers([0.5, 0.01, 0.002])
    got = fixed_point.requantize(acc, mult[:, None, None], shift, 0, -128, 127)
    assert got.shape == acc.shape and got.dtype == np.int64
    assert got[0, :, 0, 1].tolist() == [127, 50, 18]


@settings(max_examples=300)
@given(scales=st.lists(SCALE | st.just(0.0), min_size=1, max_size=8))
def test_multipliers_share_the_largest_shift(scales: list[float]) -> None:
    mult, shift = fixed_point.quantize_multipliers(np.array(scales))
    assert mult.dtype == np.int32
    for scale, got in zip(scales, mult.tolist(), strict=True):
        assert got == round(Fraction(scale) * 2**shift) <= 2**31 - 1
    if shift < 62:
        assert any(round(Fraction(scale) * 2 ** (shift + 1)) > 2**31 - 1 for scale in scales)


@pytest.mark.parametrize(
    ("scale", "mult", "shift"),
    [
        (1.0, 2**30, 30),
        (0.5, 2**30, 31),
        (1.0 - 2.0**-40, 2**30, 30),  # rounds to 2**31 under shift 31, which does not fit
        (0.0, 0, 62),
        (2.0**-40, 2**22, 62),
        (2.0**24, 2**30, 6),
    ],
)
def test_multiplier_corner_cases(scale: float, mult: int, shift: int) -> None:
    got_mult, got_shift = fixed_point.quantize_multipliers([scale])
    assert (got_mult.tolist(), got_shift) == ([mult], shift)


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ([1.0, float("nan")], "factor 1: must be finite, got"),
        ([float("inf")], "factor 0: must be finite, got"),
        ([-0.5], "must not be negative"),
        ([2.7e36], r"at most 2\*\*24"),
        ([1e-30], r"at least 2\*\*-40"),
    ],
)
def test_absurd_scales_are_refused(scales: list[float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        fixed_point.quantize_multipliers(scales)


@given(q=st.integers(-128, 127))
def test_scale_of_one_is_the_identity(q: int) -> None:
    mult, shift = fixed_point.quantize_multipliers([1.0])
    assert int(fixed_point.requantize(q, mult[0], shift, 0, -128, 127)) == q


@given(value=st.floats(-100, 100), bound=st.floats(-100, 100), scale=st.floats(0.01, 2.0))
def test_clamping_commutes_with_quantization(value: float, bound: float, scale: float) -> None:
    after = max(
        fixed_point.quantize_bound(value, scale, 7, -128, 127),
        fixed_point.quantize_bound(bound, scale, 7, -128, 127),
    )
    assert after == fixed_point.quantize_bound(max(value, bound), scale, 7, -128, 127)


def test_infinite_bounds() -> None:
    assert fixed_point.quantize_bound(float("inf"), 0.1, 3, -128, 127) == 127
    assert fixed_point.quantize_bound(float("-inf"), 0.1, 3, -128, 127) == -128


@given(gain=st.floats(2.0**-10, 4), offset=st.floats(-500, 500), x=st.integers(-255, 255))
def test_offset_operand_is_exact_to_a_fraction_of_an_lsb(
    gain: float, offset: float, x: int
) -> None:
    output_scale = 0.1
    scale = fixed_point.requantization_scale([gain], output_scale)
    mult, shift = fixed_point.quantize_multipliers([float(scale), fixed_point.OFFSET_STEP])
    step = fixed_point.quantize_offset(offset, output_scale)
    got = Fraction(x * int(mult[0]) + int(step) * int(mult[1]), 2**shift)
    assert int(mult[1]) == 2 ** (shift - 16)
    assert abs(got - (Fraction(x) * Fraction(gain) + Fraction(offset)) / Fraction(0.1)) < 2.0**-15


def test_quantize_constant_refuses_what_does_not_fit() -> None:
    assert fixed_point.quantize_constant([0.25, -0.75], 0.5).tolist() == [0, -2]
    with pytest.raises(UserError, match="must fit an int32"):
        fixed_point.quantize_constant([1.0], 1e-12)


def test_requantization_scale_order() -> None:
    got = fixed_point.requantization_scale([0.1, np.array([0.2, 0.3])], 0.7, divisor=3)
    assert got.tolist() == [(0.1 * 0.2) / (3 * 0.7), (0.1 * 0.3) / (3 * 0.7)]
