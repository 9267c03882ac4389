"""What an operation is to the catalogue, and where its operands come from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch, load_config
from jacquard.proto.lib.fixed_point import Float64Array
from jacquard.sim.operations.sequence import DTYPES, VECTORS, Int64, Sequence, Tensor

ALL32 = "all of int32: corners with each other, random"
EACH32 = "all of int32: corners, random"
CONFIG = "edge16"  # what they are measured on; results do not depend on the number of lanes

Real = Callable[..., Float64Array]


@dataclasses.dataclass(frozen=True)
class Operation:
    """One row of the table.

    Attributes:
      name, group: as the instruction page lists them.
      types: of operands and result.
      domain: over which the error is measured.
      emit: adds instructions to a sequence; returns the result.
      samples: the operands, each int64 `[tiles, vectors, lanes]`, in the order of the sequence's
        `given`.
      exact: samples to float64 in output steps with the zero point in, clipped to the output's
        type, not rounded; `[tiles, vectors of the result, lanes]`, NaN where it has no value.
    """

    name: str
    group: str
    types: str
    domain: str
    emit: Callable[[Sequence], Tensor]
    samples: Callable[[], tuple[Int64, ...]]
    exact: Callable[..., Float64Array]

    def sequence(self, arch: Arch | None = None) -> tuple[Sequence, Tensor]:
        """Its instructions on a configuration, and where the result lies."""
        sequence = Sequence(arch or load_config(CONFIG))
        return sequence, self.emit(sequence)


def type_name(dtype: isa.Dtype) -> str:
    """`int8` and so on."""
    return str(DTYPES[dtype].name)


def limits(dtype: isa.Dtype) -> tuple[int, int]:
    """Lowest and highest value."""
    info = np.iinfo(DTYPES[dtype])
    return int(info.min), int(info.max)


def clipped(dtype: isa.Dtype, real: Real) -> Real:
    """In float64 and held by the output's type."""
    lo, hi = limits(dtype)
    return lambda *inputs: np.clip(real(*(x.astype(np.float64) for x in inputs)), lo, hi)


def blocks(values: Int64, vectors: int = VECTORS) -> Int64:
    """`[n]` as `[tiles, vectors, lanes]` of CONFIG; what is missing at the end begins again."""
    size = vectors * load_config(CONFIG).lanes
    tiles = -(-values.size // size)
    whole = np.resize(values, tiles * size)
    return whole.reshape(tiles, vectors, -1).astype(np.int64)


def vectors_of(dtype: isa.Dtype) -> int:
    """Of a tile that holds each value of an 8-bit type once; VECTORS for other types."""
    return 256 // load_config(CONFIG).lanes if DTYPES[dtype].itemsize == 1 else VECTORS


def every(dtype: isa.Dtype) -> Int64:
    """All values of a type of 8 or 16 bits, ascending, as blocks."""
    lo, hi = limits(dtype)
    return blocks(np.arange(lo, hi + 1), vectors_of(dtype))


def pairs(first: isa.Dtype, second: isa.Dtype, seed: int) -> tuple[Int64, Int64]:
    """65,536 pairs: all of two 8-bit types, else corners with each other and random numbers."""
    if {DTYPES[first].itemsize, DTYPES[second].itemsize} == {1}:
        grids = np.meshgrid(*(np.arange(lo, hi + 1) for lo, hi in map(limits, (first, second))))
        return blocks(grids[0].reshape(-1)), blocks(grids[1].reshape(-1))
    rng = np.random.default_rng(seed)
    corners = np.meshgrid(_corners(first), _corners(second))
    return (
        blocks(np.concatenate([corners[0].reshape(-1), spread(first, 65536, rng)])[:65536]),
        blocks(np.concatenate([corners[1].reshape(-1), spread(second, 65536, rng)])[:65536]),
    )


def spread(dtype: isa.Dtype, count: int, rng: np.random.Generator) -> Int64:
    """Numbers of every magnitude: uniform ones, half of them shifted right at random."""
    lo, hi = limits(dtype)
    values = rng.integers(lo, hi + 1, count)
    right = rng.integers(0, 8 * DTYPES[dtype].itemsize, count)
    return values >> (right * rng.integers(0, 2, count))


def sample(dtype: isa.Dtype, seed: int, vectors: int = VECTORS) -> Int64:
    """65,536 numbers of a type as blocks, its corners among them; all of them up to 16 bits."""
    if DTYPES[dtype].itemsize < 4 and vectors == vectors_of(dtype):
        return every(dtype)
    rng = np.random.default_rng(seed)
    values = np.concatenate([_corners(dtype), spread(dtype, 65536, rng)])[:65536]
    return blocks(rng.permutation(values), vectors)


def _corners(dtype: isa.Dtype) -> Int64:
    """Numbers around the ends, 0 and the powers of two."""
    lo, hi = limits(dtype)
    powers = [1 << k for k in range(8 * DTYPES[dtype].itemsize)]
    near = {s * p + d for p in powers for s in (-1, 1) for d in (-1, 0, 1)} | {0}
    return np.array(sorted(v for v in near if lo <= v <= hi), np.int64)
