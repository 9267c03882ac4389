"""Python encodes, RTL decodes in Verilator, Python compares: every instruction, random fields."""

import random
import subprocess

import pytest

from jacquard.proto import npu_isa
from jacquard.proto.npu_isa import Engine

_BINARY = "proto/codegen/roundtrip/roundtrip"
_INSTRUCTION_BYTES = npu_isa.MAX_WORDS * npu_isa.WORD_BYTES
_PLACES = max(len(kind.FIELDS) for kind in npu_isa.INSTRUCTIONS)


def _random(kind: type[npu_isa.Instruction], chance: random.Random) -> npu_isa.Instruction:
    values = {}
    for field in kind.FIELDS[2:]:
        low = -(1 << (field.width - 1)) if field.signed else 0
        high = low + (1 << field.width) - 1
        values[field.name] = chance.choice([0, low, high, chance.randint(low, high)])
    return kind(**values)


def _decode_in_rtl(code: list[bytes]) -> list[tuple[list[int], int]]:
    padded = b"".join(c.ljust(_INSTRUCTION_BYTES, b"\0") for c in code)
    out = subprocess.run([_BINARY], input=padded, stdout=subprocess.PIPE, check=True).stdout
    row = 8 * (_PLACES + 1)
    assert len(out) == row * len(code)
    return [
        (
            [
                int.from_bytes(out[k + 8 * p : k + 8 * p + 8], "little", signed=True)
                for p in range(_PLACES)
            ],
            int.from_bytes(out[k + row - 8 : k + row], "little"),
        )
        for k in range(0, len(out), row)
    ]


@pytest.mark.parametrize("kind", npu_isa.INSTRUCTIONS, ids=lambda kind: kind.NAME)
def test_round_trip(kind: type[npu_isa.Instruction]) -> None:
    chance = random.Random(kind.OPCODE)
    sent = [_random(kind, chance) for _ in range(2000)]
    codes = [npu_isa.encode(i) for i in sent]
    for instruction, code, (fields, known) in zip(sent, codes, _decode_in_rtl(codes), strict=True):
        seen = dict(zip([f.name for f in kind.FIELDS], fields, strict=False))
        assert seen.pop("opcode") == kind.OPCODE
        assert seen.pop("length_words") == len(code) // npu_isa.WORD_BYTES
        assert kind(**seen) == instruction
        assert npu_isa.decode(code)[0] == instruction
        assert known & 1
        assert kind.ENGINE is None or Engine(known >> 1) == kind.ENGINE


def test_unknown_opcodes_are_unknown() -> None:
    known = {kind.OPCODE for kind in npu_isa.INSTRUCTIONS}
    codes = [bytes([opcode]) for opcode in range(256)]
    assert [bool(flags & 1) for _, flags in _decode_in_rtl(codes)] == [
        opcode in known for opcode in range(256)
    ]
