"""What a Program moves more than once: spills and refetches, counted in its instructions.

In: a Program that `check` finds nothing in. Out: bytes, per layer and in all. Found from the
instructions and the places of the layers' outputs alone, not from what the compiler meant.

Spilled: bytes of a layer's result that it stores and that are loaded again, since the result did
not stay on chip. What the model gives out is stored anyway and counts as none. Refetched: bytes of
a layer's weights or of its result (or of the model's inputs) that are loaded again after a first
time, each further time. Padding counts nowhere; of rows that indices pick each counts as new.
"""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from jacquard.compiler.checker import table
from jacquard.compiler.checker.table import Ints
from jacquard.proto import npu_isa, program_pb2

_HOST = 0  # owner of what the host wrote; layer k is k + 1


@dataclasses.dataclass(frozen=True)
class Traffic:
    """Bytes by layer; `other_refetched`: of the model's inputs, states and parameters."""

    spilled: tuple[int, ...]
    refetched: tuple[int, ...]
    other_refetched: int


@dataclasses.dataclass(frozen=True)
class _Runs:
    """Runs of bytes of one instruction: at base + sum of index x stride, of `run` bytes."""

    instruction: int
    base: int
    run: int
    dims: tuple[tuple[int, int], ...]  # (count, stride)

    @property
    def size(self) -> int:
        return self.run * math.prod(n for n, _ in self.dims)

    def starts(self) -> Ints:
        found = np.array([self.base])
        for count, stride in self.dims:
            found = (found[:, None] + np.arange(count) * stride).reshape(-1)
        return found


def traffic(program: program_pb2.Program) -> Traffic:
    """Counts; arguments stand at 0, which changes no count."""
    code = table.read(program.code)
    register = {s.name: s.arg for s in program.segments}
    register_of = {a.arg: register[a.segment] for a in program.arguments}
    names = {layer.name: number for number, layer in enumerate(program.layers)}
    spilled, refetched = np.zeros((2, len(program.layers)), np.int64)
    other = 0
    for segment in program.segments:
        loads = list(_loads(code, segment.arg, register_of))
        if segment.kind == program_pb2.Segment.SCRATCH:
            stores = _stores(code, segment.arg, register_of)
            mine, again, host = _versions(program, segment, loads, list(stores))
            spilled += mine
            refetched += again
            other += host
        elif segment.parts:
            starts = np.array([part.offset_bytes for part in segment.parts])
            owners = np.searchsorted(starts, [r.base for r in loads], side="right") - 1
            for number, part in enumerate(segment.parts):
                more = _again([loads[k] for k in np.flatnonzero(owners == number)])
                if part.layer in names:
                    refetched[names[part.layer]] += more
                else:
                    other += more
        else:
            other += _again(loads)
    return Traffic(tuple(spilled.tolist()), tuple(refetched.tolist()), other)


def _loads(code: table.Code, arg: int, register_of: dict[int, int]) -> Iterator[_Runs]:
    """What LOAD reads of a segment; of rows picked by indices nothing, their indices alone."""
    t = code.tables[npu_isa.Load]
    names = ("arg", "dram", "n0", "before0", "after0", "n1", "before1", "after1", "s1", "n2", "s2",
             "n3", "s3", "gather", "index_arg", "index_dram")
    columns = [t[name].tolist() for name in names]
    for index, *values in zip(t.index.tolist(), *columns, strict=True):
        (own, dram, n0, before0, after0, n1, before1, after1, s1, n2, s2, n3, s3, gather, index_arg,
         index_dram) = values
        if gather and register_of.get(index_arg, index_arg) == arg:
            yield _Runs(index, index_dram, 4 * n1, ())
        run, runs = n0 - before0 - after0, n1 - before1 - after1
        if gather or register_of.get(own, own) != arg or run <= 0 or runs <= 0:
            continue
        yield _Runs(index, dram, run, _kept(((runs, s1), (n2, s2), (n3, s3))))


def _stores(code: table.Code, arg: int, register_of: dict[int, int]) -> Iterator[_Runs]:
    t = code.tables[npu_isa.Store]
    names = ("arg", "dram", "n0", "n1", "s1", "n2", "s2", "n3", "s3")
    columns = [t[name].tolist() for name in names]
    for index, own, dram, n0, n1, s1, n2, s2, n3, s3 in zip(
        t.index.tolist(), *columns, strict=True
    ):
        if register_of.get(own, own) == arg:
            yield _Runs(index, dram, n0, _kept(((n1, s1), (n2, s2), (n3, s3))))


def _kept(dims: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    return tuple((n, s) for n, s in dims if n > 1)


def _again(loads: list[_Runs]) -> int:
    """Bytes loaded beyond the first time, of what nobody writes."""
    if not loads:
        return 0
    starts = np.concatenate([r.starts() for r in loads])
    sizes = np.concatenate([np.full(r.size // r.run, r.run) for r in loads])
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], (starts + sizes)[order]
    reach = np.maximum.accumulate(np.concatenate(([starts[0]], ends[:-1])))  # end of what is before
    distinct = np.maximum(ends - np.maximum(starts, reach), 0).sum()
    return int(sizes.sum() - distinct)


def _versions(
    program: program_pb2.Program,
    segment: program_pb2.Segment,
    loads: list[_Runs],
    stores: list[_Runs],
) -> tuple[Ints, Ints, int]:
    """(spilled, refetched by layer, refetched of what the host wrote) in the activations' segment.

    Goes through the program in its order, in which it could run instruction by instruction, and
    keeps for every cell who wrote it last and whether it was loaded since.
    """
    events = sorted(
        [(r.instruction, False, r) for r in loads] + [(r.instruction, True, r) for r in stores],
        key=lambda event: event[0],
    )
    cell = math.gcd(0, *(n for _, _, r in events for n in (r.base, r.run, *(s for _, s in r.dims))))
    layers = len(program.layers)
    if not cell:
        return np.zeros(layers, np.int64), np.zeros(layers, np.int64), 0
    owner = np.zeros(-(-segment.size_bytes // cell), np.int32)
    seen = np.zeros_like(owner, dtype=np.bool_)
    total, distinct = np.zeros((2, layers + 1), np.int64)
    owners = _Owners(program, segment)
    for instruction, write, runs in events:
        mine, loaded = _cells(owner, runs, cell), _cells(seen, runs, cell)
        if write:
            if loaded.any():
                distinct += np.bincount(mine[loaded], minlength=layers + 1)
            mine[...] = owners.of(instruction, runs.base)
            loaded[...] = False
        else:
            total += np.bincount(mine.reshape(-1), minlength=layers + 1)
            loaded[...] = True
    distinct += np.bincount(owner[seen], minlength=layers + 1)
    again = (total - distinct) * cell
    spilled = distinct[1:] * cell
    for tensor in program.outputs:
        kept = [k for k, layer in enumerate(program.layers)
                if layer.output.segment == segment.name
                and layer.output.offset_bytes == tensor.offset_bytes]
        if tensor.segment == segment.name and kept:
            spilled[kept[-1]] = 0
    return spilled, again[1:], int(again[_HOST])


def _cells(array: np.ndarray, runs: _Runs, cell: int) -> np.ndarray:
    """A view of the cells under the runs; one under several of them stands there as often."""
    shape = (*(n for n, _ in runs.dims), runs.run // cell)
    size = array.itemsize
    strides = (*(s // cell * size for _, s in runs.dims), size)
    return np.ndarray(shape, array.dtype, array, runs.base // cell * size, strides)


class _Owners:
    """Whose bytes a STORE writes: the first layer with its output there that is not at its end."""

    def __init__(self, program: program_pb2.Program, segment: program_pb2.Segment) -> None:
        outputs = [layer.output for layer in program.layers]
        self.low = np.array([o.offset_bytes for o in outputs])
        self.high = self.low + np.array([o.size_bytes for o in outputs])
        self.end = np.array([layer.end_instruction for layer in program.layers])
        self.there = np.array([o.segment == segment.name for o in outputs])

    def of(self, instruction: int, address: int) -> int:
        late = self.end > instruction
        fits = late & self.there & (self.low <= address) & (address < self.high)
        found = np.flatnonzero(fits)
        # A tensor that is no layer's output belongs to the layer that the instruction stands in.
        return 1 + int(found[0] if found.size else np.flatnonzero(late)[0])
