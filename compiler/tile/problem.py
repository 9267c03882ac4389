"""What is to be tiled and emitted for a layer on the systolic array: operands, the results' way."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from jacquard.compiler.tile.lowering import Stored
from jacquard.compiler.tile.operand import ActivationOperand, WeightOperand
from jacquard.compiler.tile.pooled import Pool
from jacquard.compiler.tile.table import TableStage
from jacquard.proto import npu_isa as isa


@dataclasses.dataclass(frozen=True)
class Requant:
    """The accumulators' way to 8 or 16 bits, in `dtype`; bias int64[M], mult int32[M].

    lookup: a plain table function of the 16-bit result in the same pass, stored as lookup_dtype.
    """

    bias: npt.NDArray[np.int64]
    mult: npt.NDArray[np.int32]
    shift: int
    zero_point: int
    lo: int
    hi: int
    dtype: isa.Dtype
    lookup: TableStage | None = None
    lookup_dtype: isa.Dtype = isa.Dtype.U8

    @property
    def stored_dtype(self) -> isa.Dtype:
        """Of what leaves the pass."""
        return self.dtype if self.lookup is None else self.lookup_dtype


@dataclasses.dataclass(frozen=True)
class Residual:
    """A second operand, added to the requantized result under one rounding of its own.

    mult_own scales the convolution's result (less its zero point), mult_other the operand.
    """

    place: Stored
    dtype: isa.Dtype
    other_zero: int
    mult_own: int
    mult_other: int
    shift: int
    zero_point: int
    lo: int
    hi: int
    out_dtype: isa.Dtype


@dataclasses.dataclass(frozen=True)
class Contraction:
    """One layer on the array. `out` is where the result goes; its height x width are tiled.

    source: the activations' tensor, of which rows may still be to be made. results: the tensors of
    `out`, of which rows may be left to be made when they are needed; none where they may not.
    With a pool `out` is only the shape of the convolution's result, which stays on chip. factors:
    what each position's accumulators are multiplied by, one channel tile of int32, all lanes of a
    position alike; `requant.bias` and `requant.mult` are not used then. keep: the result, where
    it is kept in IBUF, too.
    """

    name: str
    activation: ActivationOperand
    weight: WeightOperand
    out: Stored
    act_zero: int
    act_unsigned: bool
    weight_zero: int
    weight_unsigned: bool
    requant: Requant
    residual: Residual | None = None
    pool: Pool | None = None
    source: str = ""
    factors: Stored | None = None
    results: tuple[str, ...] = ()
    keep: str = ""
