"""VECTOR instructions on arrays in VMEM, one after another, and their execution by sim/func.

An operation of the machine is a `Sequence`: what the compiler would emit for a tile, without the
LOADs and STOREs around it. It is made once and run on as many tiles as there are samples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence as Many
from typing import Any

import numpy as np
import numpy.typing as npt

from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch
from jacquard.sim.func.machine import Machine
from jacquard.sim.reference.nonlinear.table import Table

Int64 = npt.NDArray[np.int64]

DTYPES: dict[isa.Dtype, np.dtype[Any]] = {
    isa.Dtype.S8: np.dtype(np.int8),
    isa.Dtype.U8: np.dtype(np.uint8),
    isa.Dtype.S16: np.dtype(np.int16),
    isa.Dtype.U16: np.dtype(np.uint16),
    isa.Dtype.S32: np.dtype(np.int32),
}
VECTORS = 64  # of a tile: ten int32 tensors fit edge16's VMEM


@dataclasses.dataclass(frozen=True)
class Tensor:
    """Vectors one behind the other in VMEM: element (v, lane) at base + (v lanes + lane) size."""

    dtype: isa.Dtype
    base: int
    vectors: int

    @property
    def element_bytes(self) -> int:
        return DTYPES[self.dtype].itemsize


class Sequence:
    """Instructions under construction. All tensors live until the end: nothing is reused."""

    def __init__(self, arch: Arch) -> None:
        self.arch = arch
        self.instructions: list[isa.Vector] = []
        self.table: Table | None = None
        self.parameters: tuple[Many[int], Many[int]] | None = None  # biases, multipliers of row 0
        self.inputs: list[Tensor] = []
        self._top = 0

    def tensor(self, dtype: isa.Dtype, vectors: int = VECTORS) -> Tensor:
        """A new place in VMEM. ValueError if it is full."""
        block = self.arch.lanes * DTYPES[dtype].itemsize
        base = -(-self._top // block) * block
        self._top = base + vectors * block
        if self._top > self.arch.vmem_bytes:
            raise ValueError(f"sequence: must fit VMEM's {self.arch.vmem_bytes} bytes")
        return Tensor(dtype, base, vectors)

    def given(self, dtype: isa.Dtype, vectors: int = VECTORS) -> Tensor:
        """A tensor that `run` fills, in the order of these calls."""
        self.inputs.append(self.tensor(dtype, vectors))
        return self.inputs[-1]

    def vector(
        self,
        op: isa.VectorOp,
        dst: isa.Dtype | Tensor,
        a: Tensor | None = None,
        b: Tensor | None = None,
        table: Table | None = None,
        **fields: int,
    ) -> Tensor:
        """One instruction over whole tensors; returns its destination.

        fields: of the instruction, over what is implied: one loop over the destination's vectors,
        each iterator stepping from vector to vector, scale IMM where mult1 is given.
        """
        if not isinstance(dst, Tensor):
            like = a or b
            dst = self.tensor(dst, like.vectors if like else VECTORS)
        values: dict[str, int] = {"op": int(op), "n0": dst.vectors, "n1": 1, "n2": 1, "n3": 1}
        for name, tensor in (("dst", dst), ("src1", a), ("src2", b)):
            if tensor is not None:
                values[f"{name}_buffer"] = int(isa.Buffer.VMEM)
                values[f"{name}_dtype"] = int(tensor.dtype)
                values[f"{name}_base"] = tensor.base
                values[f"{name}_stride0"] = self.arch.lanes * tensor.element_bytes
        if "mult1" in fields:
            values["scale"] = int(isa.ScaleMode.IMM)
        if table is not None:
            if self.table not in (None, table):
                raise ValueError("sequence: one table is resident, got two")
            self.table = table
            values |= {"table": 1, "table_shift": table.shift}
        self.instructions.append(isa.Vector(**(values | fields)))
        return dst

    def passes(self, result: Tensor) -> float:
        """Iterations of all instructions per vector of the largest operand or the result."""
        total = sum(i.n0 * i.n1 * i.n2 * i.n3 for i in self.instructions)
        return total / max(tensor.vectors for tensor in (*self.inputs, result))

    def runner(self, result: Tensor) -> Runner:
        """The sequence on a machine of its own."""
        return Runner(self, result)


class Runner:
    """Runs a finished sequence on tile after tile."""

    def __init__(self, sequence: Sequence, result: Tensor) -> None:
        self._machine = Machine(sequence.arch, np.zeros(16, np.uint8))
        self._code = isa.encode_program([*sequence.instructions, isa.End()])
        self._inputs, self._result = sequence.inputs, result
        if sequence.table is not None:
            self._fill(isa.Buffer.TABLE, 0, table_bytes(sequence.table))
        if sequence.parameters is not None:
            self._fill(isa.Buffer.PARAM, 0, parameter_bytes(sequence.parameters))

    def run(self, inputs: Many[npt.NDArray[np.generic]]) -> Int64:
        """Arrays `[tiles, vectors, lanes]`, whose values their tensors hold, to the result's."""
        tiles = []
        for number in range(inputs[0].shape[0]):
            for tensor, values in zip(self._inputs, inputs, strict=True):
                self._fill(isa.Buffer.VMEM, tensor.base, stored(tensor, values[number]))
            result = self._machine.run(self._code)
            if result.status != isa.Error.OK:
                raise ValueError(f"instruction {result.error_index}: {result.status.name}")
            tiles.append(self._read())
        return np.stack(tiles)

    def _fill(self, buffer: isa.Buffer, start: int, raw: npt.NDArray[np.uint8]) -> None:
        self._machine.memories.buffer(buffer)[start : start + raw.size] = raw

    def _read(self) -> Int64:
        dtype, lanes = DTYPES[self._result.dtype], self._machine.memories.arch.lanes
        size = self._result.vectors * lanes * dtype.itemsize
        memory = self._machine.memories.buffer(isa.Buffer.VMEM)
        raw = memory[self._result.base : self._result.base + size]
        return raw.view(dtype).reshape(-1, lanes).astype(np.int64)


def stored(tensor: Tensor, tile: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Numbers `[vectors, lanes]` as they lie in memory. ValueError if the type is too narrow."""
    cast = tile.astype(DTYPES[tensor.dtype])
    if not np.array_equal(cast, tile) or tile.shape[0] != tensor.vectors:
        raise ValueError(f"input: must be {tensor.vectors} vectors of {tensor.dtype.name}")
    return cast.view(np.uint8).reshape(-1)


def parameter_bytes(parameters: tuple[Many[int], Many[int]]) -> npt.NDArray[np.uint8]:
    """A row of PARAM."""
    return np.array(parameters, "<i4").reshape(-1).view(np.uint8)


def table_bytes(table: Table) -> npt.NDArray[np.uint8]:
    """As TABLE holds it: 256 entries of {base, slope}, 1024 bytes."""
    return np.stack([table.base, table.slope], axis=1).astype("<i2").reshape(-1).view(np.uint8)


def describe(instruction: isa.Vector) -> str:
    """What an instruction does beside moving data: `MUL + sum over 1 loop + scale`."""
    op = isa.VectorOp(instruction.op)
    parts = [op.name]
    reduction = ("sum", "maximum", "minimum")[instruction.reduce]
    if instruction.reduce_loops:
        plural = "s" if instruction.reduce_loops > 1 else ""
        parts.append(f"{reduction} over {instruction.reduce_loops} loop{plural}")
    if instruction.lane_reduce:
        parts.append(f"{reduction} across lanes")
    if instruction.scale:
        two = op in (isa.VectorOp.SADD, isa.VectorOp.LEAKY)
        each = instruction.scale == isa.ScaleMode.PER_LANE
        parts.append("two scales" if two else "scale per lane" if each else "scale")
    if instruction.clamp:
        parts.append("clamp")
    if instruction.table:
        parts.append("table")
    return " + ".join(parts)
