"""From a string of instructions to what the engines execute, many at a time.

A compiled network has hundreds of thousands of instructions, so fields are cut out with NumPy for
all instructions of a kind at once (a microsecond or two each). What is cut out where comes from the
generated npu_isa. The result has that module's field names, but is a named tuple: building a
dataclass costs as much as executing a small instruction.
"""

from __future__ import annotations

import collections
import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from jacquard.proto import npu_isa as isa

WORD_BYTES = isa.WORD_BYTES
_LENGTH_MASK = 15  # header: opcode 8 bits, length_words 4, pop 4, push 4


@dataclasses.dataclass(frozen=True)
class Decoded:
    """Instructions in program order.

    opcodes, pops and pushes have one entry per instruction; so has instructions, where None stands
    for one that no engine can execute (unknown opcode or bad length). `complete` says that the last
    one is `end`; if it is not, the string ran out or became unreadable after the last one.
    """

    opcodes: list[int]
    pops: list[int]
    pushes: list[int]
    instructions: list[Any]
    complete: bool


def _record(kind: type[isa.Instruction]) -> Any:
    names = [field.name for field in kind.FIELDS]
    return collections.namedtuple(kind.__name__, names)


_KINDS = {kind.OPCODE: kind for kind in isa.INSTRUCTIONS}
_RECORDS = {opcode: _record(kind) for opcode, kind in _KINDS.items()}


def scan(code: bytes | memoryview, address: int) -> tuple[list[int], list[int], bool]:
    """Byte offsets and lengths (words) of the instructions from an address on, up to `end`.

    The third result is False if the code ran out before `end`, or an instruction has no legal
    length (that one is the last in the lists; nothing after it can be found).
    """
    offsets: list[int] = []
    lengths: list[int] = []
    end, size, max_words = isa.End.OPCODE, len(code), isa.MAX_WORDS
    at = address
    while at + WORD_BYTES <= size:
        opcode = code[at]
        length = code[at + 1] & _LENGTH_MASK
        offsets.append(at)
        lengths.append(length)
        if not 0 < length <= max_words or opcode not in _KINDS:
            return offsets, lengths, False
        if at + length * WORD_BYTES > size:
            offsets.pop()
            lengths.pop()
            break
        if opcode == end:
            return offsets, lengths, True
        at += length * WORD_BYTES
    return offsets, lengths, False


def _columns(words: npt.NDArray[np.uint64], opcode: int) -> list[list[int]]:
    """The fields of instructions of one kind: words uint64[n, 2 * max_words]; a list per field."""
    columns: list[list[int]] = []
    for field in _KINDS[opcode].FIELDS:
        index, bit = divmod(field.offset, 64)
        value = words[:, index] >> np.uint64(bit)
        if bit + field.width > 64:
            value = value | (words[:, index + 1] << np.uint64(64 - bit))
        unused = np.uint64(64 - field.width)
        if field.signed:
            columns.append(((value << unused).view(np.int64) >> unused.view(np.int64)).tolist())
        else:
            columns.append(((value << unused) >> unused).tolist())
    return columns


def decode(memory: npt.NDArray[np.uint8], address: int) -> Decoded:
    """Decodes from a byte address of a uint8 vector up to `end` or the first unreadable one."""
    offsets, lengths, complete = scan(memory.data, address)
    count = len(offsets)
    instructions: list[Any] = [None] * count
    if not count:
        return Decoded([], [], [], [], False)
    starts = np.array(offsets)
    opcodes = memory[starts]
    pops = memory[starts + 1] >> 4
    pushes = memory[starts + 2] & 15
    # Whole code as 64-bit words with zeros behind, so that short instructions read past their end.
    longest = isa.MAX_WORDS * WORD_BYTES
    stop = min(int(starts[-1]) + longest, memory.size)
    code = np.zeros(int(starts[-1]) - address + longest, np.uint8)
    code[: stop - address] = memory[address:stop]
    wide = code.view(np.uint64)
    first = (starts - address) // 8
    within = np.arange(longest // 8)
    present = np.array(lengths)[:, None] * (WORD_BYTES // 8) > within
    for opcode, record in _RECORDS.items():
        chosen = np.flatnonzero(opcodes == opcode)
        if not chosen.size:
            continue
        words = wide[first[chosen][:, None] + within]
        words[~present[chosen]] = 0
        made = map(record._make, zip(*_columns(words, opcode), strict=True))
        for at, instruction in zip(chosen.tolist(), made, strict=True):
            instructions[at] = instruction
    if not 0 < lengths[-1] <= isa.MAX_WORDS:
        instructions[-1] = None
    return Decoded(opcodes.tolist(), pops.tolist(), pushes.tolist(), instructions, complete)
