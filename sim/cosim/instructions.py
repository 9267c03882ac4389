"""One random legal instruction per call, for each engine, inside given windows of the memories."""

from __future__ import annotations

import random
from types import SimpleNamespace

from jacquard.proto import npu_isa as isa
from jacquard.sim.cosim.place import (
    base_for,
    counts,
    log_uniform,
    strides_any,
    strides_apart,
    unused_strides,
)
from jacquard.sim.cosim.space import Draft, Space
from jacquard.sim.cosim.vectors import vector

_B = isa.Buffer


def _dram_fields(rng: random.Random, space: Space, address: int) -> dict[str, int]:
    """`arg` and `dram` that together give an address, whatever the argument holds."""
    choices = []
    for number, value in enumerate(space.args):
        offset = (address - value) % (1 << 64)
        if offset < 1 << 40:
            choices.append({"arg": number, "dram": offset})
    return rng.choice(choices)


def _longest_run(space: Space) -> int:
    """Bytes: 75 beats, so that wide buses see long bursts too."""
    return max(1200, 75 * space.arch.bytes_per_cycle)


def load(rng: random.Random, space: Space) -> Draft:
    """LOAD into any memory: any alignment, gaps, padding, overlapping sources; or a gather."""
    if rng.random() < 0.25 and (draft := _gather(rng, space)) is not None:
        return draft
    buffer = rng.choice((_B.IBUF, _B.WBUF, _B.VMEM, _B.PARAM, _B.TABLE))
    window = space.windows[buffer]
    most = min(window.size, _longest_run(space))
    while True:
        n0 = log_uniform(rng, most)
        if rng.random() < 0.3:  # whole words of the DRAM or of a row
            n0 = min(most, -(-n0 // space.arch.rows) * space.arch.rows)
        loops = counts(rng, 3, min(64, most // n0))
        strides = strides_apart(rng, loops, n0, window.size, 1)
        if strides is not None:
            break
    before0 = after0 = before1 = after1 = 0
    if rng.random() < 0.4:
        before0 = rng.randint(0, n0) if rng.random() < 0.5 else 0
        after0 = rng.randint(0, n0 - before0) if rng.random() < 0.5 else 0
        before1 = rng.randint(0, loops[0]) if rng.random() < 0.5 else 0
        after1 = rng.randint(0, loops[0] - before1) if rng.random() < 0.5 else 0
    dst = base_for(rng, window, loops, strides, n0, 1)
    run, runs = n0 - before0 - after0, loops[0] - before1 - after1
    source = [max(runs, 1), loops[1], loops[2]]
    if run and runs:
        if rng.random() < 0.2:  # one long string of bytes, as packed weights are
            steps = [run, run * source[0], run * source[0] * source[1]]
            if run * source[0] * source[1] * source[2] > space.dram.size:
                steps = strides_any(rng, source, run, space.dram.size, 1)
        else:
            steps = strides_any(rng, source, run, min(space.dram.size, 9000), 1)
        address = base_for(rng, space.dram, source, steps, run, 1)
        unused_strides(rng, source, steps, 32)
        where = _dram_fields(rng, space, address)
    else:
        steps = [rng.randint(-(2**31), 2**31 - 1) for _ in range(3)]
        where = {"arg": rng.randrange(8), "dram": rng.randrange(1 << 40)}
    unused_strides(rng, loops, strides, 24)
    return Draft.make(
        isa.Load,
        buffer=int(buffer),
        **where,
        fill=rng.randrange(256),
        dst=dst,
        n0=n0,
        n1=loops[0],
        n2=loops[1],
        n3=loops[2],
        d1=strides[0],
        d2=strides[1],
        d3=strides[2],
        s1=steps[0],
        s2=steps[1],
        s3=steps[2],
        before0=before0,
        after0=after0,
        before1=before1,
        after1=after1,
        **_not_looked_at(rng),
    )


def _not_looked_at(rng: random.Random) -> dict[str, int]:
    """What a LOAD without `gather` may have in the fields of one."""
    if rng.random() < 0.9:
        return {}
    return {
        "index_arg": rng.randrange(8),
        "index_dram": rng.randrange(1 << 40),
        "index_limit": rng.randrange(1 << 32),
    }


def _gather(rng: random.Random, space: Space) -> Draft | None:
    """Rows picked by an index, from tables large and small; None if there is no room for the list.

    The indices lie near 0 or, so that products with the stride get long, near any number.
    """
    buffer = rng.choice((_B.IBUF, _B.WBUF, _B.VMEM, _B.PARAM, _B.TABLE))
    window = space.windows[buffer]
    while True:
        n0 = log_uniform(rng, min(window.size, _longest_run(space)))
        n1 = log_uniform(rng, min(64, window.size // n0))
        target = strides_apart(rng, [n1], n0, window.size, 1)
        if target is not None:
            break
    dst = base_for(rng, window, [n1], target, n0, 1)
    rows = log_uniform(rng, 64)
    step = strides_any(rng, [rows], n0, space.dram.size, 1)
    address = base_for(rng, space.dram, [rows], step, n0, 1)
    lowest = 0
    if rng.random() < 0.3 and step[0]:
        lowest = rng.randrange(min(2**39 // abs(step[0]), 2**32 - rows))
    elif not step[0]:
        rows = rng.randint(1, 2**32 - 1)
    indices = [lowest + rng.randrange(rows) for _ in range(n1)]
    place = space.lists.place(rng, indices)
    if place is None:
        return None
    where = _dram_fields(rng, space, (address - lowest * step[0]) % (1 << 64))
    at = _dram_fields(rng, space, place)
    draft = Draft.make(
        isa.Load,
        buffer=int(buffer),
        **where,
        fill=rng.randrange(256),
        dst=dst,
        n0=n0,
        n1=n1,
        n2=1,
        n3=1,
        d1=target[0],
        d2=rng.randint(-(2**23), 2**23 - 1),
        d3=rng.randint(-(2**23), 2**23 - 1),
        s1=step[0],
        s2=rng.randint(-(2**31), 2**31 - 1),
        s3=rng.randint(-(2**31), 2**31 - 1),
        gather=1,
        index_arg=at["arg"],
        index_dram=at["dram"],
        index_limit=rng.choice((lowest + rows, max(indices) + 1)),
    )
    draft.indices = tuple(indices)
    return draft


def store(rng: random.Random, space: Space) -> Draft:
    """STORE from VMEM or IBUF: any alignment, sources that overlap, targets that do not."""
    buffer = rng.choice((_B.IBUF, _B.VMEM))
    window = space.windows[buffer]
    most = min(window.size, _longest_run(space))
    while True:
        n0 = log_uniform(rng, most)
        if rng.random() < 0.3:
            n0 = min(most, -(-n0 // space.arch.lanes) * space.arch.lanes)
        loops = counts(rng, 3, min(64, most // n0))
        target = strides_apart(rng, loops, n0, min(space.dram.size, 9000), 1)
        if target is not None:
            break
    address = base_for(rng, space.dram, loops, target, n0, 1)
    unused_strides(rng, loops, target, 32)
    source = strides_any(rng, loops, n0, window.size, 1)
    src = base_for(rng, window, loops, source, n0, 1)
    unused_strides(rng, loops, source, 24)
    return Draft.make(
        isa.Store,
        buffer=int(buffer),
        **_dram_fields(rng, space, address),
        src=src,
        n0=n0,
        n1=loops[0],
        n2=loops[1],
        n3=loops[2],
        l1=source[0],
        l2=source[1],
        l3=source[2],
        s1=target[0],
        s2=target[1],
        s3=target[2],
    )


def matrix(rng: random.Random, space: Space) -> Draft:
    """MATRIX of any shape, accumulating or not, with zero points of both types."""
    ibuf, wbuf, obuf = (space.rows(b) for b in (_B.IBUF, _B.WBUF, _B.OBUF))
    n_x, n_y = counts(rng, 2, obuf.size)
    n_kx, n_ky, n_c = counts(rng, 3, min(wbuf.size // space.arch.rows, 256 // (n_x * n_y) + 1))
    loops = (n_x, n_y, n_kx, n_ky, n_c)
    strides = strides_any(rng, loops, 1, ibuf.size, 1)
    base = base_for(rng, ibuf, loops, strides, 1, 1)
    unused_strides(rng, loops, strides, 24)
    act_unsigned, weight_unsigned = rng.randrange(2), rng.randrange(2)
    zero = rng.random() < 0.5

    def zero_point(unsigned: int, bits: int) -> int:
        if not zero:
            return 0
        values = 1 << bits
        lowest = 0 if unsigned else -values // 2
        return rng.choice((lowest, lowest + values - 1, lowest + rng.randrange(values)))

    depth = n_kx * n_ky * n_c * space.arch.rows
    return Draft.make(
        isa.Matrix,
        ibuf=base,
        wbuf=rng.randint(wbuf.start, wbuf.end - depth),
        obuf=rng.randint(obuf.start, obuf.end - n_x * n_y),
        accumulate=int(rng.random() < 0.5),
        act_unsigned=act_unsigned,
        weight_unsigned=weight_unsigned,
        weight_transposed=int(space.arch.rows == space.arch.cols and rng.random() < 0.35),
        act_zero=zero_point(act_unsigned, space.arch.act_bits),
        weight_zero=zero_point(weight_unsigned, space.arch.weight_bits),
        n_x=n_x,
        n_y=n_y,
        n_kx=n_kx,
        n_ky=n_ky,
        n_c=n_c,
        s_x=strides[0],
        s_y=strides[1],
        s_kx=strides[2],
        s_ky=strides[3],
        s_c=strides[4],
    )


_MAKERS = {isa.Load: load, isa.Matrix: matrix, isa.Vector: vector, isa.Store: store}


def sequence(rng: random.Random, space: Space, length: int) -> list[Draft]:
    """Random instructions, kinds in proportions of their own, vector results in chains or not."""
    weights = [rng.choice((1, 1, 2, 5, 0.2)) for _ in _MAKERS]
    chained = rng.choice((0, 0.1, 0.7))
    drafts: list[Draft] = []
    before: SimpleNamespace | None = None
    for kind in rng.choices(tuple(_MAKERS), weights, k=length):
        if kind is isa.Vector:
            draft = vector(rng, space, before if rng.random() < chained else None)
            before = draft.f
        else:
            draft = _MAKERS[kind](rng, space)
        drafts.append(draft)
    return drafts
