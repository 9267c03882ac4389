"""One random legal VECTOR instruction per call: every operation, in place, to one memory or two."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np

from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch
from jacquard.sim.cosim import footprint
from jacquard.sim.cosim.place import (
    base_for,
    counts,
    strides_any,
    strides_apart,
    unused_strides,
)
from jacquard.sim.cosim.space import Draft, Space

_B, _D, _OP, _S = isa.Buffer, isa.Dtype, isa.VectorOp, isa.ScaleMode
_ITEM_BYTES = {int(_D.S8): 1, int(_D.U8): 1, int(_D.S16): 2, int(_D.U16): 2, int(_D.S32): 4}
_NO_REDUCTION = (_OP.SELECT, _OP.SADD, _OP.LEAKY, _OP.TRANSPOSE)


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
