"""docs/nonlinear.md in VECTOR's instructions: functions of one tensor, the quotient of two."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.fixed_point import Float64Array, quantize_multipliers
from jacquard.sim.operations.sequence import DTYPES, Sequence, Tensor
from jacquard.sim.reference.nonlinear.functions import Function
from jacquard.sim.reference.nonlinear.reduced import LOGARITHM, MOST, ROOT
from jacquard.sim.reference.nonlinear.softmax import RECIPROCAL
from jacquard.sim.reference.nonlinear.table import Table, interpolated, stepped

_D, _OP = isa.Dtype, isa.VectorOp
_MIDDLE = {_D.U8: 128, _D.U16: 32768}


@dataclasses.dataclass(frozen=True)
class Grid:
    """An integer type with its scale and zero point."""

    dtype: isa.Dtype
    scale: float
    zero: int = 0

    @property
    def lo(self) -> int:
        return int(np.iinfo(DTYPES[self.dtype]).min)

    @property
    def hi(self) -> int:
        return int(np.iinfo(DTYPES[self.dtype]).max)

    def real(self, q: npt.ArrayLike) -> Float64Array:
        return (np.asarray(q, np.float64) - self.zero) * self.scale

    def steps(self, y: Float64Array) -> Float64Array:
        """y in steps of the grid, not rounded; what the type cannot hold is clipped, NaN stays."""
        return np.clip(y / self.scale + self.zero, self.lo, self.hi)

    def fields(self) -> dict[str, Any]:
        """Of the instruction that writes a result: zero point and clamp."""
        if self.dtype in (_D.U16, _D.S32):  # bounds are 16-bit fields: the store saturates
            return {"zero_point": self.zero}
        return {"zero_point": self.zero, "clamp": 1, "lo": self.lo, "hi": self.hi}


def factors(*scales: float) -> tuple[list[int], int]:
    """Q of the page: multipliers under one shift."""
    mult, shift = quantize_multipliers(list(scales))
    return [int(m) for m in mult], shift


def by_table(s: Sequence, q: Tensor, x: Grid, function: Function, y: Grid) -> Tensor:
    """One pass: the function in a table over the input's grid or over the function's reach."""
    middle = _MIDDLE.get(x.dtype, 0)

    def on_grid(real: Float64Array) -> Float64Array:
        with np.errstate(all="ignore"):
            steps = y.steps(function.of(real))
        return np.where(np.isnan(steps), y.lo, steps)

    if q.element_bytes == 1:
        entries = stepped(on_grid(x.real(np.arange(-128.0, 128.0) + middle)))
        return s.vector(_OP.SHL, y.dtype, q, imm1=-middle, imm2=8, table=entries)
    bits = 0 if y.hi - y.lo > 255 else 7
    if x.scale * 2**15 > function.reach:
        (m,), shift = factors(x.scale * 2**15 / function.reach)
        step, zero = function.reach / 2**15, 0
        moved: dict[str, Any] = {"imm1": -x.zero, "mult1": m, "shift": shift}
    else:
        step, zero, moved = x.scale, x.zero - middle, {"imm1": -middle}
    table = interpolated(lambda t: on_grid(step * (t - zero)), y.lo, y.hi, bits)
    return s.vector(_OP.MOVE, y.dtype, q, table=table, **moved)


def mantissa(s: Sequence, x: Tensor, table: Table, zero: int = 0) -> Tensor:
    """T = table(rshift(NORM(x), 14) - 32768), int16."""
    fields = {"mult1": 1, "shift": 14, "zero_point": -32768}
    return s.vector(_OP.NORM, _D.S16, x, None, table, imm1=-zero, **fields)


def square_root(s: Sequence, q: Tensor, x: Grid, y: Grid) -> Tensor:
    """0 for x <= 0."""
    t = mantissa(s, q, ROOT, x.zero)
    half = s.vector(_OP.EXPONENT, _D.S8, q, imm1=-x.zero, mult1=1, shift=1)
    (c,), shift = factors(math.sqrt(x.scale) / (16384.0 * y.scale))
    return s.vector(_OP.SHL, y.dtype, t, half, mult1=c, shift=shift, **y.fields())


ROOT_INVERSE = interpolated(
    lambda t: 32768.0 / np.sqrt(np.maximum((t + 32768.0) / 16384.0, 1.0)), 0, 32767, 0
)


def root_inverse(s: Sequence, q: Tensor, x: Grid, y: Grid) -> Tensor:
    """1 / sqrt(x); the type's highest value for x <= 0."""
    t = mantissa(s, q, ROOT_INVERSE, x.zero)
    up = s.vector(_OP.EXPONENT, _D.S8, q, imm1=-x.zero, mult1=-1, shift=1, zero_point=MOST // 2)
    (c,), shift = factors(1.0 / (32768.0 * 2.0 ** (MOST // 2) * math.sqrt(x.scale) * y.scale))
    result = s.vector(_OP.SHL, y.dtype, t, up, mult1=c, shift=shift, **y.fields())
    none = s.vector(_OP.LE, _D.S8, q, imm1=-x.zero)
    return s.vector(_OP.SELECT, result, None, none, imm1=y.hi)


def logarithm(s: Sequence, q: Tensor, x: Grid, y: Grid, base: float = math.e) -> Tensor:
    """The type's lowest value for x <= 0."""
    t = mantissa(s, q, LOGARITHM, x.zero)
    octaves = s.vector(_OP.EXPONENT, _D.S32, q, imm1=-x.zero, mult1=32768)
    unit = math.log(base) * y.scale
    (m, h), shift = factors(1.0 / (16384.0 * unit), math.log(2.0) / (32768.0 * unit))
    result = s.vector(
        _OP.SADD, y.dtype, t, octaves, imm2=round(math.log2(x.scale) * 32768.0),
        mult1=m, mult2=h, shift=shift, **y.fields(),
    )  # fmt: skip
    none = s.vector(_OP.LE, _D.S8, q, imm1=-x.zero)
    return s.vector(_OP.SELECT, result, None, none, imm1=y.lo)


def magnitude(s: Sequence, q: Tensor, zero: int) -> Tensor:
    """|q - zero|, at most 65535."""
    return s.vector(_OP.LEAKY, _D.U16, q, imm1=-zero, mult1=1, mult2=-1)


def reciprocal(s: Sequence, q: Tensor, x: Grid, y: Grid) -> Tensor:
    """The type's highest value for x = 0."""
    size = magnitude(s, q, x.zero)
    t = mantissa(s, size, RECIPROCAL)
    up = s.vector(_OP.EXPONENT, _D.S8, size, mult1=-1, zero_point=MOST)
    sign = s.vector(_OP.MOVE, _D.S8, q, imm1=-x.zero, clamp=1, lo=-1, hi=1)
    moved = s.vector(_OP.SHL, _D.S32, t, up)
    (c,), shift = factors(1.0 / (32767.0 * 2.0**MOST * x.scale * y.scale))
    result = s.vector(_OP.MUL, y.dtype, moved, sign, mult1=c, shift=shift, **y.fields())
    none = s.vector(_OP.EQ, _D.S8, q, imm1=-x.zero)
    return s.vector(_OP.SELECT, result, None, none, imm1=y.hi)


def _signed_inverse(t: Float64Array) -> Float64Array:
    """32767 * 8192 / t; what lies below 8192 is not reached, but for t = 0 (half a step)."""
    return np.where(t == 0, 32767.0, 32767.0 * 8192.0 / np.where(t == 0, 1.0, t))


INVERSE = interpolated(_signed_inverse, -32767, 32767, 0)


def quotient(s: Sequence, p: Tensor, a: Grid, q: Tensor, b: Grid, y: Grid) -> Tensor:
    """a / b of two tensors; b = 0 stands for half a step of its grid."""
    size = magnitude(s, q, b.zero)
    up = s.vector(_OP.EXPONENT, _D.S8, size, mult1=-1, zero_point=MOST)
    u = s.vector(_OP.SHL, _D.S32, q, up, imm1=-b.zero)
    t = s.vector(_OP.MOVE, _D.S16, u, mult1=1, shift=1, table=INVERSE)
    z = s.vector(_OP.MUL, _D.S32, t, u, mult1=-1)
    r = s.vector(_OP.MUL, _D.S32, t, z, imm2=2**30, mult1=1, shift=14)
    (c,), shift = factors(a.scale / (b.scale * y.scale))
    f = s.vector(_OP.MOVE, _D.S32, r, mult1=c, shift=31)
    moved = s.vector(_OP.SHL, _D.S32, p, up, imm1=-a.zero)
    return s.vector(_OP.MUL, y.dtype, moved, f, mult1=1, shift=shift + 13, **y.fields())
