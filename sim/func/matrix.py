"""MATRIX: passes of the weight-stationary array, accumulated in OBUF.

All passes of an instruction are one product of float64 matrices: products of 9-bit values are exact
there, and so are their sums up to 2**53, far beyond what the longest instruction adds up.
"""

from __future__ import annotations

import numpy as np

from jacquard.proto import npu_isa as isa
from jacquard.sim.func.memories import Fault, Memories, extent, strided

_DTYPE = (np.dtype(np.int8), np.dtype(np.uint8))


def execute(memories: Memories, instr: isa.Matrix) -> None:
    """Executes one MATRIX. Raises Fault ILLEGAL or LOCAL_RANGE."""
    n_x, n_y = instr.n_x, instr.n_y
    passes = (instr.n_c, instr.n_ky, instr.n_kx)
    arch = memories.arch
    rows, cols = arch.rows, arch.cols
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
        or (instr.wbuf + depth) * cols > wbuf.size
        or (instr.obuf + positions) * cols * 4 > obuf.size
    ):
        raise Fault(isa.Error.LOCAL_RANGE)

    source = strided(
        ibuf,
        _DTYPE[instr.act_unsigned],
        instr.ibuf * rows,
        (*counts, rows),
        (*(stride * rows for stride in strides), 1),
    )
    activations = source.astype(np.float64, order="C").reshape(positions, depth)
    weights = strided(
        wbuf, _DTYPE[instr.weight_unsigned], instr.wbuf * cols, (depth, cols), (cols, 1)
    ).astype(np.float64)
    if transposed:
        weights = weights.reshape(-1, rows, rows).swapaxes(1, 2).reshape(depth, cols)
    if instr.act_zero:
        activations -= instr.act_zero
    if instr.weight_zero:
        weights -= instr.weight_zero
    # By way of int64, so that sums past 32 bits wrap as the accumulator does.
    sums = (activations @ weights).astype(np.int64).astype(np.int32)
    target = strided(obuf, np.int32, instr.obuf * cols * 4, (positions, cols), (cols * 4, 4))
    if instr.accumulate:
        target += sums  # type: ignore[misc]
    else:
        target[...] = sums
