"""Cycle rules against hand counts and against walking every run."""

from __future__ import annotations

import random

import pytest

from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import load_config
from jacquard.sim.timing import cycles

_VMEM, _IBUF, _OBUF = isa.Buffer.VMEM, isa.Buffer.IBUF, isa.Buffer.OBUF


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ({"n_x": 7, "n_y": 7}, 49),
        ({"n_x": 3, "n_y": 1}, 16),  # weights take longer than the positions
        ({"n_x": 14, "n_y": 14, "n_kx": 3, "n_ky": 3, "n_c": 2}, 196 * 18),
        ({"n_x": 1, "n_y": 1, "n_c": 128}, 16 * 128),
    ],
)
def test_matrix(shape: dict[str, int], expected: int) -> None:
    instr = isa.Matrix(**({"n_kx": 1, "n_ky": 1, "n_c": 1} | shape))
    assert cycles.matrix_cycles(instr, load_config("edge16")) == expected


_BOTH = {"src1_buffer": _VMEM, "src2_buffer": _VMEM, "dst_buffer": _IBUF,
         "src1_stride0": 4, "src2_stride0": 4}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"src1_buffer": _OBUF, "dst_buffer": _IBUF}, 60),
        ({"src1_buffer": _OBUF, "src2_buffer": _VMEM, "dst_buffer": _IBUF}, 60),
        ({**_BOTH, "src2_base": 8}, 120),
        (_BOTH, 60),  # alike: read once
        ({**_BOTH, "src2_stride0": 0}, 72),  # once for each round of loop 0
        ({**_BOTH, "src1_stride0": 0, "src2_stride0": 0, "src2_base": 8}, 72),
        ({"dst_buffer": _VMEM, "dst2_buffer": _VMEM}, 120),
        ({"dst_buffer": _VMEM, "dst2_buffer": _VMEM, "reduce_loops": 1}, 60),
        ({"dst_buffer": _VMEM, "dst2_buffer": _IBUF}, 60),
        ({"dst_buffer": _VMEM}, 60),
    ],
)
def test_vector(fields: dict[str, int], expected: int) -> None:
    instr = isa.Vector(n0=5, n1=4, n2=3, n3=1, **fields)
    assert cycles.vector_cycles(instr, load_config("nano4")) == expected


@pytest.mark.parametrize(
    ("address", "size", "expected"), [(0, 16, 1), (1, 16, 2), (15, 2, 2), (3, 0, 0), (16, 33, 3)]
)
def test_words_touched(address: int, size: int, expected: int) -> None:
    assert cycles.words_touched(address, size, 16) == expected


def test_a_table_takes_four_bytes_a_cycle() -> None:
    load = isa.Load(buffer=isa.Buffer.TABLE, n0=1024, n1=1, n2=1, n3=1)
    assert cycles.dma_cycles(load, load_config("edge16")) == 256
    assert cycles.dma_cycles(load, load_config("nano4")) == 256
    askew = isa.Load(buffer=isa.Buffer.TABLE, dram=1, n0=32, n1=1, n2=1, n3=1)
    assert cycles.dma_cycles(askew, load_config("edge16")) == 8  # three beats, two words of 4 x 4
    assert cycles.dma_cycles(askew, load_config("nano4")) == 9


@pytest.mark.parametrize(
    ("config", "stride", "list_at", "beats"),
    [
        ("edge16", 1536, 0, 128 * 96 + 32),
        ("edge16", 1536, 8, 128 * 96 + 33),  # the list begins in the middle of a beat
        ("nano4", 1536, 8, 128 * 384 + 128),
        ("edge16", 1544, 0, 64 * (96 + 97) + 32),  # every other row begins in the middle of one
    ],
)
def test_a_gather_reads_its_rows_and_its_list(
    config: str, stride: int, list_at: int, beats: int
) -> None:
    arch = load_config(config)
    load = isa.Load(
        buffer=_IBUF, n0=1536, n1=128, n2=1, n3=1, s1=stride, d1=1536,
        gather=1, index_dram=list_at, index_limit=30522,
    )  # fmt: skip
    assert cycles.dma_cycles(load, arch) == beats
    assert cycles.load_words(load, arch) == 128 * 1536 // arch.bytes_per_cycle


@pytest.mark.parametrize("seed", range(60))
def test_cycles_of_random_transfers(seed: int) -> None:
    rng = random.Random(seed)
    arch = load_config(rng.choice(("nano4", "edge16")))
    width = arch.bytes_per_cycle
    n0, n1, n2, n3 = rng.randint(1, 50), rng.randint(1, 20), rng.randint(1, 9), rng.randint(1, 4)
    d = [rng.choice((width, 100, rng.randint(-500, 500))) for _ in range(3)]
    s = [rng.choice((width * 7, 12, rng.randint(-500, 500))) for _ in range(3)]
    before0, before1 = rng.randint(0, n0), rng.randint(0, n1)
    after0, after1 = rng.randint(0, n0 - before0), rng.randint(0, n1 - before1)
    load = isa.Load(
        n0=n0, n1=n1, n2=n2, n3=n3, dst=5000, dram=90000, before0=before0, before1=before1,
        after0=after0, after1=after1, d1=d[0], d2=d[1], d3=d[2], s1=s[0], s2=s[1], s3=s[2],
    )  # fmt: skip
    store = isa.Store(
        n0=n0, n1=n1, n2=n2, n3=n3, src=5001, dram=90003,
        l1=d[0], l2=d[1], l3=d[2], s1=s[0], s2=s[1], s3=s[2],
    )  # fmt: skip

    def slower(first: int, second: int, size_first: int, size_second: int) -> int:
        sides = ((first, size_first), (second, size_second))
        return max(len({(start + byte) // width for byte in range(size)}) for start, size in sides)

    loaded = stored = written = 0
    for i1 in range(n1):
        for i2 in range(n2):
            for i3 in range(n3):
                chip = i1 * d[0] + i2 * d[1] + i3 * d[2]
                dram = (i1 - before1) * s[0] + i2 * s[1] + i3 * s[2]
                inside = before1 <= i1 < n1 - after1
                run = n0 - before0 - after0 if inside else 0
                loaded += slower(90000 + dram, 5000 + chip, run, n0)
                written += len({(5000 + chip + byte) // width for byte in range(n0)})
                dram += before1 * s[0]
                stored += slower(90003 + dram, 5001 + chip, n0, n0)
    assert cycles.load_words(load, arch) == written
    assert cycles.dma_cycles(load, arch) == loaded
    assert cycles.dma_cycles(store, arch) == stored
