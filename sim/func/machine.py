"""The machine as a program sees it: memories, tokens, and instructions one after another.

In: a DRAM image with a program in it (or its code beside it) and eight arguments. Out: the same
image, changed, and how the run ended.

Instructions run in program order, which is a legal order of any program that is free of races and
whose tokens are pushed before they are popped in that order; both hold for what the compiler makes
(its checker proves it). Time is not modelled.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch
from jacquard.sim.func import load, matrix, store, vector
from jacquard.sim.func.decode import WORD_BYTES, Decoded, decode
from jacquard.sim.func.memories import Bytes, Fault, Memories

NUM_ARGS = 8
_ENGINES = len(isa.Engine)
_PROGRESS_SECONDS = 0.1
_ENGINE_OF = {kind.OPCODE: int(kind.ENGINE) for kind in isa.INSTRUCTIONS if kind.ENGINE is not None}


class Checkpoint(Protocol):
    """Copy `size` DRAM bytes at `address` when instruction `instruction` has finished."""

    @property
    def instruction(self) -> int: ...
    @property
    def address(self) -> int: ...
    @property
    def size(self) -> int: ...


@dataclasses.dataclass(frozen=True)
class RunResult:
    """How a run ended.

    error_index is the faulting instruction's index in the program, 0 if status is OK.
    instructions counts those that finished, `end` included. snapshots holds a uint8 vector per
    checkpoint, in the order given; of length 0 where the run stopped before. tokens[x][y] are left
    over between the engines x and y: all zero after a balanced program.
    """

    status: isa.Error
    error_index: int
    instructions: int
    snapshots: list[Bytes]
    tokens: tuple[tuple[int, ...], ...]
    seconds: float


class Machine:
    """An NPU of one configuration. Its on-chip memories keep their contents between runs."""

    def __init__(self, arch: Arch, dram: Bytes) -> None:
        """dram: contiguous uint8 vector; used in place."""
        self.memories = Memories.make(arch, dram)

    @property
    def dram(self) -> Bytes:
        return self.memories.dram

    def run(
        self,
        program: int | bytes,
        args: Sequence[int] = (0,) * NUM_ARGS,
        checkpoints: Sequence[Checkpoint] = (),
        progress: Callable[[int], None] | None = None,
    ) -> RunResult:
        """Runs to `end` or to the first fault; never raises on account of the program.

        Args:
          program: byte address in DRAM, a multiple of 16, or the code itself. It is read before the
            first instruction runs: a program that writes over itself is not seen.
          args: eight argument registers; the first is always zero whatever is given.
          checkpoints: what to copy out of DRAM, and when.
          progress: called now and then with the index of the instruction that runs next.
        """
        if len(args) != NUM_ARGS:
            raise ValueError(f"args: must be {NUM_ARGS} integers, got {len(args)}")
        began = time.monotonic()
        if isinstance(program, int):
            if program % WORD_BYTES:
                raise ValueError(f"program: address must be a multiple of 16, got {program:#x}")
            decoded = decode(self.memories.dram, program)
        else:
            decoded = decode(np.frombuffer(program, np.uint8), 0)
        due: dict[int, list[int]] = {}
        for number, checkpoint in enumerate(checkpoints):
            due.setdefault(checkpoint.instruction, []).append(number)
        snapshots = [np.empty(0, np.uint8)] * len(checkpoints)

        def finished(index: int) -> None:
            for number in due.get(index, ()):
                point = checkpoints[number]
                window = self.memories.dram[point.address : point.address + point.size]
                snapshots[number] = window.copy()

        tokens = [[0] * _ENGINES for _ in range(_ENGINES)]
        status, index = self._execute(
            decoded, (0, *args[1:]), tokens, finished if due else None, progress
        )
        return RunResult(
            status,
            index if status else 0,
            index if status else len(decoded.instructions),
            snapshots,
            tuple(tuple(row) for row in tokens),
            time.monotonic() - began,
        )

    def _execute(
        self,
        decoded: Decoded,
        args: tuple[int, ...],
        tokens: list[list[int]],
        finished: Callable[[int], None] | None,
        progress: Callable[[int], None] | None,
    ) -> tuple[isa.Error, int]:
        memories = self.memories
        op_load, op_matrix = isa.Load.OPCODE, isa.Matrix.OPCODE
        op_vector, op_store = isa.Vector.OPCODE, isa.Store.OPCODE
        next_report = time.monotonic() + _PROGRESS_SECONDS
        index = 0
        try:
            for index, (opcode, pop, push, instr) in enumerate(
                zip(
                    decoded.opcodes,
                    decoded.pops,
                    decoded.pushes,
                    decoded.instructions,
                    strict=True,
                )
            ):
                if instr is None:
                    raise Fault(isa.Error.ILLEGAL)
                if pop or push:
                    _take(opcode, pop, push, tokens)
                if opcode == op_matrix:
                    matrix.execute(memories, instr)
                elif opcode == op_vector:
                    vector.execute(memories, instr)
                elif opcode == op_load:
                    load.execute(memories, instr, args)
                elif opcode == op_store:
                    store.execute(memories, instr, args)
                if push:
                    _give(opcode, push, tokens)
                if finished is not None:
                    finished(index)
                if progress is not None and not index & 63 and time.monotonic() >= next_report:
                    progress(index)
                    next_report = time.monotonic() + _PROGRESS_SECONDS
        except Fault as fault:
            return fault.code, index
        if not decoded.complete:  # fetch reads on past the end of DRAM
            return isa.Error.DRAM_READ, len(decoded.instructions)
        return isa.Error.OK, index


def _take(opcode: int, pop: int, push: int, tokens: list[list[int]]) -> None:
    """Takes an instruction's tokens. Raises Fault ILLEGAL, or WATCHDOG if one is not there."""
    engine = _ENGINE_OF.get(opcode)
    if engine is None:
        return  # `end` waits for everybody anyway
    if (pop | push) >> engine & 1:
        raise Fault(isa.Error.ILLEGAL)
    for other in range(_ENGINES):
        if pop >> other & 1:
            if not tokens[other][engine]:
                raise Fault(isa.Error.WATCHDOG)
            tokens[other][engine] -= 1


def _give(opcode: int, push: int, tokens: list[list[int]]) -> None:
    engine = _ENGINE_OF.get(opcode)
    if engine is None:
        return
    for other in range(_ENGINES):
        if push >> other & 1:
            tokens[engine][other] += 1
