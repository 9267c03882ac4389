"""The rules of sim/timing, which the compiler counts with, against the cycle model."""

from __future__ import annotations

import dataclasses
import random

import pytest

from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch, config_names, load_config
from jacquard.proto.npu_isa import Bucket, Engine
from jacquard.sim.perf.machine import CycleModel, ModelResult
from jacquard.sim.timing import cycles

configs = pytest.mark.parametrize(
    "arch", [load_config(n) for n in config_names()], ids=lambda a: a.name
)


def run(arch: Arch, *instructions: isa.Instruction) -> ModelResult:
    result = CycleModel(isa.encode_program([*instructions, isa.End()])).run(arch)
    assert result.status == isa.Error.OK
    assert (result.counters.sum(axis=1) == result.cycles).all()
    return result


def between(arch: Arch, instruction: isa.Instruction, times: int = 4) -> int:
    """Cycles from one to the next of a row of equal instructions, at its end."""
    done = run(arch, *[instruction] * times).done_cycles
    return int(done[times - 1] - done[times - 2])


@configs
@pytest.mark.parametrize(
    ("n_x", "n_y", "n_k", "n_c"), [(7, 7, 1, 1), (3, 1, 1, 9), (20, 20, 3, 2), (1, 1, 1, 128)]
)
def test_matrix(arch: Arch, n_x: int, n_y: int, n_k: int, n_c: int) -> None:
    instr = isa.Matrix(n_x=n_x, n_y=n_y, n_kx=n_k, n_ky=n_k, n_c=n_c)
    assert between(arch, instr) == cycles.matrix_cycles(instr, arch)


@configs
@pytest.mark.parametrize("seed", range(12))
def test_vector(arch: Arch, seed: int) -> None:
    rng = random.Random(seed)
    buffers = (isa.Buffer.IBUF, isa.Buffer.VMEM)
    counts = {f"n{i}": rng.randint(2, 6) for i in range(4)}
    half = arch.vmem_bytes // 2
    # Sources lie apart from destinations: a read of a line just written would wait.
    instr = isa.Vector(
        **counts,
        reduce_loops=rng.randint(0, 2),
        src1_buffer=rng.choice(buffers),
        src2_buffer=rng.choice((isa.Buffer.NONE, *buffers)),
        dst_buffer=rng.choice(buffers),
        dst_base=half // (4 * arch.lanes) * 4 * arch.lanes,
        dst2_buffer=rng.choice((isa.Buffer.NONE, *buffers)),
        dst2_base=half // (4 * arch.lanes) * 4 * arch.lanes,
    )
    expected = cycles.vector_cycles(instr, arch)
    took = between(arch, instr, 6)
    # Two results of a reduction in one memory hold the pipe, iterations or not.
    assert expected <= took
    if not (instr.reduce_loops and instr.dst_buffer == instr.dst2_buffer):
        assert took == expected


@configs
@pytest.mark.parametrize("seed", range(20))
def test_load(arch: Arch, seed: int) -> None:
    rng = random.Random(seed)
    instr = isa.Load(
        buffer=isa.Buffer.IBUF,
        n0=rng.randint(1, 300),
        n1=rng.randint(1, 9),
        n2=2,
        n3=1,
        dram=rng.randint(0, 4096),
        dst=rng.randint(0, 64),
        d1=rng.choice((0, 64, 65)),
        s1=rng.choice((64, 100, 333)),
        s2=rng.randint(0, 5000),
    )
    # Long enough to hide what an instruction costs to begin.
    long = dataclasses.replace(instr, n3=40)
    expected = cycles.dma_cycles(long, arch)
    # A run with more source than destination beats may share a cycle with one of the other kind.
    assert 0.95 * expected - 8 <= between(arch, long) <= expected + 8


@configs
def test_a_farther_memory_costs_its_latency(arch: Arch) -> None:
    load = isa.Load(buffer=isa.Buffer.IBUF, n0=64, n1=1, n2=1, n3=1)
    near, far = (
        run(dataclasses.replace(arch, latency_cycles=latency), load) for latency in (300, 400)
    )
    assert far.cycles - near.cycles == 200  # of the fetch and of the bytes
    waits = [r.counters[Engine.LOAD, Bucket.DRAM_LATENCY] for r in (near, far)]
    assert waits[1] - waits[0] == 100


def test_a_token_that_never_comes_ends_in_the_watchdog() -> None:
    arch = load_config("nano4")
    store = isa.Store(buffer=isa.Buffer.VMEM, n0=4, n1=1, n2=1, n3=1, pop=1 << Engine.VECTOR)
    load = isa.Load(buffer=isa.Buffer.IBUF, n0=64, n1=1, n2=1, n3=1)
    result = CycleModel(isa.encode_program([load, store, isa.End()])).run(arch)
    assert (result.status, result.error_index) == (isa.Error.WATCHDOG, 1)
    # Counted from the cycle behind the last instruction that finished; two more to stop.
    assert result.cycles == result.done_cycles[0] - 2 + arch.watchdog_cycles + 3
    assert (result.counters.sum(axis=1) == result.cycles).all()


@pytest.mark.parametrize("code", [b"", b"\x07\x10", b"\x10\x90" + bytes(14), bytes(16)])
def test_code_without_an_end_is_illegal(code: bytes) -> None:
    load = isa.Load(buffer=isa.Buffer.IBUF, n0=64, n1=1, n2=1, n3=1)
    result = CycleModel(isa.encode_program([load]) + code).run(load_config("nano4"))
    assert (result.status, result.error_index) == (isa.Error.ILLEGAL, 1)


def test_a_count_of_zero_ends_in_the_watchdog() -> None:
    vector = isa.Vector(n0=0, n1=1, n2=1, n3=1, dst_buffer=isa.Buffer.VMEM)
    result = CycleModel(isa.encode_program([vector, isa.End()])).run(load_config("nano4"))
    assert (result.status, result.error_index) == (isa.Error.WATCHDOG, 0)
