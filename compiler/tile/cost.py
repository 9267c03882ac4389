"""Estimated cycles of an instruction, for ordering and tiling only: results never depend on it."""

from __future__ import annotations

from jacquard.compiler.tile.ir import Instruction
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch
from jacquard.sim.timing.cycles import dma_cycles, matrix_cycles, vector_cycles

VECTOR_DELAY_CYCLES = 12  # from the last operand to the last result


def duration(instruction: Instruction, arch: Arch) -> tuple[int, int]:
    """(cycles that the engine is busy, cycles from there until others may go on)."""
    if isinstance(instruction, (isa.Load, isa.Store)):
        return dma_cycles(instruction, arch), arch.latency_cycles
    if isinstance(instruction, isa.Matrix):
        return matrix_cycles(instruction, arch), arch.rows + arch.cols
    return vector_cycles(instruction, arch), VECTOR_DELAY_CYCLES
