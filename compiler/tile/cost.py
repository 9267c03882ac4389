"""Estimated cycles of an instruction, for ordering and tiling only: results never depend on it."""

from __future__ import annotations

import operator
from typing import Any

from jacquard.compiler.tile.ir import Instruction
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch
from jacquard.sim.timing.cycles import dma_cycles, matrix_cycles, vector_cycles

VECTOR_DELAY_CYCLES = 12  # from the last operand to the last result


# What a transfer's cycles depend on besides its addresses within a word.
_LOAD_SHAPE = operator.attrgetter(
    "buffer", "n0", "n1", "n2", "n3", "d1", "d2", "d3", "s1", "s2", "s3",
    "before0", "after0", "before1", "after1", "gather",
)
_STORE_SHAPE = operator.attrgetter("n0", "n1", "n2", "n3", "l1", "l2", "l3", "s1", "s2", "s3")


class Durations:
    """Durations on one machine; programs have few different transfers, and each counts once."""

    def __init__(self, arch: Arch) -> None:
        self._arch = arch
        self._known: dict[tuple[Any, ...], int] = {}

    def duration(self, instruction: Instruction) -> tuple[int, int]:
        """(cycles that the engine is busy, cycles from there until others may go on)."""
        arch = self._arch
        if isinstance(instruction, isa.Matrix):
            return matrix_cycles(instruction, arch), arch.rows + arch.cols
        if isinstance(instruction, isa.Vector):
            return vector_cycles(instruction, arch), VECTOR_DELAY_CYCLES
        width = arch.bytes_per_cycle
        key: tuple[Any, ...]
        if isinstance(instruction, isa.Load):
            key = (_LOAD_SHAPE(instruction), instruction.dst % width, instruction.dram % width,
                   instruction.index_dram % width)
        else:
            key = (_STORE_SHAPE(instruction), instruction.src % width, instruction.dram % width)
        cycles = self._known.get(key)
        if cycles is None:
            cycles = self._known[key] = dma_cycles(instruction, arch)
        return cycles, arch.latency_cycles
