"""Operations that stand for a real function, on a grid for each type; and division."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.fixed_point import Float64Array
from jacquard.sim.operations import unary
from jacquard.sim.operations.operation import Operation, every, pairs, type_name, vectors_of
from jacquard.sim.operations.sequence import DTYPES, Int64, Sequence, Tensor
from jacquard.sim.operations.unary import Grid
from jacquard.sim.reference.nonlinear.functions import Function, erf, sigmoid
from jacquard.sim.reference.nonlinear.table import RealFunction

_D = isa.Dtype
Emit = Callable[[Sequence, Tensor, Grid, Grid], Tensor]


@dataclasses.dataclass(frozen=True)
class Curve:
    """A function and where it is measured.

    Attributes:
      of: float64; NaN or infinite where it has no value.
      largest: inputs lie on a grid from -largest to largest.
      lo, hi: of its results: the output's grid holds them.
      reach: as Function's.
      wide: the sequence for 16-bit inputs, a table if None.
      contract: of the operations that VECTOR must have, not only a function that networks use.
    """

    name: str
    of: RealFunction
    largest: float
    lo: float
    hi: float
    reach: float = math.inf
    wide: Emit | None = None
    contract: bool = True

    @property
    def lowest(self) -> float:
        """Of the inputs for which it has a value."""
        return -self.largest if np.isfinite(self.values(np.array([-self.largest])))[0] else 0

    def values(self, x: Float64Array) -> Float64Array:
        """`of` without warnings."""
        with np.errstate(all="ignore"):
            return self.of(x)


def _root_inverse(x: Float64Array) -> Float64Array:
    """Infinite for x <= 0."""
    return 1.0 / np.sqrt(np.maximum(x, 0.0))


def _gelu(x: Float64Array) -> Float64Array:
    return 0.5 * x * (1.0 + erf(x / math.sqrt(2.0)))


def _fast_gelu(x: Float64Array) -> Float64Array:
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def _log2(s: Sequence, q: Tensor, x: Grid, y: Grid) -> Tensor:
    return unary.logarithm(s, q, x, y, 2.0)


CURVES = (
    Curve("exp", np.exp, 8, 0, 2981),
    Curve("ln", np.log, 20, -4, 3, wide=unary.logarithm),
    Curve("log2", np.log2, 20, -6, 4.4, wide=_log2),
    Curve("sqrt", np.sqrt, 20, 0, 4.48, wide=unary.square_root),
    Curve("1/sqrt", _root_inverse, 20, 0, 8, wide=unary.root_inverse),
    Curve("reciprocal", lambda x: 1 / x, 20, -10, 10, wide=unary.reciprocal),
    Curve("sigmoid", sigmoid, 10, 0, 1, 12),
    Curve("sigmoid", sigmoid, 80, 0, 1, 12),
    Curve("tanh", np.tanh, 6, -1, 1, 6),
    Curve("tanh", np.tanh, 50, -1, 1, 6),
    Curve("gelu", _gelu, 8, -0.17, 8, contract=False),
    Curve("gelu", _gelu, 40, -0.17, 40, contract=False),
    Curve("gelu, tanh form", _fast_gelu, 8, -0.17, 8, contract=False),
    Curve("erf", erf, 6, -1, 1, 4, contract=False),
    Curve("silu", lambda x: x * sigmoid(x), 10, -0.28, 10, contract=False),
    Curve("hard sigmoid", lambda x: np.clip(0.2 * x + 0.5, 0, 1), 5, 0, 1, 2.5, contract=False),
    Curve("hard swish", lambda x: x * np.clip(x / 6 + 0.5, 0, 1), 8, -0.375, 8, contract=False),
)  # fmt: skip
GROUPS = ("transcendental", "functions of networks")
TYPES = ((_D.S8, _D.U8), (_D.S16, _D.U8), (_D.S16, _D.S16))


def input_grid(dtype: isa.Dtype, largest: float) -> Grid:
    """Symmetric."""
    return Grid(dtype, _float32(largest / 2.0 ** (8 * DTYPES[dtype].itemsize - 1)))


def output_grid(dtype: isa.Dtype, lo: float, hi: float) -> Grid:
    """Unsigned: from lo to hi; signed: symmetric."""
    if dtype == _D.U8:
        return Grid(dtype, _float32((hi - lo) / 255), round(-lo * 255 / (hi - lo)))
    return Grid(dtype, _float32(max(-lo, hi) / np.iinfo(DTYPES[dtype]).max))


def _float32(scale: float) -> float:
    """As models keep it."""
    return float(np.float32(scale))


def emit(s: Sequence, q: Tensor, x: Grid, curve: Curve, y: Grid) -> Tensor:
    """The instructions of a curve between two grids."""
    if curve.wide is not None and x.dtype == _D.S16:
        return curve.wide(s, q, x, y)
    return unary.by_table(s, q, x, Function(curve.of, curve.reach), y)


def of_curve(curve: Curve, given: isa.Dtype, result: isa.Dtype) -> Operation:
    """All inputs of its type."""
    x, y = input_grid(given, curve.largest), output_grid(result, curve.lo, curve.hi)

    def exact(q: Int64) -> Float64Array:
        value = curve.values(x.real(q))
        return np.where(np.isfinite(value), y.steps(value), np.nan)

    return Operation(
        curve.name,
        GROUPS[0] if curve.contract else GROUPS[1],
        f"{type_name(given)} -> {type_name(result)}",
        f"{curve.lowest:g} to {curve.largest:g}; {curve.lo:g} to {curve.hi:g}",
        lambda s: emit(s, s.given(given, vectors_of(given)), x, curve, y),
        lambda: (every(given),),
        exact,
    )


def _division(result: isa.Dtype) -> Operation:
    a, b = Grid(_D.S16, 10 / 2**15), Grid(_D.S16, 10 / 2**15)
    y = output_grid(result, -4, 4)

    def divide(s: Sequence) -> Tensor:
        return unary.quotient(s, s.given(_D.S16), a, s.given(_D.S16), b, y)

    def exact(p: Int64, q: Int64) -> Float64Array:
        with np.errstate(all="ignore"):
            return np.where(q == 0, np.nan, y.steps(a.real(p) / b.real(q)))

    return Operation(
        "divide", "arithmetic", f"int16, int16 -> {type_name(result)}",
        "all of int16 but 0 below: corners with each other, random; results -4 to 4", divide,
        lambda: pairs(_D.S16, _D.S16, 4), exact,
    )  # fmt: skip


def operations() -> list[Operation]:
    """In the order of the page."""
    division = [_division(dtype) for dtype in (_D.S8, _D.S16)]
    return division + [of_curve(curve, *types) for curve in CURVES for types in TYPES]
