"""A program's instructions as columns: one array per field of each kind of instruction.

In: code bytes. Out: `Code`. Checking a rule on a column costs a hundredth of checking it
instruction by instruction, and programs have a hundred thousand of them.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from jacquard.proto import npu_isa

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Table:
    """Instructions of one kind in program order; `index`: their places in the program."""

    index: Ints
    columns: dict[str, Ints]

    def __getitem__(self, field: str) -> Ints:
        return self.columns[field]

    def take(self, keep: Mask) -> "Table":
        """The rows where `keep` holds."""
        if keep.all():
            return self
        return Table(self.index[keep], {k: v[keep] for k, v in self.columns.items()})


@dataclasses.dataclass(frozen=True)
class Code:
    """`engine[i]`: of instruction i, -1 for `end`; `offset[i]`: its first byte."""

    code: bytes
    offset: Ints
    engine: Ints
    pop: Ints
    push: Ints
    tables: dict[type[npu_isa.Instruction], Table]

    def __len__(self) -> int:
        return len(self.offset)

    def instruction(self, index: int) -> npu_isa.Instruction:
        """Instruction `index`, decoded."""
        return npu_isa.decode(self.code, int(self.offset[index]))[0]


def read(code: bytes) -> Code:
    """Splits `code` into instructions; raises ValueError where it does not decode."""
    word_bytes = npu_isa.WORD_BYTES
    words = np.frombuffer(code[: len(code) // word_bytes * word_bytes], np.uint8)
    words = words.reshape(-1, word_bytes)
    lengths = (words[:, 1] & 15).tolist()
    starts: list[int] = []
    at = 0
    while at < len(lengths) and lengths[at]:
        starts.append(at)
        at += lengths[at]
    first = np.array(starts, dtype=np.int64)
    opcode = words[first, 0]
    length = words[first, 1] & 15
    known = np.isin(opcode, [kind.OPCODE for kind in npu_isa.INSTRUCTIONS])
    if at * word_bytes != len(code) or not known.all() or (length > npu_isa.MAX_WORDS).any():
        npu_isa.decode_program(code)  # says what is wrong, and where
        raise ValueError(f"must be whole words of {word_bytes} bytes, got {len(code)} bytes")
    halves = np.zeros((len(first), 2 * npu_isa.MAX_WORDS), dtype=np.uint64)
    all_halves = words.view("<u8")
    for k in range(npu_isa.MAX_WORDS):
        rows = length > k
        halves[rows, 2 * k : 2 * k + 2] = all_halves[first[rows] + k]
    engine = np.full(len(first), -1, dtype=np.int64)
    tables = {}
    for kind in npu_isa.INSTRUCTIONS:
        index = np.flatnonzero(opcode == kind.OPCODE)
        part = halves[index]
        tables[kind] = Table(index, {f.name: _field(part, f) for f in kind.FIELDS[2:]})
        if kind.ENGINE is not None:
            engine[index] = kind.ENGINE
    header = {f.name: _field(halves, f) for f in npu_isa.End.FIELDS[2:4]}
    return Code(code, first * word_bytes, engine, header["pop"], header["push"], tables)


def _field(halves: npt.NDArray[np.uint64], field: npu_isa.FieldInfo) -> Ints:
    half, bit = divmod(field.offset, 64)
    value = halves[:, half] >> np.uint64(bit)
    if bit + field.width > 64:
        value = value | halves[:, half + 1] << np.uint64(64 - bit)
    result = (value & np.uint64((1 << field.width) - 1)).astype(np.int64)
    if field.signed:
        sign = 1 << (field.width - 1)
        result = (result ^ sign) - sign
    return result
