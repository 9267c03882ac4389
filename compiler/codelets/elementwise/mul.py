"""Mul of two activations, or of one and a constant.

Two activations multiply their centred integers. A float constant is a real gain: its magnitudes
become multipliers under one shift, kept as int32 operands of VECTOR's exact product.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets.base import Array, Case, Codelet, Node, Parsed
from jacquard.compiler.codelets.elementwise._broadcast import broadcast, integer_constant
from jacquard.compiler.codelets.elementwise._scaling import factors_to_multipliers, output_fields
from jacquard.compiler.codelets.elementwise.add import parse as parse_add
from jacquard.compiler.graph.ir import Grid, Op
from jacquard.compiler.tile.lowering import Lowering, dtype_of
from jacquard.compiler.tile.pointwise import emit_pointwise
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import requantization_scale


def parse(node: Node) -> Parsed:
    found = parse_add(node)
    if "offset" in found.attrs:
        return Parsed(found.inputs, {"gain": found.attrs["offset"]}, found.shapes)
    return Parsed(found.inputs, {}, found.shapes)


def _magnitude(grid: Grid) -> int:
    """Of the grid's integers, the zero point taken out."""
    return max(grid.hi - grid.zero_point, grid.zero_point - grid.lo)


def lower(op: Op, low: Lowering) -> None:
    low.begin_layer(op, macs=0)
    x, y = low.tensor(op.inputs[0]), low.tensor(op.outputs[0])
    if "gain" in op.attrs:
        gain = np.asarray(op.attrs["gain"], np.float64)
        scale = np.asarray(np.float64(x.grid.scale) * np.abs(gain))
        factors = np.asarray(requantization_scale([scale], y.grid.scale))
        mult, shift = factors_to_multipliers(op, factors.reshape(-1).tolist())
        signed = np.array(mult, np.int64).reshape(gain.shape) * np.sign(gain).astype(np.int64)
        other = integer_constant(f"{op.name}.gain", signed)
        mult1 = 1
    else:
        other = low.tensor(op.inputs[1])
        scale = np.asarray(np.float64(x.grid.scale) * np.float64(other.grid.scale))
        (mult1,), shift = factors_to_multipliers(
            op, [float(requantization_scale([scale], y.grid.scale))]
        )
        largest = _magnitude(x.grid) * _magnitude(other.grid) * mult1
        if largest >= 2**63:
            raise UserError(
                f"node {op.name} ({op.kind}): operands must fit 32 bits together, got products of "
                f"up to {_magnitude(x.grid) * _magnitude(other.grid)}; quantize one to 8 bits"
            )
    fields = output_fields(op, y.grid, shift) | {
        "op": int(isa.VectorOp.MUL), "imm1": -x.grid.zero_point, "mult1": mult1,
        "imm2": -other.grid.zero_point, "dst_dtype": int(dtype_of(y)),
    }
    emit_pointwise(low, op.name, *broadcast(low, [x, other], y), fields)


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    """Real products, broadcast."""
    return [inputs[0] * (op.attrs["gain"] if "gain" in op.attrs else inputs[1])]


def cases() -> Sequence[Case]:
    random = np.random.default_rng(5)
    shape = (1, 20, 5, 6)
    return [
        Case("same", {"a": shape, "b": shape}),
        Case("unsigned", {"a": shape, "b": shape}, unsigned=True),
        Case("excite", {"a": shape, "b": (1, 20, 1, 1)}),
        Case("lanes", {"a": (5, 70), "b": (5, 1)}),
        Case("wide", {"a": (1, 9, 40), "b": (1, 9, 40)}, input_dtype="int16",
             output_dtype="int16"),
        Case("wide_lanes", {"a": (1, 12, 9, 10), "b": (1, 1, 9, 1)}, input_dtype="int16",
             output_dtype="int16"),
        Case("gain", {"a": shape}, constants={"b": np.array(-1.7, np.float32)}),
        Case("gains", {"a": shape},
             constants={"b": random.normal(size=(1, 20, 1, 1)).astype(np.float32)}),
        Case("row_gains", {"a": (5, 18)},
             constants={"b": random.normal(size=(5, 1)).astype(np.float32)}),
    ]


CODELET = Codelet("Mul", parse, lower, reference, cases)
