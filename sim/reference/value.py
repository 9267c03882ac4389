"""What flows between the nodes of a quantized graph: real numbers, kept exactly.

A `Value` stands for `clamp(sum_i q_i * scale_i / divisor_i + offset, lo, hi)`. Nothing is rounded
until a QuantizeLinear reads it, and there it is rounded once. Tensors that are not the result of a
DequantizeLinear (initializers, shapes, float graph inputs) are plain NumPy arrays.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import Float64Array, Int64Array
from jacquard.sim.reference.pending import Pending

AnyArray = npt.NDArray[Any]
INT32_LIMIT = 2**31


@dataclass(frozen=True)
class Term:
    """`q * scale / divisor`, element by element.

    Attributes:
      q: int64, the zero point taken out.
      scale: float64, 0-d or broadcastable to `q` with the same number of dimensions; not negative.
      divisor: like `scale`, whole numbers: how many elements were averaged.
      bits: 8, 16 or 32 where `q` is a stored tensor less its zero point, 64 for the sums of a
        MatMul that nothing has touched, 0 for anything else that was computed.
      zero: the zero point that was taken out, less the middle of its type (0 for signed types).
      weighted: sums under weights of a row; the divisor is the weights' sum, one for each row.
    """

    q: Int64Array
    scale: Float64Array
    divisor: Float64Array = field(default_factory=lambda: np.asarray(1.0))
    bits: int = 0
    zero: int = 0
    weighted: bool = False


@dataclass(frozen=True)
class Value:
    """A sum of terms plus a real constant, clamped."""

    terms: tuple[Term, ...]
    offset: Float64Array | None = None
    lo: float = -np.inf
    hi: float = np.inf

    @property
    def shape(self) -> tuple[int, ...]:
        return np.broadcast_shapes(*(term.q.shape for term in self.terms))

    def real(self) -> Float64Array:
        """The value in float64 (exact where it fits)."""
        total = np.zeros(self.shape) if self.offset is None else np.asarray(self.offset)
        for term in self.terms:
            total = total + term.q * term.scale / term.divisor
        return np.clip(total, self.lo, self.hi)


Operand = Value | Pending | AnyArray


def move(operand: Operand, function: Callable[[AnyArray], AnyArray]) -> Operand:
    """Applies a rearrangement of elements to a value or a plain array."""
    if isinstance(operand, Pending):
        return operand.moved(function)
    if not isinstance(operand, Value):
        return function(operand)
    shape = operand.shape

    def moved(array: AnyArray) -> AnyArray:
        return array if array.ndim == 0 else _narrowed(function(np.broadcast_to(array, shape)))

    terms = tuple(
        Term(
            function(np.broadcast_to(term.q, shape)).astype(np.int64, copy=False),
            moved(term.scale).astype(np.float64, copy=False),
            moved(term.divisor).astype(np.float64, copy=False),
            term.bits if term.bits <= 32 else 0,
            term.zero,
        )
        for term in operand.terms
    )
    offset = None if operand.offset is None else moved(operand.offset)
    return replace(operand, terms=terms, offset=offset)


def _narrowed(array: AnyArray) -> AnyArray:
    """One element of each axis along which all are equal."""
    for axis in range(array.ndim):
        first = array.take([0], axis) if array.size else array
        array = first if (array == first).all() else array
    return array


def single(operand: Operand, place: str) -> Term:
    """The value as one term, its clamp applied on its own grid (bounds rounded half to even).

    Raises:
      UserError: the operand is a float tensor, or a sum that nothing has quantized.
    """
    if not isinstance(operand, Value):
        raise UserError(
            f"{place}: its operand must come from a DequantizeLinear, got a float tensor; "
            "quantize this operator too"
        )
    if len(operand.terms) != 1 or operand.offset is not None:
        raise UserError(
            f"{place}: its operand must be one quantized tensor, got a sum that no "
            "QuantizeLinear has read; quantize the Add before it too"
        )
    term = operand.terms[0]
    if np.isinf(operand.lo) and np.isinf(operand.hi):
        return term
    q, step = term.q, term.scale / term.divisor
    # A bound past int32 bounds nothing that an accumulator can hold.
    lo, hi = (
        np.clip(np.rint(bound / step), -INT32_LIMIT, INT32_LIMIT).astype(np.int64)
        for bound in (operand.lo, operand.hi)
    )
    return replace(term, q=np.minimum(np.maximum(q, lo), hi))


def uniform_over(array: AnyArray, axes: tuple[int, ...]) -> bool:
    """Whether a scale or divisor is the same along `axes`."""
    return array.ndim == 0 or all(array.shape[axis] == 1 for axis in axes)


def real_constant(operand: Operand) -> npt.NDArray[np.float32]:
    """A constant as ONNX sees it: a float array, or a dequantized one (q * scale in float32)."""
    assert not isinstance(operand, Pending)
    if isinstance(operand, Value):
        return operand.real().astype(np.float32)
    return np.asarray(operand).astype(np.float32)
