"""What Conv, Gemm and MatMul share: integer weights, biases, requantization, what is fused."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jacquard.compiler.codelets.base import Array, Constant, Node, QuantizedConstant, bounds
from jacquard.compiler.codelets.elementwise._scaling import rescale
from jacquard.compiler.graph.ir import Op, QTensor
from jacquard.compiler.tile.contraction import emit
from jacquard.compiler.tile.kept_operand import KeptOperand
from jacquard.compiler.tile.lowering import Lowering, Packed, Stored, dtype_of
from jacquard.compiler.tile.operand import (
    ActivationOperand,
    BlockedOperand,
    ConstantWeights,
    PackedOperand,
    Window,
    check_width,
    pack_weights,
)
from jacquard.compiler.tile.plan import choose
from jacquard.compiler.tile.pooled import Pool
from jacquard.compiler.tile.problem import Contraction, Requant, Residual
from jacquard.compiler.tile.tiling import Shape
from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import (
    quantize_constant,
    quantize_multipliers,
    requantization_scale,
)

# A bias whose scale differs from sx * sw by no more than this is on the accumulator's grid already.
SAME_SCALE = 2.0**-20


@dataclasses.dataclass(frozen=True)
class Weights:
    """Constant weights.

    Attributes:
      q: [M, C / groups, ky, kx].
      scale: float64, 0-d or [M].
      zero: of all weights.
      bias: int64[M], in steps of the accumulator.
      bias_real: float64[M], the same in real numbers, gains left out.
      gains: positive factors of the sum, in the order of the model.
    """

    q: Array
    scale: Array
    zero: int
    bias: Array
    bias_real: Array
    gains: tuple[float, ...] = ()

    @property
    def real(self) -> Array:
        """float64, the shape of q."""
        scale = np.broadcast_to(self.scale.reshape(-1), (self.q.shape[0],))
        return np.asarray((self.q.astype(np.float64) - self.zero) * scale.reshape(-1, 1, 1, 1))

    def step(self, scale: float) -> Array:
        """What an accumulator's step is worth for inputs of that scale: float64, 0-d or [M]."""
        return scaled(np.asarray(np.float64(scale) * self.scale), self.gains)


def scaled(step: Array, gains: Sequence[float]) -> Array:
    """A step under the factors behind it, one after another as the reference multiplies them."""
    for gain in gains:
        step = np.asarray(step * gain)
    return step


def constant_weights(node: Node, index: int, axis: int) -> tuple[Array, Array, int]:
    """(q, scale float64 0-d or [n] along `axis`, zero point) of operand `index`."""
    operand = node.operand(index)
    if not isinstance(operand, QuantizedConstant):
        raise UserError(
            f"{node.place}: weights must be int8 or uint8 constants behind a DequantizeLinear, got "
            f"{'floats' if isinstance(operand, Constant) else 'an activation'}; quantize them"
        )
    if operand.q.dtype not in (np.int8, np.uint8):
        raise UserError(
            f"{node.place}: weights must be int8 or uint8, got {operand.q.dtype}; requantize them"
        )
    zeros = np.unique(operand.zero)
    if zeros.size != 1:
        raise UserError(
            f"{node.place}: weights must have one zero point, got {zeros.size}; "
            "quantize them symmetrically"
        )
    scale = operand.scale
    if scale.ndim:
        others = [n for i, n in enumerate(scale.shape) if i != axis % scale.ndim]
        if any(n != 1 for n in others):
            raise UserError(
                f"{node.place}: weights must be quantized per tensor or along axis {axis}, got "
                f"scales of shape {scale.shape}; requantize them"
            )
        scale = scale.reshape(-1)
    return operand.q, scale, int(zeros[0])


def entry_steps(b: QTensor) -> Array:
    """The scales of a product's right operand: float64, 0-d or one for each entry of its batch."""
    if not b.grid.scales:
        return b.steps
    return np.asarray(np.broadcast_to(b.steps, b.shape)[..., 0, 0].reshape(-1))


def bias_steps(node: Node, index: int, step: Array, count: int) -> Array:
    """The bias in accumulator steps (sx * sw), int64[count]; zeros where absent."""
    operand = node.operand(index)
    if operand is None:
        return np.zeros(count, np.int64)
    if isinstance(operand, QuantizedConstant):
        scale = operand.scale.reshape(-1)
        if (np.abs(scale - step) <= SAME_SCALE * step).all():
            q = operand.q.astype(np.int64) - operand.zero
            return np.broadcast_to(q.reshape(-1), (count,))
    real = node.constant(index)
    assert real is not None
    return np.broadcast_to(quantize_constant(real, step).reshape(-1), (count,))


def requant(op: Op, x: QTensor, y: QTensor, weights: Weights) -> Requant:
    """The way from accumulators to the output's grid, clamp included."""
    return requant_steps(op, weights.step(x.grid.scale), y, weights.bias)


def requant_steps(op: Op, step: Array, y: QTensor, bias: Array) -> Requant:
    """The same for accumulators in steps of `step` (0-d or per channel)."""
    factors = requantization_scale([step], y.steps.reshape(-1) if y.grid.scales else y.steps)
    try:
        mult, shift = quantize_multipliers(np.asarray(factors).reshape(-1))
    except UserError as error:
        raise UserError(f"node {op.name} ({op.kind}): {line}" for line in error.lines) from error
    lo, hi = bounds(op, y.grid)
    channels = y.view.channels
    return Requant(np.broadcast_to(bias, (channels,)), np.broadcast_to(mult, (channels,)), shift,
                   y.grid.zero_point, lo, hi, dtype_of(y))


def lower_constant(
    op: Op, low: Lowering, weights: Weights, window: Window, groups: int
) -> None:
    """Emits a convolution (or product) with constant weights, and the Add that is fused to it."""
    x, y = low.tensor(op.inputs[0]), low.tensor(op.outputs[0])
    own = op.attrs.get("own_output", y)  # what the convolution itself is quantized to
    place, out = low.places[op.inputs[0]], low.stored(op.outputs[0])
    one_row = out.height == 1 and window.pointwise and isinstance(place, Stored)
    if not one_row:
        low.need(op.inputs[0])
    pool = _pool(op, own, y, out)
    if pool is not None:
        out = low.place_blocked(out.arg, 0, own)  # its shape only: it stays on chip
    q = weights.q
    residual = _residual(op, low, y)
    if isinstance(place, Packed):
        packed = _packed(low, op, place, window, out, pool)
        activation: ActivationOperand = packed
        q = packed.weights(q)
    else:
        if "window_view" in op.attrs:  # a Flatten was folded in: the features are an image again
            place = place_image(place, op.attrs["window_view"])
        flat = place.dense and (out.dense or out.step) and not low.residents.margin(x.name, y.name)
        if window.pointwise and flat and pool is None:
            place, out = place.flat(), out.flat()
            if residual is not None:
                residual = dataclasses.replace(residual, place=residual.place.flat())
        activation = BlockedOperand(place, window, x.grid.zero_point)
        kept = None if "window_view" in op.attrs else low.residents.find(x.name)
        if kept is not None:
            activation = KeptOperand(place, window, x.grid.zero_point, kept)
    arch = low.arch
    check_width(op.name, q, arch.weight_bits)
    raw, spans, starts = pack_weights(
        q, groups, weights.zero, arch.rows, arch.cols, arch.weight_bits
    )
    passes = sum(end - first for first, end in spans) * activation.taps_y * activation.taps_x
    low.begin_layer(
        op, macs=int(np.prod(weights.q.shape)) * out.height * out.width,
        array_cycles=low.array_cycles(passes, out.height * out.width),
        constant_bytes=len(raw) + out.tiles * arch.param_row_bytes,
    )
    operand = ConstantWeights(
        low.weights(raw), spans, starts, arch.rows * arch.wbuf_row_bytes, activation.taps_y,
        activation.taps_x,
    )
    inner = dataclasses.replace(op, lo=op.attrs.get("own_lo", op.lo),
                                hi=op.attrs.get("own_hi", op.hi))
    way = requant(inner, x, own, weights)
    if "lookup" in op.attrs:
        way = dataclasses.replace(way, lookup=op.attrs["lookup"], lookup_dtype=dtype_of(y))
    emit(
        low,
        Contraction(
            op.name, activation, operand, out, x.grid.zero_point, x.grid.dtype == "uint8",
            weights.zero, weights.q.dtype == np.uint8, way, residual, pool,
            op.inputs[0] if one_row else "", results=op.outputs if one_row else (),
            keep=y.name if low.residents.wanted(y.name) else "",
        ),
    )


def place_image(place: Stored, shape: tuple[int, int, int]) -> Stored:
    """The same bytes under another (channels, height, width)."""
    channels, height, width = shape
    row = width * place.position_bytes
    return dataclasses.replace(place, channels=channels, height=height, width=width, row_bytes=row,
                               plane_bytes=row * height)


def _packed(
    low: Lowering, op: Op, place: Packed, window: Window, out: Stored, pool: Pool | None
) -> PackedOperand:
    """The cheaper form: one kernel row per group of IBUF rows, or all of them.

    All of them waste fewer array rows, but load every input row once per kernel row.
    """
    forms = [PackedOperand(place, window, low.arch.rows, whole) for whole in (False, True)]

    def cycles(form: PackedOperand) -> float:
        spans = ((0, form.tiles),) * out.tiles
        shape = Shape(out.height, out.width, out.tiles, spans, pool=pool)
        try:
            return choose(low.arch, op.name, form, shape, low.overrides.get(op.name)).cycles
        except UserError:
            return float("inf")

    return min(forms, key=cycles)


def _pool(op: Op, own: QTensor, y: QTensor, out: Stored) -> Pool | None:
    """The fused max pool (passes/fuse.py puts it into the attributes)."""
    if "pool_window" not in op.attrs:
        return None
    fields, mult = rescale(op, own.grid, y.grid)
    fields |= {"mult1": mult, "dst_dtype": int(dtype_of(y))}
    return Pool(op.attrs["pool_window"], own.view.width, out, own.grid.lo, fields)


def _residual(op: Op, low: Lowering, y: QTensor) -> Residual | None:
    """The fused Add's second operand (passes/fuse.py puts it into the attributes)."""
    attrs: Mapping[str, Any] = op.attrs
    if "residual_scales" not in attrs:
        return None
    other = low.tensor(op.inputs[1])
    mult, shift = quantize_multipliers(attrs["residual_scales"])
    lo, hi = bounds(op, y.grid)
    return Residual(low.stored(op.inputs[1]), dtype_of(other), other.grid.zero_point, int(mult[0]),
                    int(mult[1]), shift, y.grid.zero_point, lo, hi, dtype_of(y))
