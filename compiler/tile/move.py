"""Operators that only move elements: any permutation, selection or padding, at byte granularity.

In: for every element of the output, which source and which element of it. Out: LOADs that gather a
piece of the output into VMEM in its final order, a requantization where grids differ, and one
STORE of a contiguous run. Runs of bytes are found and folded into strided patterns of up to four
dimensions, so aligned moves take a handful of instructions and the others still work.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from jacquard.compiler.graph.ir import QTensor
from jacquard.compiler.tile.access import ELEMENT_BYTES
from jacquard.compiler.tile.lowering import Lowering, Stored
from jacquard.proto import npu_isa as isa

Int64 = npt.NDArray[np.int64]
MAX_RUN = (1 << 20) - 64  # LOAD's n0
MAX_COUNT = 65535


@dataclasses.dataclass(frozen=True)
class Source:
    """An operand of a move. mult: of its requantization under the output's shift."""

    place: Stored
    zero_point: int
    mult: int


@dataclasses.dataclass(frozen=True)
class Finish:
    """How moved integers become the output's; None where they are the same."""

    shift: int
    zero_point: int
    lo: int
    hi: int
    src_dtype: isa.Dtype
    dst_dtype: isa.Dtype


def byte_offsets(place: Stored, tensor: QTensor) -> Int64:
    """DRAM offset in bytes of every element of a stored tensor, in its ONNX shape."""
    view = tensor.view
    c = np.arange(view.channels)
    planes = (c // place.block) * place.plane_bytes + c % place.block * place.element_bytes
    rows = np.arange(view.height) * place.row_bytes
    columns = np.arange(view.width) * place.position_bytes
    offsets = place.offset + planes[:, None, None] + rows[:, None] + columns
    if tensor.image:
        return offsets.reshape(tensor.shape)
    return np.moveaxis(offsets[:, 0, :], 0, -1).reshape(tensor.shape)


def to_blocked(values: Int64, tensor: QTensor, block: int, fill: int) -> Int64:
    """An array in ONNX shape in the blocked layout's order: [tiles * height * width, block]."""
    view = tensor.view
    if tensor.image:
        planes = values.reshape(view.channels, view.height, view.width)
    else:
        planes = values.reshape(view.width, view.channels).T[:, None, :]
    tiles = -(-view.channels // block)
    padded = np.full((tiles * block, view.height, view.width), fill, np.int64)
    padded[: view.channels] = planes
    ordered = padded.reshape(tiles, block, view.height, view.width).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(ordered).reshape(-1, block)


def emit_move(
    low: Lowering,
    sources: list[Source],
    source_of: Int64,
    offset_of: Int64,
    out: QTensor,
    place: Stored,
    fill: int,
    finish: Finish | None,
) -> None:
    """Emits the move.

    Args:
      source_of, offset_of: per output element, in ONNX shape: index into sources (-1: fill) and
        DRAM offset of the element.
      fill: for elements of no source, in the sources' integers.
      finish: None leaves the integers as they are.
    """
    block, size = low.arch.rows, sources[0].place.element_bytes
    assert all(source.place.element_bytes == size for source in sources)
    which = to_blocked(source_of, out, block, -2)
    where = to_blocked(offset_of, out, block, -1)
    _fill_padding(which, where, sources)
    piece_vectors = max(1, low.arch.vmem_bytes // 4 // (block * max(size, place.element_bytes)))
    params = _Params(low, sources, finish) if finish is not None else None
    for start in range(0, which.shape[0], piece_vectors):
        stop = min(start + piece_vectors, which.shape[0])
        count = stop - start
        piece = result = low.vmem.take(count * block * size)
        _gather(low, sources, *_bytes(which[start:stop], where[start:stop], size), piece.base, fill)
        if params is not None:
            if place.element_bytes != size:
                result = low.vmem.take(count * place.position_bytes)
            params.finish(which[start:stop], piece.base, result.base)
        low.emit(isa.Store(buffer=isa.Buffer.VMEM, arg=place.arg, src=result.base,
                           dram=place.offset + start * place.position_bytes,
                           n0=count * place.position_bytes, n1=1, n2=1, n3=1))
        low.vmem.free(piece)
        if result is not piece:
            low.vmem.free(result)
    if params is not None:
        params.free()


def _bytes(which: Int64, where: Int64, size: int) -> tuple[Int64, Int64]:
    """Elements of `size` bytes, flattened, as bytes: each element's follow each other."""
    if size == 1:
        return which.reshape(-1), where.reshape(-1)
    spread = where.reshape(-1, 1) + np.arange(size)
    return np.repeat(which.reshape(-1), size), spread.reshape(-1)


def _fill_padding(which: Int64, where: Int64, sources: list[Source]) -> None:
    """Lanes past the last channel hold anything: let them continue the run of the lane before."""
    padding = which[:, -1] == -2
    if not padding.any():
        return
    lanes = which.shape[1]
    first = int(np.argmax(which[np.argmax(padding)] == -2))
    rows = np.nonzero(padding)[0]
    last = which[rows, first - 1]
    which[rows, first:] = last[:, None]
    size = sources[0].place.element_bytes
    where[rows, first:] = where[rows, first - 1][:, None] + np.arange(1, lanes - first + 1) * size
    for index, source in enumerate(sources):  # never past the tensor's own bytes
        end = source.place.offset + source.place.size_bytes
        outside = (which == index) & (where >= end)
        which[outside], where[outside] = -1, -1


def _gather(
    low: Lowering, sources: list[Source], which: Int64, where: Int64, base: int, fill: int
) -> None:
    """LOADs that build one piece: which/where per byte of it."""
    step = np.where(which[1:] >= 0, where[1:] - where[:-1], 1)
    breaks = (which[1:] != which[:-1]) | (step != 1)
    starts = np.concatenate([[0], np.nonzero(breaks)[0] + 1])
    lengths = np.diff(np.concatenate([starts, [which.size]]))
    for index in [*range(len(sources)), -1]:
        mine = which[starts] == index
        if not mine.any():
            continue
        origin = where[starts][mine] if index >= 0 else np.zeros(int(mine.sum()), np.int64)
        for pattern in fold_runs(starts[mine], origin, lengths[mine]):
            dst, src, run, dims = pattern
            (n1, d1, s1), (n2, d2, s2), (n3, d3, s3) = dims
            fields = {"buffer": isa.Buffer.VMEM, "dst": base + dst, "n0": run, "n1": n1, "n2": n2,
                      "n3": n3, "d1": d1, "d2": d2, "d3": d3}
            if index < 0:
                low.emit(isa.Load(**fields, fill=fill & 0xFF, before0=run))
            else:
                low.emit(isa.Load(**fields, arg=sources[index].place.arg, dram=src, s1=s1, s2=s2,
                                  s3=s3))


Pattern = tuple[int, int, int, tuple[tuple[int, int, int], ...]]


def fold_runs(dst: Int64, src: Int64, length: Int64) -> list[Pattern]:
    """Runs (destination, source, length) as patterns (dst, src, run, three (count, d, s)).

    Each round folds neighbours of equal shape and constant distance into one more dimension.
    """
    long = length > MAX_RUN
    if long.any():
        parts = [(int(d) + i, int(s) + i, min(MAX_RUN, int(n) - i))
                 for d, s, n in zip(dst, src, length, strict=True)
                 for i in range(0, int(n), MAX_RUN)]
        dst, src, length = (np.array(column, np.int64) for column in zip(*parts, strict=True))
    shapes = length[:, None]  # rows that must be equal to fold
    for _ in range(3):
        dst, src, shapes = _fold(dst, src, shapes)
    return [
        (int(d), int(s), int(shape[0]),
         tuple((int(shape[k]), int(shape[k + 1]), int(shape[k + 2])) for k in (1, 4, 7)))
        for d, s, shape in zip(dst, src, shapes, strict=True)
    ]


def _fold(dst: Int64, src: Int64, shapes: Int64) -> tuple[Int64, Int64, Int64]:
    """One more dimension: appends (count, d, s) to each pattern's shape."""
    count = dst.size
    gaps = np.stack([np.diff(dst), np.diff(src)], axis=1)
    same = (shapes[1:] == shapes[:-1]).all(axis=1) if count > 1 else np.zeros(0, bool)
    # A group ends where shapes differ, or where the gap changes behind its second pattern.
    ends = np.nonzero(np.concatenate([~same | _changes(gaps, same), [True]]))[0]
    different = np.concatenate([~same, [True]])
    heads: list[int] = []
    counts: list[int] = []
    at = 0
    for end in ends.tolist():
        if at > end or (at == end and not different[end]):
            continue
        stop = end + 1
        while at < stop:
            size = min(stop - at, MAX_COUNT)
            heads.append(at)
            counts.append(size)
            at += size
    head, length = np.array(heads, np.int64), np.array(counts, np.int64)
    gap = np.zeros((head.size, 2), np.int64)
    many = length > 1
    gap[many] = gaps[head[many]]
    return dst[head], src[head], np.concatenate([shapes[head], length[:, None], gap], axis=1)


def _changes(gaps: Int64, same: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Where the gap after a pattern differs from the gap before it, so a group ends there."""
    changed = np.zeros(gaps.shape[0], bool)
    if gaps.shape[0] > 1:
        changed[1:] = (gaps[1:] != gaps[:-1]).any(axis=1) & same[:-1]
    return changed


class _Params:
    """Requantization of moved vectors: a PARAM row per combination of sources in a vector."""

    def __init__(self, low: Lowering, sources: list[Source], finish: Finish) -> None:
        self.low, self.sources, self.how = low, sources, finish
        self.rows: dict[bytes, int] = {}
        self.row = low.param.take(1)
        self.loaded: bytes | None = None

    def _load(self, lanes: Int64) -> None:
        key = lanes.tobytes()
        if key not in self.rows:
            zero = np.array([s.zero_point for s in self.sources], np.int64)
            mult = np.array([s.mult for s in self.sources], np.int64)
            at = np.maximum(lanes, 0)
            self.rows[key] = self.low.load_params(-zero[at], mult[at].astype(np.int32))
        if self.loaded != key:
            self.low.emit_param_load(self.rows[key], 0, self.row)
            self.loaded = key

    def finish(self, which: Int64, base: int, result: int) -> None:
        """Requantizes the vectors of a piece at VMEM byte `base` to `result`, in place if equal."""
        how = self.how
        src, dst = (self.low.arch.lanes * ELEMENT_BYTES[dtype] for dtype in (how.src_dtype, how.dst_dtype))
        changed = np.nonzero((which[1:] != which[:-1]).any(axis=1))[0] + 1
        starts = [0, *changed.tolist()]
        for start, stop in zip(starts, [*starts[1:], which.shape[0]], strict=True):
            self._load(which[start])
            self.low.emit(
                isa.Vector(
                    op=isa.VectorOp.MOVE, scale=isa.ScaleMode.PER_LANE, shift=how.shift,
                    zero_point=how.zero_point, clamp=1, lo=how.lo, hi=how.hi,
                    n0=stop - start, n1=1, n2=1, n3=1, param=self.row.base,
                    dst_buffer=isa.Buffer.VMEM, dst_dtype=how.dst_dtype,
                    dst_base=result + start * dst, dst_stride0=dst,
                    src1_buffer=isa.Buffer.VMEM, src1_dtype=how.src_dtype,
                    src1_base=base + start * src, src1_stride0=src,
                )
            )

    def free(self) -> None:
        self.low.param.free(self.row)
