"""Cycle rules of the machine: how long each engine is busy with an instruction.

Small pure functions for the compiler's cost model. They count the cycles in which an engine moves
data when nothing holds it up; latencies (DRAM, pipelines) and waiting for others come on top and
are the simulators' business: sim/perf has the hardware's state instead of these rules, and its
rules_test holds them against it. An instruction is anything with the fields of npu_isa.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch


def pass_cycles(positions: int, rows: int) -> int:
    """A pass over `positions` outputs; the next one's weights take `rows` cycles to shift in."""
    return max(positions, rows)


def matrix_cycles(instr: isa.Matrix, arch: Arch) -> int:
    """Passes follow each other, and instructions too, without a bubble."""
    passes = instr.n_c * instr.n_ky * instr.n_kx
    return passes * pass_cycles(instr.n_x * instr.n_y, arch.rows)


def vector_cycles(instr: isa.Vector, arch: Arch) -> int:
    """An iteration a cycle; two where it needs the same memory twice.

    Equal sources are read once; a source that loop 0 does not move, once for each round of it.
    Results of a reduction are rarer than its iterations, so two of them in one memory cost a cycle
    each only per result.
    """
    del arch  # the same on every machine
    counts = (instr.n0, instr.n1, instr.n2, instr.n3)
    iterations = results = 1
    for loop, count in enumerate(counts):
        iterations *= count
        if loop >= instr.reduce_loops:
            results *= count
    reads = iterations
    if instr.src1_buffer and instr.src1_buffer == instr.src2_buffer and not _same_sources(instr):
        still = not (instr.src1_stride0 and instr.src2_stride0)
        reads += iterations // instr.n0 if still else iterations
    writes = 2 if instr.dst2_buffer and instr.dst2_buffer == instr.dst_buffer else 1
    return max(reads, results * writes)


def _same_sources(instr: isa.Vector) -> bool:
    """Whether both sources read the same vectors in the same way."""
    return (
        (instr.src1_base, instr.src1_dtype) == (instr.src2_base, instr.src2_dtype)
        and (instr.src1_stride0, instr.src1_stride1) == (instr.src2_stride0, instr.src2_stride1)
        and (instr.src1_stride2, instr.src1_stride3) == (instr.src2_stride2, instr.src2_stride3)
    )


def words_touched(address: int, size_bytes: int, word_bytes: int) -> int:
    """Aligned words that hold the bytes [address, address + size)."""
    if size_bytes == 0:
        return 0
    return (address % word_bytes + size_bytes + word_bytes - 1) // word_bytes


def _offsets(
    bases: tuple[int, ...],
    counts: Sequence[int],
    strides: Sequence[tuple[int, ...]],
    word_bytes: int,
) -> Mapping[tuple[int, ...], int]:
    """How many runs start at which offsets inside a word, on each side of a transfer."""
    dims = tuple(
        (count, tuple(stride % word_bytes for stride in both))
        for count, both in zip(counts, strides, strict=True)
        if count != 1
    )
    return _histogram(tuple(base % word_bytes for base in bases), dims, word_bytes)


@functools.lru_cache(maxsize=4096)  # a network's transfers have few shapes
def _histogram(
    bases: tuple[int, ...], dims: tuple[tuple[int, tuple[int, ...]], ...], word_bytes: int
) -> Mapping[tuple[int, ...], int]:
    """The same; everything modulo a word, dims as (count, strides)."""
    histogram = {bases: 1}
    for count, steps in dims:
        period = next(
            p for p in range(1, word_bytes + 1) if all(p * s % word_bytes == 0 for s in steps)
        )
        spread: dict[tuple[int, ...], int] = {}
        for offsets, runs in histogram.items():
            for i in range(min(period, count)):
                at = tuple((o + i * s) % word_bytes for o, s in zip(offsets, steps, strict=True))
                spread[at] = spread.get(at, 0) + runs * ((count - i - 1) // period + 1)
        histogram = spread
    return histogram


def run_words(
    base: int, size_bytes: int, counts: Sequence[int], strides: Sequence[int], word_bytes: int
) -> int:
    """Words touched by all runs of size_bytes at `base + sum(i * stride)`, each on its own."""
    return sum(
        runs * words_touched(offset, size_bytes, word_bytes)
        for (offset,), runs in _offsets(
            (base,), counts, [(stride,) for stride in strides], word_bytes
        ).items()
    )


def index_beats(instr: isa.Load, arch: Arch) -> int:
    """DRAM beats of a gather's list of indices; 0 without `gather`."""
    if not instr.gather:
        return 0
    return words_touched(instr.index_dram, 4 * instr.n1, arch.bytes_per_cycle)


def load_words(instr: isa.Load, arch: Arch) -> int:
    """Writes into its memory, padding included: words as wide as a DRAM beat, each run apart."""
    counts = (instr.n1, instr.n2, instr.n3)
    strides = (instr.d1, instr.d2, instr.d3)
    return run_words(instr.dst, instr.n0, counts, strides, arch.bytes_per_cycle)


def dma_cycles(instr: isa.Load | isa.Store, arch: Arch) -> int:
    """Cycles of a LOAD or STORE: each run takes as long as the slower of its two sides.

    A gather's indices come on top: while they pass over the bus no row does.
    """
    width = arch.bytes_per_cycle
    if isinstance(instr, isa.Store):
        counts = (instr.n1, instr.n2, instr.n3)
        strides = ((instr.s1, instr.l1), (instr.s2, instr.l2), (instr.s3, instr.l3))
        offsets = _offsets((instr.dram, instr.src), counts, strides, width)
        return sum(
            runs
            * max(words_touched(remote, instr.n0, width), words_touched(local, instr.n0, width))
            for (remote, local), runs in offsets.items()
        )
    run = instr.n0 - instr.before0 - instr.after0
    runs_read = instr.n1 - instr.before1 - instr.after1
    words = load_words(instr, arch)
    per_word = width // 4 if instr.buffer == isa.Buffer.TABLE else 1  # TABLE takes 4 bytes a cycle
    words *= per_word
    if run <= 0 or runs_read <= 0:
        return words
    counts = (runs_read, instr.n2, instr.n3)
    strides = ((instr.s1, instr.d1), (instr.s2, instr.d2), (instr.s3, instr.d3))
    start = instr.dst + instr.before1 * instr.d1
    longer = 0  # beats beyond the words of the same run
    for (remote, local), runs in _offsets((instr.dram, start), counts, strides, width).items():
        beats = words_touched(remote, run, width)
        longer += runs * max(0, beats - per_word * words_touched(local, instr.n0, width))
    return index_beats(instr, arch) + words + longer
