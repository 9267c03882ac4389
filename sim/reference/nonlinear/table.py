"""VECTOR's table stage: 256 pieces of a real function on int16, each a line.

The tables themselves are defined here for the reference (docs/nonlinear.md, "The table stage"); the
compiler makes its own from the same page.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jacquard.proto.lib.fixed_point import Float64Array, Int64Array, rounding_shift

T_MIN, T_MAX = -(2**15), 2**15 - 1
ENTRIES = 256
PIECE = 256  # values of t under one entry
DOMAIN = np.arange(T_MIN, T_MAX + 2, dtype=np.float64)  # one past the end closes the last piece

RealFunction = Callable[[Float64Array], Float64Array]


@dataclass(frozen=True)
class Table:
    """What one table memory slot holds.

    Attributes:
      base, slope: int16[256].
      shift: `8 + p`, p fractional bits.
    """

    base: npt.NDArray[np.int16]
    slope: npt.NDArray[np.int16]
    shift: int

    def everywhere(self) -> Int64Array:
        """The stage's result for each t from -32768 to 32767, before the store's saturation."""
        t = np.arange(T_MIN, T_MAX + 1, dtype=np.int64)
        entry, part = (t >> 8) + 128, t & (PIECE - 1)
        line = self.base.astype(np.int64)[entry] * PIECE + self.slope.astype(np.int64)[entry] * part
        return rounding_shift(line, self.shift)

    def look_up(self, t: Int64Array) -> Int64Array:
        """The stage's result for t, which saturates at int16."""
        return self.everywhere()[np.clip(t, T_MIN, T_MAX) - T_MIN]


def _int16(x: Float64Array) -> npt.NDArray[np.int16]:
    return np.clip(np.rint(x), T_MIN, T_MAX).astype(np.int16)


def interpolated(function: RealFunction, lo: float, hi: float, fraction_bits: int) -> Table:
    """A table of `function(t)`, clipped to [lo, hi] (NaN: lo), in steps of 2**-fraction_bits.

    Each piece is the chord between its ends, moved so that the largest errors above and below it
    are equal: half of what plain interpolation leaves, and continuous pieces are not needed.
    """
    with np.errstate(all="ignore"):
        raw = function(DOMAIN)
    g = np.clip(np.where(np.isnan(raw), lo, raw), lo, hi)
    ends = g[::PIECE]
    rise = ends[1:] - ends[:-1]
    pieces = g[:-1].reshape(ENTRIES, PIECE)
    chords = ends[:-1, None] + rise[:, None] * (np.arange(PIECE) / PIECE)
    off = pieces - chords
    middle = (off.max(axis=1) + off.min(axis=1)) / 2
    unit = 2.0**fraction_bits
    return Table(_int16((ends[:-1] + middle) * unit), _int16(rise * unit), 8 + fraction_bits)


def stepped(values: Float64Array) -> Table:
    """A table of 256 numbers, one for each value of an 8-bit type in ascending order."""
    return Table(_int16(values), np.zeros(ENTRIES, np.int16), 8)
