"""Reductions, permutations and look-up: operations that are more than one lane's own affair."""

from __future__ import annotations

from typing import Any

import numpy as np

from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.fixed_point import Float64Array
from jacquard.sim.operations.operation import (
    EACH32,
    Operation,
    clipped,
    every,
    sample,
    vectors_of,
)
from jacquard.sim.operations.sequence import VECTORS, Int64, Sequence, Tensor
from jacquard.sim.reference.nonlinear.table import Table

_D, _OP = isa.Dtype, isa.VectorOp
_S8, _S16, _S32 = _D.S8, _D.S16, _D.S32


def _reductions() -> list[Operation]:
    rows = []
    for number, (name, combine) in enumerate(
        (("sum", np.sum), ("maximum", np.max), ("minimum", np.min))
    ):
        def loops(s: Sequence, reduce: int = number) -> Tensor:
            step = 4 * s.arch.lanes
            return s.vector(_OP.MOVE, s.tensor(_S32, VECTORS // 16), s.given(_S32), n0=4, n1=4,
                            n2=VECTORS // 16, reduce=reduce, reduce_loops=2, src1_stride0=step,
                            src1_stride1=4 * step, src1_stride2=16 * step, dst_stride2=step)

        def lanes(s: Sequence, reduce: int = number) -> Tensor:
            return s.vector(_OP.MOVE, _S32, s.given(_S32), reduce=reduce, lane_reduce=1)

        def of_loops(x: Float64Array, f: Any = combine) -> Float64Array:
            return np.asarray(f(x.reshape(x.shape[0], VECTORS // 16, 16, -1), axis=2))

        def of_lanes(x: Float64Array, f: Any = combine) -> Float64Array:
            return np.broadcast_to(f(x, axis=-1, keepdims=True), x.shape)

        def samples(seed: int = number) -> tuple[Int64, ...]:
            return (sample(_S32, seed),)

        rows += [
            Operation(f"{name} along loops", "reduction", "int32 -> int32",
                      "16 numbers; " + EACH32, loops, samples, clipped(_S32, of_loops)),
            Operation(f"{name} across lanes", "reduction", "int32 -> int32", EACH32, lanes,
                      samples, clipped(_S32, of_lanes)),
        ]  # fmt: skip
    return rows


def _movement() -> list[Operation]:
    def transpose(s: Sequence) -> Tensor:
        lanes = s.arch.lanes
        blocks_of = VECTORS // lanes
        strides: dict[str, Any] = {f"{w}_stride1": 2 * lanes * lanes for w in ("src1", "dst")}
        return s.vector(_OP.TRANSPOSE, _S16, s.given(_S16), n0=lanes, n1=blocks_of, **strides)

    def turned(x: Float64Array) -> Float64Array:
        lanes = x.shape[2]
        square = x.reshape(x.shape[0], -1, lanes, lanes)
        return square.swapaxes(2, 3).reshape(x.shape)

    def permute(s: Sequence) -> Tensor:
        # Vectors (i, j, k) of 4 x 4 x 4 to (k, j, 3 - i).
        step = 2 * s.arch.lanes
        source = s.given(_S16)
        result = s.tensor(_S16)
        return s.vector(_OP.MOVE, result, source, n0=4, n1=4, n2=4, src1_stride1=4 * step,
                        src1_stride2=16 * step, dst_base=result.base + 3 * step,
                        dst_stride0=16 * step, dst_stride1=4 * step, dst_stride2=-step)

    def permuted(x: Float64Array) -> Float64Array:
        cube = x.reshape(x.shape[0], 4, 4, 4, -1)
        return cube[:, ::-1].transpose(0, 3, 2, 1, 4).reshape(x.shape)

    table = Table(np.random.default_rng(1).integers(-(2**15), 2**15, 256).astype(np.int16),
                  np.zeros(256, np.int16), 8)  # fmt: skip

    def look_up(s: Sequence) -> Tensor:
        return s.vector(_OP.SHL, _S16, s.given(_S8, vectors_of(_S8)), imm2=8, table=table)

    def looked_up(x: Int64) -> Float64Array:
        return table.base[x + 128].astype(np.float64)

    def samples16() -> tuple[Int64, ...]:
        return (sample(_S16, 3),)

    moves = "permutation and look-up"
    return [
        Operation("transpose", moves, "int16 -> int16", "squares of lanes x lanes", transpose,
                  samples16, clipped(_S16, turned)),
        Operation("permute vectors", moves, "int16 -> int16", "three loops in another order, one "
                  "backwards", permute, samples16, clipped(_S16, permuted)),
        Operation("256-entry table look-up", moves, "int8 -> int16", "all of int8", look_up,
                  lambda: (every(_S8),), looked_up),
    ]  # fmt: skip


def operations() -> list[Operation]:
    """In the order of the page."""
    return [*_reductions(), *_movement()]
