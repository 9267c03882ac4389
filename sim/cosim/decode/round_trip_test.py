"""Python encode -> RTL decode -> Python: every instruction, random fields and all extremes."""

from __future__ import annotations

import pathlib
import random
import subprocess

from jacquard.proto import npu_isa as isa
from jacquard.sim.cosim.decode.generate import SLOTS

_RECORD_BYTES = isa.MAX_WORDS * isa.WORD_BYTES
_PROBE = pathlib.Path("sim/cosim/decode/probe").absolute()


def _value(rng: random.Random, field: isa.FieldInfo) -> int:
    low = -(1 << (field.width - 1)) if field.signed else 0
    high = low + (1 << field.width) - 1
    kind = rng.random()
    if kind < 0.2:
        return 0
    if kind < 0.4:
        return rng.choice((low, high))
    if kind < 0.6:
        return min(high, 1 << rng.randrange(field.width))
    return rng.randint(low, high)


def _instructions(count: int) -> list[isa.Instruction]:
    rng = random.Random(1)
    made: list[isa.Instruction] = []
    for kind in isa.INSTRUCTIONS:
        fields = kind.FIELDS[2:]
        for field in fields:  # one field at a time, all ones: nothing may leak into another
            made.append(kind(**{field.name: -1 if field.signed else (1 << field.width) - 1}))
        for _ in range(count):
            made.append(kind(**{field.name: _value(rng, field) for field in fields}))
    return made


def _probe(records: list[bytes]) -> list[list[int]]:
    padded = b"".join(record.ljust(_RECORD_BYTES, b"\0") for record in records)
    done = subprocess.run([_PROBE], input=padded, stdout=subprocess.PIPE, check=True)
    return [[int(word) for word in line.split()] for line in done.stdout.splitlines()]


def test_every_field_survives_encoding_and_decoding_in_rtl_and_python() -> None:
    instructions = _instructions(2000)
    codes = [isa.encode(instruction) for instruction in instructions]
    seen = _probe(codes)
    assert len(seen) == len(instructions)
    for instruction, code, (known, legal, engine, *slots) in zip(
        instructions, codes, seen, strict=True
    ):
        assert (known, legal) == (1, 1)
        assert len(slots) == SLOTS
        if instruction.ENGINE is not None:
            assert engine == instruction.ENGINE
        names = [field.name for field in instruction.FIELDS]
        rtl = dict(zip(names, slots, strict=False))  # kinds differ in their number of fields
        assert rtl.pop("opcode") == instruction.OPCODE
        assert rtl.pop("length_words") * isa.WORD_BYTES == len(code)
        assert rtl == {name: int(getattr(instruction, name)) for name in rtl}
        assert type(instruction)(**rtl) == instruction
        assert isa.decode(code) == (instruction, len(code))


def test_opcodes_and_lengths_that_mean_nothing_are_known_as_such() -> None:
    records = [bytes((opcode, length)) for opcode in range(256) for length in range(16)]
    opcodes = {kind.OPCODE for kind in isa.INSTRUCTIONS}
    for record, (known, legal, *_) in zip(records, _probe(records), strict=True):
        assert known == (record[0] in opcodes)
        assert legal == (1 <= record[1] <= isa.MAX_WORDS)
