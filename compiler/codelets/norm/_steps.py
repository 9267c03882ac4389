"""What normalizations have before they are emitted: their operands, and how rows are scaled."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from jacquard.compiler.codelets.base import Node, Parsed
from jacquard.compiler.graph.ir import Grid
from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import Float64Array

LONGEST_ROW = 32768
LARGEST_EPSILON = 2**27


def parse_normalization(node: Node, centred: bool) -> Parsed:
    """X [..., N], scale [N], B [N]."""
    x = node.activation(0)
    rank, n = len(x.shape), x.shape[-1]
    axis = int(node.get("axis", -1)) % rank
    gamma = _gains(node, 1)
    gamma = np.ones(n) if gamma is None else gamma
    beta = _gains(node, 2)
    if axis != rank - 1 or any(g is not None and g.size not in (1, n) for g in (gamma, beta)):
        raise UserError(
            f"{node.place}: must run over the last axis with one gain per element, got axis {axis} "
            f"of {rank} and gains of shape {gamma.shape}; reshape the operand"
        )
    if node.output_count > 1:
        raise UserError(
            f"{node.place}: must have one output, got {node.output_count}; drop the mean and "
            "deviation"
        )
    grid = x.grid
    if grid.dtype in ("int16", "uint16") and _offset(grid):
        raise UserError(
            f"{node.place}: a 16-bit operand must have its zero point in the middle of its type, "
            f"got {_offset(grid)} beside it; quantize the operand symmetrically"
        )
    if grid.dtype == "int32" or not 1 <= n <= LONGEST_ROW:
        raise UserError(
            f"{node.place}: must read rows of 1 to {LONGEST_ROW} elements of 8 or 16 bits, got {n} "
            f"of {grid.dtype}; quantize the operand to 16 bits"
        )
    if not all(np.isfinite(g).all() for g in (gamma, beta) if g is not None):
        raise UserError(f"{node.place}: gains must be finite, got inf or NaN; mend the weights")
    epsilon = float(np.float32(node.get("epsilon", 1e-5)))
    steps = Steps.of(n, 16 if grid.dtype.endswith("16") else 8, centred)
    if steps.epsilon(n, grid.scale, epsilon) > LARGEST_EPSILON:
        raise UserError(
            f"{node.place}: epsilon must be below the variance of a full row, got {epsilon:g} at "
            f"scale {grid.scale:g}; recalibrate the operand"
        )
    attrs = {
        "epsilon": epsilon, "gamma": np.broadcast_to(gamma.reshape(-1), (n,)),
        "beta": None if beta is None else np.broadcast_to(beta.reshape(-1), (n,)),
    }
    return Parsed((x,), attrs, (x.shape,))


def _gains(node: Node, index: int) -> Float64Array | None:
    given = node.constant(index)
    return None if given is None else np.asarray(given, np.float32).astype(np.float64)


def _offset(grid: Grid) -> int:
    """The zero point less the middle of the type."""
    return grid.zero_point - (grid.lo + grid.hi + 1) // 2


@dataclasses.dataclass(frozen=True)
class Steps:
    """How rows of one length are scaled: a, b, k and, for d, `up` and `down` of the page."""

    a: float
    b: int
    k: int
    up: int
    down: int

    @staticmethod
    def of(n: int, bits: int, centred: bool) -> Steps:
        if not centred:
            b = 8 if bits == 16 else 15
            return Steps(2.0**b, b, 15 + (n + n // 8).bit_length(), b, 0)
        b, length, cube = 24 - bits, n.bit_length() - 1, n**3
        k = 15 - 2 * length + (cube + cube // 8).bit_length()
        return Steps(n * 2.0 ** (b - length), b, k, max(b - length, 0), max(length - b, 0))

    @property
    def r(self) -> int:
        return self.k // 2 + 5

    def epsilon(self, n: int, scale: float, epsilon: float) -> int:
        """eps'."""
        real = epsilon * n * (self.a / scale) ** 2 / 2.0**self.k
        return max(int(np.rint(real)), 1)

    def unit(self, n: int) -> float:
        """u: the real value of a step of n_j."""
        return 2.0 ** (self.r - 31) * math.sqrt(n / 2.0**self.k)
