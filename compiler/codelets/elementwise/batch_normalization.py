"""BatchNormalization in inference mode: a gain per channel and an offset, rounded once.

Gains are PARAM multipliers, offsets an int32 operand in steps of 2**-16 output LSB.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets.base import Array, Case, Codelet, Node, Parsed
from jacquard.compiler.codelets.elementwise._broadcast import broadcast, integer_constant
from jacquard.compiler.codelets.elementwise._scaling import factors_to_multipliers, output_fields
from jacquard.compiler.graph.ir import Op
from jacquard.compiler.tile.lowering import Lowering, dtype_of
from jacquard.compiler.tile.pointwise import emit_pointwise
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import (
    OFFSET_STEP,
    batch_norm_affine,
    quantize_offset,
    requantization_scale,
)


def parse(node: Node) -> Parsed:
    x = node.activation(0)
    if node.get("training_mode", 0):
        raise UserError(
            f"{node.place}: must be in inference mode, got training_mode 1; export with eval()"
        )
    if len(x.shape) not in (2, 4):
        raise UserError(
            f"{node.place}: must have 2 or 4 dimensions, got {x.shape}; reshape the model"
        )
    constants = [node.constant(i) for i in range(1, 5)]
    if any(c is None for c in constants):
        raise UserError(f"{node.place}: must have five inputs; correct the model")
    gamma, beta, mean, variance = (np.asarray(c) for c in constants)
    epsilon = float(node.get("epsilon", 1e-5))
    gain, offset = batch_norm_affine(gamma, beta, mean, variance, epsilon)
    return Parsed((x,), {"gain": gain, "offset": offset}, (x.shape,))


def lower(op: Op, low: Lowering) -> None:
    low.begin_layer(op, macs=0)
    x, y = low.tensor(op.inputs[0]), low.tensor(op.outputs[0])
    gain = op.attrs["gain"]
    scale = np.asarray(np.float64(x.grid.scale) * np.abs(gain))
    factors = np.asarray(requantization_scale([scale], y.grid.scale)).reshape(-1).tolist()
    mult, shift = factors_to_multipliers(op, [*factors, OFFSET_STEP])
    signed = np.array(mult[:-1], np.int64) * np.sign(gain).astype(np.int64)
    steps = quantize_offset(op.attrs["offset"], y.grid.scale)
    shape = (1, -1) + (1,) * (len(y.shape) - 2)
    offset = integer_constant(f"{op.name}.offset", steps.reshape(shape))
    params = low.load_params(np.zeros(gain.size, np.int64), signed.astype(np.int32))
    fields = output_fields(op, y.grid, shift) | {
        "op": int(isa.VectorOp.SADD), "scale": int(isa.ScaleMode.PER_LANE),
        "imm1": -x.grid.zero_point, "mult2": mult[-1], "dst_dtype": int(dtype_of(y)),
    }
    emit_pointwise(low, op.name, *broadcast(low, [x, offset], y), fields, params)


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    """x [N, C, ...]."""
    shape = (1, -1) + (1,) * (inputs[0].ndim - 2)
    return [inputs[0] * op.attrs["gain"].reshape(shape) + op.attrs["offset"].reshape(shape)]


def cases() -> Sequence[Case]:
    random = np.random.default_rng(6)

    def constants(channels: int) -> dict[str, np.ndarray]:
        parts = {name: random.normal(size=channels).astype(np.float32)
                 for name in ("gamma", "beta", "mean")}
        return {**parts, "var": random.uniform(0.3, 2.0, channels).astype(np.float32)}

    return [
        Case("image", {"x": (1, 20, 5, 6)}, constants=constants(20)),
        Case("matrix", {"x": (3, 21)}, constants=constants(21), unsigned=True, relu=True),
    ]


CODELET = Codelet("BatchNormalization", parse, lower, reference, cases, view="image")
