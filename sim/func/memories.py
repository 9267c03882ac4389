"""The machine's memories, and how an instruction's nested strides become a NumPy view of one.

Every memory is a flat uint8 array, little-endian. A `Fault` ends a run; its code is what the STATUS
register of the RTL would hold. Bounds are always checked before a view is made, so that an
out-of-range address is a Fault and nothing else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch

Bytes = npt.NDArray[np.uint8]


class Fault(Exception):
    """An instruction that cannot be executed: `code` as in the STATUS register."""

    def __init__(self, code: isa.Error) -> None:
        super().__init__(code.name)
        self.code = code


@dataclasses.dataclass(frozen=True)
class Memories:
    """All that instructions read and write. uint8 arrays; `buffers` by number of isa.Buffer."""

    arch: Arch
    dram: Bytes
    buffers: tuple[Bytes | None, ...]

    @classmethod
    def make(cls, arch: Arch, dram: Bytes) -> Memories:
        """On-chip memories of zeros around an existing DRAM, which is not copied."""
        if dram.dtype != np.uint8 or dram.ndim != 1 or not dram.flags.c_contiguous:
            raise ValueError(
                f"dram: must be a contiguous uint8 vector, got {dram.dtype}{dram.shape}"
            )
        sizes = {
            isa.Buffer.IBUF: arch.ibuf_bytes,
            isa.Buffer.WBUF: arch.wbuf_bytes,
            isa.Buffer.OBUF: arch.obuf_bytes,
            isa.Buffer.VMEM: arch.vmem_bytes,
            isa.Buffer.PARAM: arch.param_bytes,
            isa.Buffer.TABLE: arch.table_bytes,
        }
        buffers: list[Bytes | None] = [None] * 8  # the field has three bits
        for buffer, size in sizes.items():
            buffers[buffer] = np.zeros(size, np.uint8)
        return cls(arch, dram, tuple(buffers))

    def buffer(self, number: int) -> Bytes:
        """The memory of a number, or Fault LOCAL_RANGE if there is none."""
        memory = self.buffers[number]
        if memory is None:
            raise Fault(isa.Error.LOCAL_RANGE)
        return memory


def extent(base: int, counts: Sequence[int], strides: Sequence[int]) -> tuple[int, int]:
    """Lowest and highest of `base + sum(i * stride)`, each i in [0, count)."""
    lowest = highest = base
    for count, stride in zip(counts, strides, strict=True):
        if stride > 0:
            highest += (count - 1) * stride
        else:
            lowest += (count - 1) * stride
    return lowest, highest


def strided(
    memory: Bytes,
    dtype: npt.DTypeLike,
    offset: int,
    shape: Sequence[int],
    strides: Sequence[int],
) -> npt.NDArray[np.generic]:
    """A view of memory bytes: shape in elements of dtype, offset and strides in bytes.

    Not `as_strided`: this constructor costs a tenth and checks the bounds once more.
    """
    return np.ndarray(shape, dtype, memory.data, offset, strides)


_RUN_DTYPE: dict[int, np.dtype[Any]] = {
    2: np.dtype("u2"),
    4: np.dtype("u4"),
    8: np.dtype("u8"),
    16: np.dtype("c16"),
}


def runs(
    memory: Bytes,
    offset: int,
    length: int,
    counts: Sequence[int],
    strides: Sequence[int],
) -> npt.NDArray[np.generic]:
    """A view of equally long runs of bytes for copying: outer dimensions counts, and the run.

    Runs of a machine word's length are one element each (two views of the same length agree), which
    makes NumPy copy them several times faster than byte by byte.
    """
    dtype = _RUN_DTYPE.get(length)
    if dtype is not None:
        return strided(memory, dtype, offset, counts, strides)
    return strided(memory, np.uint8, offset, (*counts, length), (*strides, 1))
