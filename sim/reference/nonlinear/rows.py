"""The integer steps that rows share: EXPONENT, NORM, and bounds on what the machine can hold."""

import numpy as np

from jacquard.proto.lib.fixed_point import Int64Array

INT32_MAX = 2**31 - 1


def held(x: Int64Array, name: str) -> Int64Array:
    """`x`, which VECTOR stores: it must fit an int32."""
    assert x.size == 0 or (x.min() >= -INT32_MAX - 1 and x.max() <= INT32_MAX), name
    return x


def product(a: Int64Array, b: Int64Array | int, name: str) -> Int64Array:
    """`a * b`, which must stay inside VECTOR's 64 bits."""
    largest = int(np.abs(a).max(initial=0)) * int(np.abs(np.asarray(b)).max(initial=0))
    assert largest < 2**63, name
    return a * b


def exponent(a: Int64Array) -> Int64Array:
    """The largest even E with 2**E <= a; 0 for a <= 0."""
    # frexp is exact: a is an int32.
    bits = np.frexp(np.maximum(a, 1).astype(np.float64))[1].astype(np.int64) - 1
    return bits & ~1


def norm(a: Int64Array) -> Int64Array:
    """a moved into [2**28, 2**30) by its EXPONENT; 0 for a <= 0."""
    moved = np.where(a < 2**30, a << (28 - np.minimum(exponent(a), 28)), a >> 2)
    return np.where(a > 0, moved, 0)
