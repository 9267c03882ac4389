"""What LOAD, STORE and MATRIX touch, and the rules of docs/machine.md that they keep by themselves.

In: the columns of a program. Out: `Accesses` (the bytes of one space that each instruction of a
kind reads or writes) and the lines of broken rules. Written from docs/machine.md, not from the
emitter or the functional simulator. VECTOR is in `vector_access`.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from jacquard.compiler.checker.arguments import Segment, Walk
from jacquard.compiler.checker.footprint import Region, region, writes_once
from jacquard.compiler.checker.table import Code, Ints, Mask, Table
from jacquard.proto import npu_isa
from jacquard.proto.lib.arch import Arch
from jacquard.proto.npu_isa import Buffer

DRAM = 16  # space DRAM + k is the segment of argument register k; smaller ones are Buffer numbers


@dataclasses.dataclass(frozen=True)
class Accesses:
    """Runs of `run` bytes at base + sum of index x stride, one row per instruction.

    `counts` and `strides`: [rows, loops]. `space`: per row. Bytes lie within [lo, hi).
    """

    index: Ints
    space: Ints
    write: bool
    base: Ints
    run: Ints
    counts: Ints
    strides: Ints
    lo: Ints
    hi: Ints

    def region(self, row: int) -> Region:
        """The set of bytes of one row."""
        return region(int(self.base[row]), int(self.run[row]), self.dims(row))

    def dims(self, row: int) -> tuple[tuple[int, int], ...]:
        """(count, stride) of the loops of one row."""
        return tuple(zip(self.counts[row].tolist(), self.strides[row].tolist(), strict=True))

    def take(self, keep: Mask) -> "Accesses":
        """The rows where `keep` holds."""
        if keep.all():
            return self
        return Accesses(
            self.index[keep],
            self.space[keep],
            self.write,
            self.base[keep],
            self.run[keep],
            self.counts[keep],
            self.strides[keep],
            self.lo[keep],
            self.hi[keep],
        )


def accesses(
    index: Ints,
    space: Ints | int,
    write: bool,
    base: Ints,
    run: Ints | int,
    dims: Sequence[tuple[Ints, Ints]] = (),
) -> Accesses:
    """`dims`: (counts, strides) of each loop, counts at least 1."""
    shape = (len(index), len(dims))
    counts = np.stack([n for n, _ in dims], axis=1) if dims else np.zeros(shape, np.int64)
    strides = np.stack([s for _, s in dims], axis=1) if dims else np.zeros(shape, np.int64)
    reach = (counts - 1) * strides
    run = np.broadcast_to(np.asarray(run, dtype=np.int64), base.shape)
    lo = base + np.minimum(reach, 0).sum(axis=1)
    hi = base + run + np.maximum(reach, 0).sum(axis=1)
    space = np.broadcast_to(np.asarray(space, dtype=np.int64), base.shape)
    return Accesses(index, space, write, base, run, counts, strides, lo, hi)


def _everywhere(a: Accesses, walks: Mapping[int, Walk]) -> Accesses:
    """DRAM accesses, those through a walk's register at each place that it may name."""
    args = a.space - DRAM
    if not np.isin(args, list(walks)).any():
        return a
    space, count, step = a.space.copy(), np.ones_like(args), np.zeros_like(args)
    for arg, walk in walks.items():
        rows = args == arg
        space[rows], count[rows], step[rows] = DRAM + walk.arg, walk.places, walk.step_bytes
    return dataclasses.replace(
        a,
        space=space,
        counts=np.column_stack([a.counts, count]),
        strides=np.column_stack([a.strides, step]),
        hi=a.hi + (count - 1) * step,
    )


Text = Callable[..., str]  # of the decoded instruction and the row


class Rules:
    """Collects broken rules as (instruction, line) and the accesses of well-formed instructions."""

    def __init__(
        self,
        arch: Arch,
        segments: Mapping[int, Segment],
        walks: Mapping[int, Walk],
        code: Code,
        limit: int,
    ) -> None:
        """`segments`, `walks`: by argument register; no register is in both."""
        self.arch = arch
        self.code = code
        self.accesses: list[Accesses] = []
        self.broken: list[tuple[int, str]] = []
        self._segments, self._walks = segments, walks
        self.steps = np.zeros(8, dtype=np.int64)  # by argument register
        for arg, walk in walks.items():
            self.steps[arg] = walk.step_bytes
        self._limit = limit
        self._capacity = np.zeros(8, dtype=np.int64)
        for name in ("IBUF", "WBUF", "OBUF", "VMEM", "PARAM", "TABLE"):
            self._capacity[Buffer[name]] = arch.buffer_bytes(name)

    def require(self, index: Ints, good: Mask, text: Text) -> Mask:
        """Where not `good`, adds `text(instruction, row)`; returns `good`."""
        if not good.all():
            for row in np.flatnonzero(~good)[: self._limit].tolist():
                at = int(index[row])
                self.broken.append((at, text(self.code.instruction(at), row)))
        return good

    def counts(self, table: Table, names: Sequence[str]) -> Table:
        """The rows whose loop counts are all above zero."""
        good = np.logical_and.reduce([table[name] > 0 for name in names])
        self.require(
            table.index,
            good,
            lambda i, _: (
                "counts must be at least 1, got 0 for "
                + ", ".join(n for n in names if getattr(i, n) == 0)
                + "; write 1"
            ),
        )
        return table.take(good)

    def on_chip(self, what: str, a: Accesses) -> None:
        """Ranges lie in their memories; `a.space` are memories that the engine reaches."""
        self.require(
            a.index,
            (a.lo >= 0) & (a.hi <= self._capacity[a.space]),
            lambda _, row: (
                f"{what} must lie in {Buffer(int(a.space[row])).name} (0 to "
                f"{self._capacity[a.space[row]]}), got bytes {a.lo[row]} to {a.hi[row]}; "
                "move it or make it smaller"
            ),
        )
        self.accesses.append(a)

    def dram(self, a: Accesses) -> None:
        """Ranges lie in their segments, and constants are not written; `a.space` from DRAM on."""
        args = a.space - DRAM
        registers = sorted([*self._segments, *self._walks])
        known = ", ".join(map(str, registers)) or "none"
        a = a.take(
            self.require(
                a.index,
                np.isin(args, registers),
                lambda _, row: (
                    f"arg must name a segment's argument register, got {args[row]}; "
                    f"the program has {known}"
                ),
            )
        )
        a = _everywhere(a, self._walks)
        for arg, segment in self._segments.items():
            part = a.take(a.space == DRAM + arg)
            self.require(
                part.index,
                (part.lo >= 0) & (part.hi <= segment.size_bytes),
                lambda _, row, part=part, segment=segment: (
                    f"DRAM addresses must lie in segment {segment.name} (0 to "
                    f"{segment.size_bytes}), got bytes {part.lo[row]} to {part.hi[row]}; "
                    "move them"
                ),
            )
            self.require(
                part.index,
                np.full(len(part.index), not (part.write and segment.constant)),
                lambda _, row, part=part, segment=segment: (
                    f"segment {segment.name} is constant and must not be written, got a store to "
                    f"bytes {part.lo[row]} to {part.hi[row]}; store to a scratch segment"
                ),
            )
        self.accesses.append(a)

    def once(self, what: str, a: Accesses) -> None:
        """No byte is written twice by an instruction."""
        active = a.counts > 1
        stride = np.where(active, np.abs(a.strides), -1)
        order = np.argsort(stride, axis=1)
        extent = a.run.copy()
        good = np.ones(len(a.index), dtype=np.bool_)
        for loop in range(a.counts.shape[1]):
            at = order[:, loop : loop + 1]
            step = np.take_along_axis(stride, at, axis=1)[:, 0]
            count = np.take_along_axis(a.counts, at, axis=1)[:, 0]
            good &= (step < 0) | (step >= extent)
            extent += np.where(step < 0, 0, (count - 1) * step)
        for row in np.flatnonzero(~good).tolist():  # not nested: the exact answer
            good[row] = writes_once(int(a.run[row]), a.dims(row))
        self.require(
            a.index,
            good,
            lambda _, row: (
                f"{what} must write no byte twice, got runs of {a.run[row]} bytes with "
                f"(count, stride) {', '.join(map(str, a.dims(row)))}; spread the strides"
            ),
        )


def check_tokens(rules: Rules) -> None:
    """No instruction waits for or signals its own engine."""
    code = rules.code
    own = (code.engine >= 0) & ((code.pop | code.push) >> np.maximum(code.engine, 0) & 1 == 1)
    rules.require(
        np.arange(len(code)),
        ~own,
        lambda i, _: (
            f"pop and push must not name the own engine {i.NAME.upper()}, got pop {i.pop}, "
            f"push {i.push}; drop the bit"
        ),
    )


def check_load(rules: Rules) -> None:
    """LOAD: DRAM runs into IBUF, WBUF, VMEM, PARAM or TABLE, with padding or picked by index."""
    t = rules.counts(rules.code.tables[npu_isa.Load], ("n0", "n1", "n2", "n3"))
    run, runs = t["n0"] - t["before0"] - t["after0"], t["n1"] - t["before1"] - t["after1"]
    fits = rules.require(
        t.index,
        (run >= 0) & (runs >= 0),
        lambda i, _: (
            f"padding must fit the loops, got {i.before0} + {i.after0} of n0 {i.n0}, "
            f"{i.before1} + {i.after1} of n1 {i.n1}; pad less"
        ),
    )
    t, run, runs = t.take(fits), run[fits], runs[fits]
    gather = t["gather"] == 1
    # Any index below the limit may occur, so all the rows count as read.
    # Beyond 2^31 rows, capped so that sums stay in 64 bits, no stride but 0 is in range anyway.
    runs = np.where(gather, np.minimum(t["index_limit"], 1 << 31), runs)
    plain = (t["n2"] == 1) & (t["n3"] == 1) & (run == t["n0"])
    plain &= (t["before1"] == 0) & (t["after1"] == 0)
    rules.require(
        t.index,
        ~gather | plain,
        lambda i, _: (
            f"gather needs n2 = n3 = 1 and no padding, got n2 {i.n2}, n3 {i.n3}, padding "
            f"{i.before0}, {i.after0}, {i.before1}, {i.after1}; load in several instructions"
        ),
    )
    rules.require(
        t.index,
        ~gather | (t["index_limit"] > 0),
        lambda *_: "index_limit must be at least 1, got 0; give the number of rows",
    )
    rules.require(
        t.index,
        ~gather | (t["index_dram"] % 4 == 0),
        lambda i, _: f"index_dram must be a multiple of 4, got {i.index_dram}; move the indices",
    )
    rules.require(
        t.index,
        ~gather | (rules.steps[t["index_arg"]] % 4 == 0),
        lambda i, _: (
            f"index_arg must step by multiples of 4, got {rules.steps[i.index_arg]} bytes; "
            "spread the lists"
        ),
    )
    picks = t.take(gather)
    rules.dram(
        accesses(
            picks.index,
            DRAM + picks["index_arg"],
            False,
            picks["index_dram"],
            4 * picks["n1"],
        )
    )
    reached = rules.require(
        t.index,
        np.isin(
            t["buffer"], [Buffer.IBUF, Buffer.WBUF, Buffer.VMEM, Buffer.PARAM, Buffer.TABLE]
        ),
        lambda i, _: (
            f"buffer must be IBUF, WBUF, VMEM, PARAM or TABLE, got {int(i.buffer)}; "
            "LOAD does not reach others"
        ),
    )
    target = t.take(reached)
    written = accesses(
        target.index,
        target["buffer"],
        True,
        target["dst"],
        target["n0"],
        [(target[f"n{k}"], target[f"d{k}"]) for k in (1, 2, 3)],
    )
    rules.once("the destination", written)
    rules.on_chip("the destination", written)
    reads = (run > 0) & (runs > 0)  # all padding reads nothing
    t = t.take(reads)
    rules.dram(
        accesses(
            t.index,
            DRAM + t["arg"],
            False,
            t["dram"],
            run[reads],
            [(runs[reads], t["s1"]), (t["n2"], t["s2"]), (t["n3"], t["s3"])],
        )
    )


def check_store(rules: Rules) -> None:
    """STORE: runs of VMEM or IBUF to DRAM."""
    t = rules.counts(rules.code.tables[npu_isa.Store], ("n0", "n1", "n2", "n3"))
    reached = rules.require(
        t.index,
        np.isin(t["buffer"], [Buffer.VMEM, Buffer.IBUF]),
        lambda i, _: (
            f"buffer must be VMEM or IBUF, got {int(i.buffer)}; STORE does not reach others"
        ),
    )
    source = t.take(reached)
    rules.on_chip(
        "the source",
        accesses(
            source.index,
            source["buffer"],
            False,
            source["src"],
            source["n0"],
            [(source[f"n{k}"], source[f"l{k}"]) for k in (1, 2, 3)],
        ),
    )
    written = accesses(
        t.index,
        DRAM + t["arg"],
        True,
        t["dram"],
        t["n0"],
        [(t[f"n{k}"], t[f"s{k}"]) for k in (1, 2, 3)],
    )
    rules.once("the destination", written)
    rules.dram(written)


def check_matrix(rules: Rules) -> None:
    """MATRIX: rows of IBUF and WBUF into consecutive rows of OBUF."""
    t = rules.code.tables[npu_isa.Matrix]
    arch = rules.arch
    rules.require(
        t.index,
        (t["weight_transposed"] == 0) | (arch.rows == arch.cols),
        lambda *_: (
            f"weight_transposed must be 0 where rows and cols differ, got 1 with {arch.rows} x "
            f"{arch.cols}; transpose the weights themselves"
        ),
    )
    for name, unsigned, bits in (
        ("act_zero", "act_unsigned", arch.act_bits),
        ("weight_zero", "weight_unsigned", arch.weight_bits),
    ):
        low = np.where(t[unsigned] == 1, 0, -(1 << bits - 1))
        most = (1 << bits) - 1
        rules.require(
            t.index,
            (t[name] >= low) & (t[name] <= low + most),
            lambda i, row, low=low, most=most, name=name: (
                f"{name} must lie in {low[row]} to {low[row] + most}, got {getattr(i, name)}; "
                "zero points lie in their type's range"
            ),
        )
    t = rules.counts(t, ("n_x", "n_y", "n_kx", "n_ky", "n_c"))
    row = arch.ibuf_row_bytes
    rules.on_chip(
        "activations",
        accesses(
            t.index,
            Buffer.IBUF,
            False,
            t["ibuf"] * row,
            row,
            [(t[f"n_{k}"], t[f"s_{k}"] * row) for k in ("x", "y", "kx", "ky", "c")],
        ),
    )
    row = arch.wbuf_row_bytes
    rules.on_chip(
        "weights",
        accesses(
            t.index,
            Buffer.WBUF,
            False,
            t["wbuf"] * row,
            t["n_kx"] * t["n_ky"] * t["n_c"] * arch.rows * row,
        ),
    )
    row = arch.obuf_row_bytes
    # Written even where it accumulates: the sum that was there is gone.
    rules.on_chip(
        "sums", accesses(t.index, Buffer.OBUF, True, t["obuf"] * row, t["n_x"] * t["n_y"] * row)
    )
