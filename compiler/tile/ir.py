"""The tile IR: instructions in program order, each with the layer that it belongs to.

The order means one instruction after another; tokens and the order of fetch are later passes'
business. An instruction is an instance of the generated npu_isa classes.
"""

from __future__ import annotations

import dataclasses

from jacquard.proto import npu_isa as isa
from jacquard.proto import program_pb2 as pb

CONSTANT_ARG = 1  # argument register of the constants' segment
SCRATCH_ARG = 2  # argument register of the activations' segment

Instruction = isa.Load | isa.Matrix | isa.Vector | isa.Store


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One instruction of one layer (index into the program's layers)."""

    instruction: Instruction
    layer: int


@dataclasses.dataclass(frozen=True)
class LayerInfo:
    """What the Program says about a layer, but for its range of instructions."""

    name: str
    op: str
    nodes: tuple[str, ...]
    output: str  # tensor
    macs: int


@dataclasses.dataclass(frozen=True)
class TileProgram:
    """A whole network as instructions, before linking."""

    steps: tuple[Step, ...]
    layers: tuple[LayerInfo, ...]
    constants: bytes
    scratch_bytes: int
    tensors: dict[str, pb.Tensor]  # where every stored activation lies
    plan: pb.MemoryPlan

    def text(self) -> str:
        """One line per instruction: layer, mnemonic, the fields that are not zero."""
        return "".join(f"{s.layer:4} {line(s.instruction)}\n" for s in self.steps)


def line(instruction: Instruction) -> str:
    """Mnemonic and non-zero fields."""
    fields = (
        f"{f.name}={int(getattr(instruction, f.name))}"
        for f in instruction.FIELDS[2:]
        if getattr(instruction, f.name)
    )
    return f"{instruction.NAME} {' '.join(fields)}"
