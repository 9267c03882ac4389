"""Looks at a program's code no deeper than the instruction headers."""

from __future__ import annotations

from jacquard.proto import npu_isa
from jacquard.proto import program_pb2 as pb

WORD_BYTES = 16


def opcodes(code: bytes) -> list[int]:
    """Opcode of every instruction, in program order."""
    found, at = [], 0
    while at < len(code):
        found.append(code[at])
        at += (code[at + 1] & 15) * WORD_BYTES
    return found


def last_stores(program: pb.Program) -> list[int]:
    """Per layer, the index of its last STORE: its output is whole when that has finished."""
    codes = opcodes(program.code)
    stores = []
    for layer in program.layers:
        span = range(layer.end_instruction - 1, layer.first_instruction - 1, -1)
        stores.append(next(i for i in span if codes[i] == npu_isa.Store.OPCODE))
    return stores
