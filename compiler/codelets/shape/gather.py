"""Gather: rows of a table by indices that the host binds, or elements at constant indices.

A table lies in the constants row by row (tile/gathered.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets import _moves
from jacquard.compiler.codelets.base import (
    Activation,
    Array,
    Case,
    Codelet,
    Host,
    Node,
    Parsed,
    QuantizedConstant,
    check_signed,
    clamped,
)
from jacquard.compiler.codelets.elementwise._scaling import rescale
from jacquard.compiler.graph.ir import Grid, Op
from jacquard.compiler.tile.gathered import emit_gathered
from jacquard.compiler.tile.lowering import Lowering, dtype_of
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.errors import UserError

DTYPES = {"int8": isa.Dtype.S8, "uint8": isa.Dtype.U8, "int16": isa.Dtype.S16,
          "uint16": isa.Dtype.U16}


def parse(node: Node) -> Parsed:
    data = node.operand(0)
    if isinstance(data, Activation):
        return _move(node)
    if not isinstance(data, QuantizedConstant):
        raise UserError(
            f"{node.place}: its table must be quantized (behind a DequantizeLinear), got floats; "
            "quantize it"
        )
    if data.q.ndim != 2 or int(node.get("axis", 0)) not in (0, -2):
        raise UserError(
            f"{node.place}: must take rows of a matrix, got axis {node.get('axis', 0)} of shape "
            f"{data.q.shape}; reshape the table"
        )
    if data.scale.ndim or data.zero.ndim or str(data.q.dtype) not in DTYPES:
        raise UserError(
            f"{node.place}: its table must have one scale and {', '.join(DTYPES)}, got "
            f"{data.scale.size} scales and {data.q.dtype}; quantize it per tensor"
        )
    indices = node.indices(1)
    rows, features = data.q.shape
    grid = Grid(float(data.scale), int(data.zero), str(data.q.dtype))
    return Parsed((indices,), {"table": data.q, "grid": grid}, ((*indices.shape, features),), grid,
                  {indices.name: rows})


def _move(node: Node) -> Parsed:
    x = node.activation(0)
    if isinstance(node.operand(1), Host):
        raise UserError(
            f"{node.place}: indices into an activation must be constants, got integers of the host; "
            "take the elements outside of the model"
        )
    given = node.constant(1)
    axis = int(node.get("axis", 0)) % len(x.shape)
    size = x.shape[axis]
    if given is None or given.dtype.kind not in "iu":
        raise UserError(f"{node.place}: indices must be integers; correct the model")
    indices = given.astype(np.int64)
    if ((indices < -size) | (indices >= size)).any():
        raise UserError(
            f"{node.place}: indices must lie in [{-size}, {size}), got {indices.tolist()}; correct "
            "the model"
        )
    return _moves.parsed(node, [x], [_moves.numbered(x).take(indices % size, axis)])


def lower(op: Op, low: Lowering) -> None:
    if "table" not in op.attrs:
        _moves.lower(op, low)
        return
    y, table, grid = low.tensor(op.outputs[0]), op.attrs["table"], op.attrs["grid"]
    if y.image:
        raise UserError(
            f"node {op.name} (Gather): its rows must be read as rows, got an operator behind it "
            "that takes images; reshape the indices to fewer dimensions"
        )
    low.begin_layer(op, macs=0, constant_bytes=math.prod(y.shape) * table.itemsize)
    fields: dict[str, int] = {}
    if grid != y.grid or clamped(op):
        check_signed(op, y.grid)
        fields, mult = rescale(op, grid, y.grid)
        fields["mult1"] = mult
    fields |= {"op": int(isa.VectorOp.MOVE), "dst_dtype": int(dtype_of(y))}
    emit_gathered(low, op.name, table, low.stored(op.inputs[0]), low.index_sources(op.inputs[0]),
                  low.stored(op.outputs[0]), fields, DTYPES[grid.dtype])


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    """inputs[0]: whole numbers where it is the indices."""
    if "table" not in op.attrs:
        return _moves.reference(op, inputs)
    grid: Grid = op.attrs["grid"]
    real = (op.attrs["table"].astype(np.float64) - grid.zero_point) * grid.scale
    return [real[inputs[0].astype(np.int64)]]


def cases() -> Sequence[Case]:
    def at(*indices: int) -> dict[str, Array]:
        return {"i": np.array(indices, np.int64)}

    return [
        Case("first_row", {"x": (1, 9, 20)}, {"axis": 1}, {"i": np.array(0, np.int64)}),
        Case("channels", {"x": (1, 20, 3, 4)}, {"axis": 1}, at(5, 17, -1, 0)),
        Case("columns", {"x": (5, 18)}, {"axis": -1}, at(17, 2)),
    ]


CODELET = Codelet("Gather", parse, lower, reference, cases, view="move", host=(1,))
