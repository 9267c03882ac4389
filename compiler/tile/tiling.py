"""A contraction's tiling: what it depends on, and what `plan` chooses."""

from __future__ import annotations

import dataclasses
import functools

from jacquard.compiler.tile.operand import ActivationOperand
from jacquard.compiler.tile.pooled import Pool

OUTPUT_SLOTS = 3  # results in VMEM: being written, stored, and one of slack


@dataclasses.dataclass(frozen=True)
class Split:
    """Where a product's positions are taken in two parts, so that rows are read or ready earlier.

    Attributes:
      positions: of the first part.
      head, tail: the first and the last output tiles that are, each part through all of them.
      group: output tiles of a part that share an accumulator half.
    """

    positions: int
    head: int
    tail: int
    group: int


@dataclasses.dataclass(frozen=True)
class Shape:
    """What the plan depends on besides the operand: output positions and tiles.

    element_bytes, own_bytes, residual_bytes: of an element of the result, of what is drained from
    the accumulators, of a residual (0: there is none). factor_bytes: of a factor per position.
    """

    height: int
    width: int
    output_tiles: int
    spans: tuple[tuple[int, int], ...]
    element_bytes: int = 1
    own_bytes: int = 1
    residual_bytes: int = 0
    pool: Pool | None = None
    factor_bytes: int = 0
    arrival: float = 0.0  # cycles from an input position to the next, while they are being made
    departure: float = 0.0  # cycles for each output position of what reads one after another
    may_split: bool = False
    by_tiles: bool = False  # results are read tile by tile, each of all positions

    @property
    def residual(self) -> bool:
        return self.residual_bytes > 0

    @property
    def vmem_bytes(self) -> int:
        """Per element of a spatial tile: results in several states, two residuals."""
        if self.residual and self.own_bytes != self.element_bytes:
            states = OUTPUT_SLOTS * self.element_bytes + self.own_bytes
        else:
            states = OUTPUT_SLOTS * self.element_bytes
        return states + 2 * self.residual_bytes

    @functools.cached_property
    def deepest(self) -> int:
        return max(end - first for first, end in self.spans)

    @functools.cached_property
    def passes(self) -> int:
        """Channel tiles summed over output tiles."""
        return sum(end - first for first, end in self.spans)


@dataclasses.dataclass(frozen=True)
class Plan:
    """A tiling.

    Attributes:
      height, width: output positions of a spatial tile.
      output_tiles: output column tiles that share an accumulator half.
      channel_tiles: input channel tiles in IBUF at once.
      keep_inputs: a spatial tile's inputs are loaded once for all of its outputs.
      keep_weights: the layer's weights are loaded once for all spatial tiles.
      weight_tiles, weight_rows: channel tiles (and, below a whole kernel, kernel rows) of one
        MATRIX instruction.
      param_tiles: output tiles whose parameters are loaded together.
      weight_bytes: of the whole layer, as packed.
      passes_cycles: of the array. cycles: what the cost model says.
      by_tiles: results are made tile by tile, each of all positions.
      split: None where every output tile is of all of a spatial tile's positions.
    """

    height: int
    width: int
    output_tiles: int
    channel_tiles: int
    keep_inputs: bool
    keep_weights: bool
    weight_tiles: int
    weight_rows: int
    param_tiles: int
    weight_bytes: int
    passes_cycles: float
    cycles: float
    by_tiles: bool = False
    split: Split | None = None


@dataclasses.dataclass(frozen=True)
class Tiled:
    """What was tiled, wherever its operand lies, and how. Equal problems have equal tilings."""

    activation: ActivationOperand
    shape: Shape
    plan: Plan

    @property
    def problem(self) -> tuple[ActivationOperand, Shape]:
        return self.activation, self.shape
