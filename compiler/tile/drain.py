"""From the accumulators to DRAM: requantized, a residual added, stored.

A drain is what MATRIX leaves of a group of output tiles over a rectangle of positions.
"""

from __future__ import annotations

import dataclasses

from jacquard.compiler.tile.access import ELEMENT_BYTES
from jacquard.compiler.tile.kept import Kept
from jacquard.compiler.tile.lowering import Lowering
from jacquard.compiler.tile.memory import Piece
from jacquard.compiler.tile.operand import Rect
from jacquard.compiler.tile.problem import Contraction
from jacquard.compiler.tile.stream import Block, store_block
from jacquard.proto import npu_isa as isa


@dataclasses.dataclass(frozen=True)
class Drain:
    """Output tiles [first, end) of a rectangle. obuf: OBUF row of the sums. param: PARAM row of the
    first tile. residual, factors: VMEM, dense. keep: where in IBUF the results go, too."""

    rect: Rect
    outputs: tuple[int, int]
    obuf: int
    param: int
    residual: Piece | None
    factors: Piece | None
    keep: Kept | None = None


def emit_drain(low: Lowering, problem: Contraction, drain: Drain, size: int) -> None:
    """Stores the results in blocks of `size` positions, and frees the operands."""
    for first in range(0, drain.rect.positions, size):
        _block(low, problem, drain, first, min(size, drain.rect.positions - first))
    for piece in (drain.factors, drain.residual):
        if piece is not None:
            low.vmem.free(piece)


def requantize_fields(low: Lowering, problem: Contraction, drain: Drain) -> dict[str, int]:
    """Fields of the pass from the accumulators, its destination and lengths not included."""
    requant, row = problem.requant, low.arch.obuf_row_bytes
    return {
        "op": int(isa.VectorOp.MOVE), "scale": int(isa.ScaleMode.PER_LANE),
        "shift": requant.shift, "zero_point": requant.zero_point, "clamp": 1,
        "lo": requant.lo, "hi": requant.hi, "param": drain.param, "param_stride1": 0,
        "src1_buffer": int(isa.Buffer.OBUF), "src1_dtype": int(isa.Dtype.S32),
        "src1_base": drain.obuf * row, "src1_stride0": row,
        "src1_stride1": drain.rect.width * row,
    }


def _block(low: Lowering, problem: Contraction, drain: Drain, first: int, rows: int) -> None:
    """Positions [first, first + rows) of a drain's."""
    arch, factors = low.arch, drain.factors
    requant, positions = problem.requant, drain.rect.positions
    count = drain.outputs[1] - drain.outputs[0]
    own = ELEMENT_BYTES[requant.stored_dtype] * arch.lanes  # bytes of a vector
    requantize = requantize_fields(low, problem, drain)
    requantize["src1_base"] += first * arch.obuf_row_bytes
    requantize |= {"param_stride1": 1, "src1_stride1": positions * arch.obuf_row_bytes}
    if factors is not None:
        assert problem.factors is not None
        size = problem.factors.position_bytes
        requantize = {n: v for n, v in requantize.items() if not n.startswith("param")} | {
            "op": int(isa.VectorOp.MUL), "scale": int(isa.ScaleMode.IMM), "mult1": 1,
            "src2_buffer": int(isa.Buffer.VMEM), "src2_dtype": int(isa.Dtype.S32),
            "src2_base": factors.base + first * size, "src2_stride0": size,
        }
    if requant.lookup is not None:
        requantize |= {"table": 1, "table_index": low.table(requant.lookup.table),
                       "table_shift": requant.lookup.table_shift}
    rect = drain.rect
    if rows < positions:
        rect = Rect(rect.y, rect.x + first, 1, rows)
    piece = low.vmem.take(count * rows * own)
    fields = requantize | {
        "n0": rows, "n1": count, "n2": 1, "n3": 1,
        "dst_buffer": int(isa.Buffer.VMEM), "dst_dtype": int(requant.stored_dtype),
        "dst_base": piece.base, "dst_stride0": own, "dst_stride1": rows * own,
    }
    if drain.keep is not None and drain.residual is None:
        fields = also(drain.keep, rect, drain.outputs[0], fields)
    low.emit(isa.Vector(**fields))
    if drain.residual is not None:
        piece = _add_residual(low, problem, drain, piece, first, rect)
    store_block(low, problem.out, Block(*drain.outputs, rect), piece.base)
    low.vmem.free(piece)


def _add_residual(
    low: Lowering, problem: Contraction, drain: Drain, piece: Piece, first: int, rect: Rect
) -> Piece:
    """Adds the residual to a block's results; returns where the sums are."""
    other = problem.residual
    assert other is not None and drain.residual is not None
    own = ELEMENT_BYTES[problem.requant.stored_dtype] * low.arch.lanes
    size, step = problem.out.position_bytes, other.place.position_bytes
    count = drain.outputs[1] - drain.outputs[0]
    rows = rect.positions
    result = piece if size == own else low.vmem.take(count * rows * size)
    fields = {
        "op": int(isa.VectorOp.SADD), "scale": int(isa.ScaleMode.IMM), "shift": other.shift,
        "zero_point": other.zero_point, "clamp": 1, "lo": other.lo, "hi": other.hi,
        "n0": rows, "n1": count, "n2": 1, "n3": 1,
        "imm1": -problem.requant.zero_point, "mult1": other.mult_own,
        "imm2": -other.other_zero, "mult2": other.mult_other,
        "dst_buffer": int(isa.Buffer.VMEM), "dst_dtype": int(other.out_dtype),
        "dst_base": result.base, "dst_stride0": size, "dst_stride1": rows * size,
        "src1_buffer": int(isa.Buffer.VMEM), "src1_dtype": int(problem.requant.stored_dtype),
        "src1_base": piece.base, "src1_stride0": own, "src1_stride1": rows * own,
        "src2_buffer": int(isa.Buffer.VMEM), "src2_dtype": int(other.dtype),
        "src2_base": drain.residual.base + first * step, "src2_stride0": step,
        "src2_stride1": drain.rect.positions * step,
    }
    if drain.keep is not None:
        fields = also(drain.keep, rect, drain.outputs[0], fields)
    low.emit(isa.Vector(**fields))
    if result is not piece:
        low.vmem.free(piece)
    return result


def also(keep: Kept, rect: Rect, tile: int, fields: dict[str, int]) -> dict[str, int]:
    """Fields of a pass over positions and channel tiles from `tile` on, with a second destination:
    their places in IBUF."""
    found = fields | {
        "dst2_buffer": int(isa.Buffer.IBUF), "dst2_dtype": fields["dst_dtype"],
        "dst2_base": keep.place(tile, rect.y, rect.x), "dst2_stride0": keep.block,
        "dst2_stride1": keep.plane * keep.block,
    }
    if rect.height == 1 or not keep.margin and rect.width == keep.width:
        return found
    # A loop of its own for the rows, between which there is a margin or what others write.
    for name in ("src1", "src2", "dst", "dst2"):
        if f"{name}_stride0" in found:
            found[f"{name}_stride2"] = found[f"{name}_stride1"]
            found[f"{name}_stride1"] = rect.width * found[f"{name}_stride0"]
    found["dst2_stride1"] = keep.pitch * keep.block
    if "param_stride1" in found:
        found |= {"param_stride2": found["param_stride1"], "param_stride1": 0}
    return found | {"n0": rect.width, "n1": rect.height, "n2": fields["n1"]}
