"""Spills and refetches: a program counted by hand, and random ones against a count byte by byte."""

import itertools
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from jacquard.compiler.checker.traffic import Traffic, traffic
from jacquard.proto import npu_isa as isa
from jacquard.proto import program_pb2 as pb

WEIGHTS, SCRATCH, ROW = 1, 2, 3


def _load(arg: int, dram: int, size: int, count: int = 1, stride: int = 0, **more: int) -> isa.Load:
    return isa.Load(buffer=isa.Buffer.VMEM, arg=arg, dram=dram, n0=size, n1=count, s1=stride, n2=1,
                    n3=1, **more)


def _store(dram: int, size: int, arg: int = SCRATCH, count: int = 1, stride: int = 0) -> isa.Store:
    return isa.Store(buffer=isa.Buffer.VMEM, arg=arg, dram=dram, n0=size, n1=count, s1=stride, n2=1,
                     n3=1)


def _program(code: Sequence[isa.Instruction], ends: dict[str, tuple[int, int, int]]) -> pb.Program:
    """ends: layer -> (end instruction, offset, size of its output)."""
    program = pb.Program(code=b"".join(i.encode() for i in (*code, isa.End())))
    weights = program.segments.add(name="weights", kind=pb.Segment.WEIGHTS, arg=WEIGHTS,
                                   size_bytes=128)
    weights.parts.add(layer="first", offset_bytes=0, size_bytes=64)
    weights.parts.add(layer="last", offset_bytes=64, size_bytes=64)
    program.segments.add(name="scratch", kind=pb.Segment.SCRATCH, arg=SCRATCH, size_bytes=96)
    program.arguments.add(name="row", arg=ROW, segment="scratch", step_bytes=4, count=2)
    for name, (end, offset, size) in ends.items():
        program.layers.add(name=name, end_instruction=end, output=pb.Tensor(
            segment="scratch", offset_bytes=offset, size_bytes=size))
    return program


def test_counted_by_hand() -> None:
    """Two layers: 16 of the first one's 32 bytes are read, 8 of them twice; a weight tile twice."""
    code = [
        _load(SCRATCH, 64, 16),  # the input
        _load(WEIGHTS, 0, 32), _load(WEIGHTS, 32, 32), _load(WEIGHTS, 0, 32),
        _load(WEIGHTS, 64, 64),  # of the last layer, ahead
        _store(0, 32),
        _load(SCRATCH, 0, 8, count=2, stride=16), _load(SCRATCH, 0, 8),
        _load(SCRATCH, 64, 20, before0=4),  # the input again, behind 4 bytes of padding
        _store(32, 16),
    ]
    program = _program(code, {"first": (6, 0, 32), "last": (10, 32, 16)})
    program.outputs.add(segment="scratch", offset_bytes=32, size_bytes=16)
    assert traffic(program) == Traffic((16, 0), (32 + 8, 0), 16)


def test_a_place_that_is_used_again_is_another_tensor() -> None:
    code = [_store(0, 8), _load(SCRATCH, 0, 8), _store(0, 8), _load(SCRATCH, 0, 8)]
    program = _program(code, {"first": (1, 0, 8), "last": (4, 0, 8)})
    assert traffic(program) == Traffic((8, 8), (0, 0), 0)


def test_a_result_that_is_given_out_is_no_spill() -> None:
    code = [_store(0, 8), _load(SCRATCH, 0, 8), _load(SCRATCH, 0, 8), _store(16, 8)]
    program = _program(code, {"first": (1, 0, 8), "last": (4, 16, 8)})
    program.outputs.add(segment="scratch", offset_bytes=0, size_bytes=8)
    assert traffic(program) == Traffic((0, 0), (8, 0), 0)


def test_rows_that_indices_pick_are_new_and_the_indices_are_not() -> None:
    pick = {"gather": 1, "index_arg": SCRATCH, "index_dram": 64, "index_limit": 4}
    code = [_load(WEIGHTS, 0, 16, count=2, stride=16, **pick)] * 2 + [_store(0, 32)]
    program = _program(code, {"first": (3, 0, 32), "last": (3, 0, 32)})
    assert traffic(program) == Traffic((0, 0), (0, 0), 8)


def _random(random: np.random.Generator) -> isa.Load | isa.Store:
    count, size = int(random.integers(1, 4)), int(random.integers(1, 9))
    dram, stride = int(random.integers(0, 40)), int(random.integers(0, 16))
    kind = random.integers(5)
    if kind < 2:
        return _store(dram, size, int(random.choice([SCRATCH, ROW])), count, stride + 8)
    if kind < 4:
        return _load(int(random.choice([SCRATCH, ROW])), dram, size, count, stride)
    return _load(WEIGHTS, 64 * (dram % 2) + dram % 8, size, count, stride)


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_byte_by_byte(seed: int) -> None:
    random = np.random.default_rng(seed)
    code = [_random(random) for _ in range(60)]
    program = _program(code, {"first": (30, 0, 96), "last": (60, 0, 96)})
    owner: dict[int, int] = {}
    total: Counter[int] = Counter()
    spilled, again, other = Counter[int](), Counter[int](), 0
    loads: dict[tuple[int, int], int] = {}  # (version of a byte, byte) -> loads
    version: dict[int, int] = {}
    for index, i in enumerate(code):
        at = [i.dram + k * i.s1 + b for k, b in itertools.product(range(i.n1), range(i.n0))]
        if i.arg == WEIGHTS:
            total.update(at)
            continue
        for byte in at:
            if isinstance(i, isa.Store):
                owner[byte], version[byte] = int(index >= 30), index + 1
                continue
            key = version.get(byte, 0), byte
            loads[key] = loads.get(key, 0) + 1
            if byte not in owner:
                other += loads[key] > 1
            elif loads[key] > 1:
                again[owner[byte]] += 1
            else:
                spilled[owner[byte]] += 1
    for byte, times in total.items():
        again[byte // 64] += times - 1
    assert traffic(program) == Traffic((spilled[0], spilled[1]), (again[0], again[1]), other)
