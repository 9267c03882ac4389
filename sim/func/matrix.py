"""MATRIX: passes of the weight-stationary array, accumulated in OBUF.

All passes of an instruction are one product of matrices, done in pieces of its depth by the float32
product of BLAS. A piece is exact: 256 products of two 9-bit values add up to at most 2**24 on the
way, whatever their order.
"""

from __future__ import annotations

import numpy as np

from jacquard.proto import npu_isa as isa
from jacquard.sim.func.memories import Fault, Memories, extent, runs, strided

_DTYPE = (np.dtype(np.int8), np.dtype(np.uint8))
_EXACT_DEPTH = 256
# OpenBLAS spreads products of more multiplications over threads, which wait for each other longer
# than products as short as an instruction's take, most of all where the cores are busy.
_ONE_THREAD = 1 << 18


def _halves(packed: np.ndarray, unsigned: bool) -> np.ndarray:
    """Weights of 4 bits, two in a byte, the lower first: uint8[n] -> uint8[2 n], sign extended."""
    halves = np.stack([packed & 15, packed >> 4], axis=-1).reshape(-1)
    return halves if unsigned else (halves ^ 8) - np.uint8(8)


def execute(memories: Memories, instr: isa.Matrix) -> None:
    """Executes one MATRIX. Raises Fault ILLEGAL or LOCAL_RANGE."""
    n_x, n_y = instr.n_x, instr.n_y
    passes = (instr.n_c, instr.n_ky, instr.n_kx)
    arch = memories.arch
    rows, cols, row = arch.rows, arch.cols, arch.wbuf_row_bytes
    transposed = bool(instr.weight_transposed)
    if not (n_x and n_y) or 0 in passes or (transposed and rows != cols):
        raise Fault(isa.Error.ILLEGAL)
    positions = n_x * n_y
    depth = instr.n_c * instr.n_ky * instr.n_kx * rows
    ibuf = memories.buffer(isa.Buffer.IBUF)
    wbuf = memories.buffer(isa.Buffer.WBUF)
    obuf = memories.buffer(isa.Buffer.OBUF)
    counts = (n_y, n_x, *passes)
    strides = (instr.s_y, instr.s_x, instr.s_c, instr.s_ky, instr.s_kx)
    lowest, highest = extent(instr.ibuf, counts, strides)
    if (
        lowest < 0
        or (highest + 1) * rows > ibuf.size
        or (instr.wbuf + depth) * row > wbuf.size
        or (instr.obuf + positions) * cols * 4 > obuf.size
    ):
        raise Fault(isa.Error.LOCAL_RANGE)

    activations = (
        runs(ibuf, instr.ibuf * rows, rows, counts, [stride * rows for stride in strides])
        .copy()
        .view(_DTYPE[instr.act_unsigned])
        .reshape(positions, depth)
        .astype(np.float32)
    )
    start = instr.wbuf * row
    packed = wbuf[start : start + depth * row]
    if arch.weight_bits == 4:
        packed = _halves(packed, bool(instr.weight_unsigned))
    weights = packed.view(_DTYPE[instr.weight_unsigned]).reshape(depth, cols).astype(np.float32)
    if transposed:
        weights = weights.reshape(-1, rows, rows).swapaxes(1, 2).reshape(depth, cols)
    if instr.act_zero:
        activations -= instr.act_zero
    if instr.weight_zero:
        weights -= instr.weight_zero
    target = strided(obuf, np.int32, instr.obuf * cols * 4, (positions, cols), (cols * 4, 4))
    if not instr.accumulate:
        target[...] = 0
    piece = max(1, min(_EXACT_DEPTH, _ONE_THREAD // (positions * cols)))
    for start in range(0, depth, piece):
        part = slice(start, start + piece)
        # int32 wraps as the accumulator does.
        target += (activations[:, part] @ weights[part]).astype(np.int32)  # type: ignore[misc]
