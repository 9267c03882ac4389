"""Tokens order every conflict, against an oracle that knows bytes and nothing else."""

import itertools

import numpy as np
import pytest

from jacquard.compiler.passes import order, tokens
from jacquard.compiler.tile.ir import (
    CACHE_ARG, CONSTANT_ARG, POSITION_ARG, SCRATCH_ARG, Argument, Step, TileProgram,
)
from jacquard.proto import npu_isa as isa
from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.arch import load_config

ARCH = load_config("nano4")
Byte = tuple[int | str, int]
ROW_ARG = POSITION_ARG + 1
ARGUMENTS = (
    Argument("position", POSITION_ARG, CACHE_ARG, step_bytes=4, count=5),
    Argument("position", ROW_ARG, SCRATCH_ARG, step_bytes=24, count=3),
    Argument("position", ROW_ARG + 1, CONSTANT_ARG, step_bytes=4, count=9),
)
DRAM_ARGS = (SCRATCH_ARG, SCRATCH_ARG, CACHE_ARG, POSITION_ARG, ROW_ARG)  # half the time scratch
VMEM, IBUF = isa.Buffer.VMEM, isa.Buffer.IBUF


def _random_step(random: np.random.Generator) -> isa.Load | isa.Vector | isa.Store:
    """A small copy between places that often collide, every stride off the others' grid."""
    base = int(random.integers(0, 24)) * 4
    other = int(random.integers(0, 24)) * 4
    count, stride = int(random.integers(1, 4)), int(random.integers(1, 5)) * 4
    kind = random.integers(4)
    dram_arg = int(random.choice(DRAM_ARGS))
    if kind == 3:
        constants = int(random.choice([CONSTANT_ARG, ROW_ARG + 1]))
        arg, index_arg = random.permutation([constants, dram_arg]).tolist()
        return isa.Load(buffer=random.choice([VMEM, IBUF]), arg=arg, dst=base, dram=other,
                        n0=int(random.integers(1, 9)), n1=count, n2=1, n3=1, d1=8 + stride,
                        s1=stride, gather=1, index_arg=index_arg, index_dram=other,
                        index_limit=int(random.integers(1, 5)))
    if kind == 0:
        return isa.Load(buffer=random.choice([VMEM, IBUF]), arg=dram_arg, dst=base, dram=other,
                        n0=int(random.integers(1, 9)), n1=count, n2=1, n3=1, d1=8 + stride,
                        s1=stride)
    if kind == 1:
        return isa.Store(buffer=random.choice([VMEM, IBUF]), arg=dram_arg, src=base, dram=other,
                         n0=int(random.integers(1, 9)), n1=count, n2=1, n3=1, l1=stride,
                         s1=8 + stride)
    return isa.Vector(op=isa.VectorOp.MOVE, n0=count, n1=1, n2=1, n3=1,
                      src1_buffer=random.choice([VMEM, IBUF]), src1_base=base, src1_stride0=stride,
                      dst_buffer=VMEM, dst_base=other, dst_stride0=4)


def _in_dram(arg: int, offsets: set[int]) -> set[Byte]:
    """Bytes at these offsets from a register, at every number; none of constants."""
    names = {SCRATCH_ARG: "scratch", CACHE_ARG: "cache"}
    walks = {a.arg: (a.base, a.step_bytes, a.count) for a in ARGUMENTS}
    base, step, count = walks.get(arg, (arg, 0, 1))
    if base not in names:
        return set()
    return {(names[base], at + step * number) for at in offsets for number in range(count)}


def _touched(i: isa.Instruction) -> tuple[set[Byte], set[Byte]]:
    """(bytes read, bytes written), as (memory, address)."""
    if isinstance(i, isa.Vector):
        at = list(itertools.product(range(i.n0), range(4)))
        read: set[Byte] = {
            (i.src1_buffer, i.src1_base + k * i.src1_stride0 + b) for k, b in at
        }
        write: set[Byte] = {(i.dst_buffer, i.dst_base + k * i.dst_stride0 + b) for k, b in at}
        return read, write
    assert isinstance(i, isa.Load | isa.Store)
    runs = list(itertools.product(range(i.n1), range(i.n0)))
    dram = _in_dram(i.arg, {i.dram + k * i.s1 + b for k, b in runs})
    if isinstance(i, isa.Load):
        if i.gather:  # any row that an index may name
            rows = itertools.product(range(i.index_limit), range(i.n0))
            dram = _in_dram(i.arg, {i.dram + k * i.s1 + b for k, b in rows})
            dram |= _in_dram(i.index_arg, {i.index_dram + b for b in range(4 * i.n1)})
        return dram, {(i.buffer, i.dst + k * i.d1 + b) for k, b in runs}
    return {(i.buffer, i.src + k * i.l1 + b) for k, b in runs}, dram


def _program(seed: int, count: int = 40) -> TileProgram:
    random = np.random.default_rng(seed)
    steps = tuple(Step(_random_step(random), 0) for _ in range(count))
    return TileProgram(steps, (), b"", 4096, {}, pb.MemoryPlan(), 4096, ARGUMENTS)


def _before(program: TileProgram) -> np.ndarray:
    """before[i, j]: step i has finished when j starts, by engines' order and tokens alone."""
    count = len(program.steps)
    before = np.zeros((count, count), bool)
    pushed: dict[tuple[int, int], list[int]] = {}
    popped: dict[tuple[int, int], int] = {}
    last: dict[int, int] = {}
    for index, step in enumerate(program.steps):
        engine = int(step.instruction.ENGINE or 0)
        if engine in last:
            before[:, index] |= before[:, last[engine]]
            before[last[engine], index] = True
        last[engine] = index
        for other in range(4):
            if step.pop >> other & 1:
                number = popped.get((other, engine), 0)
                popped[other, engine] = number + 1
                source = pushed[other, engine][number]  # the push stands earlier in the program
                before[:, index] |= before[:, source]
                before[source, index] = True
            if step.push >> other & 1:
                pushed.setdefault((engine, other), []).append(index)
    assert {k: len(v) for k, v in pushed.items()} == popped  # none left over
    return before


@pytest.mark.parametrize("reorder", [False, True])
@pytest.mark.parametrize("seed", range(25))
def test_every_conflict_is_ordered(seed: int, reorder: bool) -> None:
    program = _program(seed)
    found = tokens.dependencies(program, ARCH)
    position = {id(step.instruction): index for index, step in enumerate(program.steps)}
    if reorder:
        program, found = order.order(program, found, ARCH)
    done = tokens.insert(program, found)
    before = _before(done)
    touched = [_touched(step.instruction) for step in done.steps]
    engines = [step.instruction.ENGINE for step in done.steps]
    original = [position[id(step.instruction)] for step in done.steps]
    conflicts = 0
    for i, j in itertools.combinations(range(len(done.steps)), 2):
        (read_i, write_i), (read_j, write_j) = touched[i], touched[j]
        if engines[i] != engines[j] and (write_i & (read_j | write_j) or read_i & write_j):
            assert original[i] < original[j]
            assert before[i, j], (done.steps[i], done.steps[j])
            conflicts += 1
    assert conflicts > 10


@pytest.mark.parametrize("seed", range(5))
def test_order_keeps_each_engines_own(seed: int) -> None:
    program = _program(seed)
    moved, _ = order.order(program, tokens.dependencies(program, ARCH), ARCH)
    for engine in range(4):
        mine = [s for s in program.steps if s.instruction.ENGINE == engine]
        assert mine == [s for s in moved.steps if s.instruction.ENGINE == engine]


def test_no_token_without_a_conflict() -> None:
    steps = (
        Step(isa.Load(buffer=VMEM, arg=1, n0=4, n1=1, n2=1, n3=1), 0),
        Step(isa.Store(buffer=VMEM, arg=SCRATCH_ARG, src=64, n0=4, n1=1, n2=1, n3=1), 0),
    )
    program = TileProgram(steps, (), b"", 4096, {}, pb.MemoryPlan())
    done = tokens.insert(program, tokens.dependencies(program, ARCH))
    assert [(s.pop, s.push) for s in done.steps] == [(0, 0), (0, 0)]


def test_a_row_waits_for_its_cache_alone() -> None:
    """The row is written anywhere in keys (bytes 0 to 40), never in values behind them."""
    one = {"n1": 1, "n2": 1, "n3": 1}
    steps = (
        Step(isa.Load(buffer=VMEM, arg=CACHE_ARG, dram=16, n0=4, **one), 0),
        Step(isa.Store(buffer=VMEM, arg=POSITION_ARG, src=64, n0=4, **{**one, "n1": 2}, s1=20), 0),
        Step(isa.Load(buffer=IBUF, arg=CACHE_ARG, dram=40, n0=40, **one), 0),
        Step(isa.Load(buffer=IBUF, arg=CACHE_ARG, dram=36, dst=40, n0=4, **one), 0),
        Step(isa.Load(buffer=IBUF, arg=SCRATCH_ARG, dst=80, n0=4, **one), 0),
    )
    program = TileProgram(steps, (), b"", 4096, {}, pb.MemoryPlan(), 80, ARGUMENTS)
    assert tokens.dependencies(program, ARCH).needs.tolist() == [
        [-1] * 4, [0, -1, -1, -1], [-1] * 4, [-1, -1, -1, 1], [-1] * 4,
    ]
