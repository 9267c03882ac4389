"""Results that only the next QuantizeLinear makes integers: softmax, norms, table functions.

Their arithmetic depends on the output's scale, so an operator hands on how to compute and the
QuantizeLinear calls it. Movements, clamps and a NaN guard may lie between.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from jacquard.proto.lib.fixed_point import Float64Array, Int64Array, quantize_bound

WEIGHT = 255  # the largest of a row


@dataclass(frozen=True)
class Target:
    """Where a result goes: zero point, the type's range, and scales.

    steps: 0-d, or broadcastable with one for each element of an axis.
    """

    place: str
    steps: Float64Array
    zero: int
    lo: int
    hi: int

    @property
    def scale(self) -> float:
        """The largest."""
        return float(self.steps.max())


@dataclass(frozen=True)
class Pending:
    """A tensor whose integers wait for their scale.

    Attributes:
      shape: of the tensor.
      integers: from the target to integers inside [lo, hi], zero point in.
      exact: the real values in float64, for comparisons.
      nan: where IEEE arithmetic would give NaN (rows masked out whole by -inf), or None.
      weights: of a softmax over the last axis: its elements as weights of their row (rule 10).
    """

    shape: tuple[int, ...]
    integers: Callable[[Target], Int64Array]
    exact: Callable[[], Float64Array]
    nan: npt.NDArray[np.bool_] | None = None
    weights: Callable[[], Int64Array] | None = None

    def moved(self, function: Callable[[Any], Any]) -> "Pending":
        """The same elements elsewhere."""
        shape = function(np.broadcast_to(np.int8(0), self.shape)).shape
        return Pending(
            shape,
            lambda target: np.asarray(function(self.integers(target)), np.int64),
            lambda: np.asarray(function(self.exact()), np.float64),
            None if self.nan is None else function(self.nan),
        )

    def clamped(self, lo: float, hi: float) -> "Pending":
        """Relu and Clip: rounding is monotone, so the integers are clamped."""

        def integers(target: Target) -> Int64Array:
            low, high = (
                quantize_bound(b, target.scale, target.zero, target.lo, target.hi)
                for b in (lo, hi)
            )
            return np.minimum(np.maximum(self.integers(target), low), high)

        return replace(
            self, integers=integers, exact=lambda: np.clip(self.exact(), lo, hi), weights=None
        )

    def replaced(self, where: npt.NDArray[np.bool_], constant: Float64Array) -> "Pending":
        """`constant` (on the output's grid) in the elements `where`."""
        shape = np.broadcast_shapes(self.shape, where.shape, constant.shape)

        def integers(target: Target) -> Int64Array:
            steps = np.rint(constant / np.float64(target.scale)) + target.zero
            fixed = np.clip(steps, target.lo, target.hi).astype(np.int64)
            return np.where(where, fixed, self.integers(target))

        own = self.weights

        def weights() -> Int64Array:
            assert own is not None
            fixed = np.clip(np.rint(constant * WEIGHT), 0, WEIGHT).astype(np.int64)
            return np.where(where, fixed, own())

        return Pending(
            shape, integers, lambda: np.where(where, constant, self.exact()), None,
            None if own is None else weights,
        )
