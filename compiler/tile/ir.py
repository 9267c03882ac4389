"""The tile IR: instructions in program order, each with the layer that it belongs to.

The order means one instruction after another; tokens and the order of fetch are later passes'
business. An instruction is an instance of the generated npu_isa classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from jacquard.proto import npu_isa as isa
from jacquard.proto import program_pb2 as pb

if TYPE_CHECKING:  # it is made of what is made of these
    from jacquard.compiler.tile.tiling import Tiled

# Argument registers. Those from POSITION_ARG on are declared as a network needs them.
CONSTANT_ARG = 1  # of the constants' segment
SCRATCH_ARG = 2  # of the activations' segment
CACHE_ARG = 3  # of the segment that outlives a run
WEIGHT_ARG = 4  # of the weights' segment
POSITION_ARG = 5  # the first that a run sets

_HEAD_BYTES = 4
_POP, _PUSH = (next(f for f in isa.Load.FIELDS if f.name == name) for name in ("pop", "push"))

Instruction = isa.Load | isa.Matrix | isa.Vector | isa.Store


@dataclasses.dataclass(frozen=True, slots=True)
class Argument:
    """A register that a run sets: what register `base` holds, and step_bytes * [0, count)."""

    name: str
    arg: int
    base: int
    step_bytes: int
    count: int


class Step(NamedTuple):
    """One instruction of one layer (index into the program's layers), and its tokens.

    pop, push: masks of engines; they stand here, since the instruction's own are still 0.
    """

    instruction: Instruction
    layer: int
    pop: int = 0
    push: int = 0

    def encode(self) -> bytes:
        """The instruction's bytes, tokens included."""
        code = self.instruction.encode()
        if not self.pop | self.push:
            return code
        head = int.from_bytes(code[:_HEAD_BYTES], "little")
        head |= self.pop << _POP.offset | self.push << _PUSH.offset
        return head.to_bytes(_HEAD_BYTES, "little") + code[_HEAD_BYTES:]


@dataclasses.dataclass(frozen=True)
class LayerInfo:
    """What the Program says about a layer, but for its range of instructions."""

    name: str
    op: str
    nodes: tuple[str, ...]
    output: str  # tensor
    macs: int
    floor_cycles: int  # sim/timing/bounds.py


@dataclasses.dataclass(frozen=True)
class WeightPart:
    """Bytes [offset, offset + size) of the weights' segment, which `layer` reads."""

    layer: str
    offset: int
    size: int


@dataclasses.dataclass(frozen=True)
class TileProgram:
    """A whole network as instructions, before linking."""

    steps: tuple[Step, ...]
    layers: tuple[LayerInfo, ...]
    constants: bytes
    scratch_bytes: int
    tensors: dict[str, pb.Tensor]  # where every stored activation or state lies
    plan: pb.MemoryPlan
    cache_bytes: int = 0  # of the segment that outlives a run
    arguments: tuple[Argument, ...] = ()
    weights: bytes = b""
    weight_parts: tuple[WeightPart, ...] = ()
    tilings: Mapping[str, Tiled] = dataclasses.field(default_factory=dict)  # of layers on MATRIX

    def text(self) -> str:
        """One line per instruction: layer, mnemonic, the fields that are not zero."""
        return "".join(
            f"{s.layer:4} pop={s.pop:x} push={s.push:x} {line(s.instruction)}\n"
            for s in self.steps
        )


def line(instruction: Instruction) -> str:
    """Mnemonic and non-zero fields."""
    fields = (
        f"{f.name}={int(getattr(instruction, f.name))}"
        for f in instruction.FIELDS[2:]
        if getattr(instruction, f.name)
    )
    return f"{instruction.NAME} {' '.join(fields)}"
