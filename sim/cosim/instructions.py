"""One random legal instruction per call, for each engine, inside given windows of the memories."""

from __future__ import annotations

import dataclasses
import random
from types import SimpleNamespace
from typing import Any

import numpy as np

from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch
from jacquard.sim.cosim import footprint
from jacquard.sim.cosim.place import (
    Window,
    base_for,
    counts,
    log_uniform,
    strides_any,
    strides_apart,
    unused_strides,
)

_B, _D, _OP, _S = isa.Buffer, isa.Dtype, isa.VectorOp, isa.ScaleMode
_ITEM_BYTES = {int(_D.S8): 1, int(_D.U8): 1, int(_D.S16): 2, int(_D.U16): 2, int(_D.S32): 4}
_NO_REDUCTION = (_OP.SELECT, _OP.SADD, _OP.LEAKY, _OP.TRANSPOSE)


@dataclasses.dataclass
class Draft:
    """An instruction before it has its tokens: f has all its fields but the header's."""

    kind: type[isa.Instruction]
    f: SimpleNamespace
    indices: tuple[int, ...] = ()  # of a gather

    @classmethod
    def make(cls, kind: type[isa.Instruction], **fields: int) -> Draft:
        values = {field.name: 0 for field in kind.FIELDS[4:]}
        if unknown := fields.keys() - values.keys():
            raise ValueError(f"{kind.NAME} has no fields {sorted(unknown)}")
        return cls(kind, SimpleNamespace(**(values | fields)))

    def finish(self, pop: int = 0, push: int = 0) -> isa.Instruction:
        return self.kind(pop=pop, push=push, **vars(self.f))


@dataclasses.dataclass
class Lists:
    """Lists of indices in a part of DRAM that nobody writes. words: what is there so far."""

    window: Window
    words: list[int] = dataclasses.field(default_factory=list)

    def place(self, rng: random.Random, indices: list[int]) -> int | None:
        """The address of a new list; None if there is no room for it."""
        self.words += [0] * rng.randrange(4)
        address = self.window.start + 4 * len(self.words)
        if address + 4 * len(indices) > self.window.end:
            return None
        self.words += indices
        return address

    def read(self, address: int, count: int) -> list[int]:
        """The indices of a list."""
        first = (address - self.window.start) // 4
        return self.words[first : first + count]


@dataclasses.dataclass(frozen=True)
class Space:
    """Where a program may read and write: windows of memories by number of isa.Buffer, in bytes.

    dram is the part of the DRAM's dram_bytes that random instructions may touch.
    """

    arch: Arch
    windows: dict[int, Window]
    dram: Window
    dram_bytes: int
    args: tuple[int, ...]
    lists: Lists

    def rows(self, buffer: int) -> Window:
        """The window in rows of its memory."""
        size = self.arch.buffer_row_bytes(_B(buffer).name)
        window = self.windows[buffer]
        return Window(window.start // size, window.end // size)


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


def _iterator(
    rng: random.Random, space: Space, which: str, loops: list[int], reduced: int
) -> dict[str, int] | None:
    """Fields of an iterator over loops[reduced:]; destinations do not overlap themselves."""
    writes = which.startswith("dst")
    buffer = rng.choice((_B.IBUF, _B.VMEM, _B.VMEM) if writes else (_B.IBUF, _B.OBUF, _B.VMEM))
    dtypes = {_B.IBUF: (0, 1), _B.OBUF: (4,), _B.VMEM: (0, 1, 2, 3, 4)}[buffer]
    dtype = rng.choice(dtypes)
    block = space.arch.lanes * _ITEM_BYTES[dtype]
    window = space.windows[buffer]
    inner = loops[reduced:]
    strides: list[int] | None
    if writes:
        strides = strides_apart(rng, inner, block, window.size, block)
        if strides is None:
            return None
    else:
        strides = strides_any(rng, inner, block, window.size, block)
    base = base_for(rng, window, inner, strides, block, block)
    unused_strides(rng, inner, strides, 24)
    strides = [rng.randint(-(1 << 23), (1 << 23) - 1) for _ in range(reduced)] + strides
    fields = {f"{which}_buffer": int(buffer), f"{which}_dtype": dtype, f"{which}_base": base}
    return fields | {f"{which}_stride{n}": strides[n] for n in range(4)}


def _scale_fields(
    rng: random.Random, space: Space, op: int, loops: list[int], reduced: int
) -> dict[str, int]:
    scales = (_S.IMM, _S.PER_LANE) if op in (_OP.SADD, _OP.LEAKY) else tuple(_S)
    scale = _S.OFF if op == _OP.TRANSPOSE else rng.choice(scales)
    param = space.rows(_B.PARAM)
    inner = loops[reduced:]
    strides = strides_any(rng, inner, 1, param.size, 1)
    row = base_for(rng, param, inner, strides, 1, 1)
    unused_strides(rng, inner, strides, 12)
    strides = [rng.randint(-2048, 2047) for _ in range(reduced)] + strides
    fields = {"scale": int(scale), "param": row}
    fields |= {f"param_stride{n}": strides[n] for n in range(4)}
    for name in ("mult1", "mult2"):
        fields[name] = _int32(rng) if rng.random() < 0.4 else rng.randint(1 << 30, (1 << 31) - 1)
    fields["shift"] = rng.randrange(64) if rng.random() < 0.4 else rng.randint(22, 44)
    fields["zero_point"] = rng.choice((0, rng.randint(-128, 255), rng.randint(-32768, 32767)))
    fields["clamp"] = rng.randrange(2)
    lo, hi = sorted(rng.randint(*rng.choice(((-300, 300), (-32768, 32767)))) for _ in range(2))
    if rng.random() < 0.05:
        lo, hi = hi, lo  # then the upper bound wins
    fields |= {"table": int(rng.random() < 0.3), "table_shift": rng.randrange(16)}
    fields["table_index"] = rng.randrange(16)  # not looked at without a table
    if fields["table"]:
        tables = space.rows(_B.TABLE)
        fields["table_index"] = rng.randrange(tables.start, tables.end)
    return fields | {"lo": lo, "hi": hi}


def _int32(rng: random.Random) -> int:
    kind = rng.random()
    if kind < 0.3:
        return rng.choice((0, 1, -1, 2**31 - 1, -(2**31)))
    if kind < 0.6:
        return rng.randint(-200, 200)
    return rng.randint(-(2**31), 2**31 - 1)


def vector(rng: random.Random, space: Space, before: SimpleNamespace | None = None) -> Draft:
    """VECTOR: every operation, dtype, reduction and scale; in place, to one memory or to two.

    before: a VECTOR instruction whose results this one reads, vector by vector.
    """
    lanes = space.arch.lanes
    while True:
        op = rng.choice(tuple(_OP))
        transposes = op == _OP.TRANSPOSE
        loops = counts(rng, 4, 64)
        if before is not None:
            loops = [before.n0, before.n1, before.n2, before.n3]
            if transposes and loops[0] != lanes:
                continue
        elif transposes:
            loops[0] = lanes
            loops[1:] = counts(rng, 3, max(1, 64 // lanes))
        reduced = lane_reduce = 0
        if op not in _NO_REDUCTION and rng.random() < 0.4:
            reduced = rng.randint(0, 4)
            lane_reduce = int(rng.random() < 0.4)
        fields = {
            "op": int(op),
            "reduce": rng.randrange(3),
            "reduce_loops": reduced,
            "lane_reduce": lane_reduce,
            "tail_lanes": 0 if transposes or rng.random() < 0.6 else rng.randint(1, lanes + 1),
            "imm1": 0 if rng.random() < 0.6 else _int32(rng),
            "imm2": 0 if rng.random() < 0.4 else _int32(rng),
        }
        fields |= {f"n{n}": loops[n] for n in range(4)}
        fields |= _scale_fields(rng, space, op, loops, reduced)
        parts = {which: False for which in ("src1", "src2", "dst", "dst2")}
        parts["dst"] = True
        parts["src1"] = rng.random() < 0.93
        parts["src2"] = not transposes and rng.random() < 0.6
        parts["dst2"] = rng.random() < 0.25
        ok = True
        for which, present in parts.items():
            if present:
                made = _iterator(rng, space, which, loops, reduced if which[0] == "d" else 0)
                ok = ok and made is not None
                fields |= made or {}
        if not ok:
            continue
        if before is not None:
            fields |= _results(rng, before, "src1" if transposes else rng.choice(("src1", "src2")))
        draft = Draft.make(isa.Vector, **fields)
        if not reduced and not transposes and rng.random() < 0.15:
            _in_place(rng, draft.f)
        if _orderly(draft.f, space.arch):
            return draft


def _results(rng: random.Random, before: SimpleNamespace, which: str) -> dict[str, int]:
    """Fields of an iterator over what an earlier VECTOR instruction wrote."""
    target = rng.choice(("dst", "dst2")) if before.dst2_buffer else "dst"
    fields = {f"{which}_{n}": getattr(before, f"{target}_{n}") for n in ("buffer", "dtype", "base")}
    for loop in range(4):
        stride = getattr(before, f"{target}_stride{loop}")
        fields[f"{which}_stride{loop}"] = 0 if loop < before.reduce_loops else stride
    return fields


def _in_place(rng: random.Random, f: SimpleNamespace) -> None:
    """Lets a source be the destination, element by element (dtypes of one size may differ)."""
    which = rng.choice(("src1", "src2"))
    for part in ("buffer", "dtype", "base", "stride0", "stride1", "stride2", "stride3"):
        setattr(f, f"{which}_{part}", getattr(f, f"dst_{part}"))
    if f.dst_dtype in (_D.S8, _D.U8, _D.S16, _D.U16) and rng.random() < 0.3:
        setattr(f, f"{which}_dtype", f.dst_dtype ^ 1)  # the other signedness


def _orderly(f: Any, arch: Arch) -> bool:
    """Whether it writes nothing twice and reads nothing that it writes, but element by element."""
    spans: dict[str, tuple[int, np.ndarray]] = {}
    for which in ("dst", "dst2", "src1", "src2"):
        if buffer := getattr(f, f"{which}_buffer"):
            reduced = f.reduce_loops if which[0] == "d" else 0
            spans[which] = (buffer, footprint.iterator(f, which, arch, reduced))

    def touch(one: str, other: str) -> bool:
        if one not in spans or other not in spans or spans[one][0] != spans[other][0]:
            return False
        a, b = spans[one][1], spans[other][1]
        if a[0, 0] > b.max() or b[0, 0] > a.max():
            if a.min() > b.max() or b.min() > a.max():
                return False
        return bool(np.isin(a, b).any())

    if touch("dst", "dst2"):
        return False
    for target in ("dst", "dst2"):
        for source in ("src1", "src2"):
            if touch(target, source):
                a, b = spans[target][1], spans[source][1]
                same = not f.reduce_loops and not f.lane_reduce and f.op != _OP.TRANSPOSE
                if not (same and a.shape == b.shape and bool((a == b).all())):
                    return False
    return True


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
