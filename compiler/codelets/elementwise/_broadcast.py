"""Operands of elementwise operators: constants as stored tensors, broadcasting over the view."""

from __future__ import annotations

import dataclasses

import numpy as np

from jacquard.compiler.codelets.base import Activation, Node, Operand, QuantizedConstant
from jacquard.compiler.graph.ir import Grid, QTensor
from jacquard.compiler.tile import pointwise
from jacquard.compiler.tile.lowering import Lowering, dtype_of
from jacquard.proto.lib.errors import UserError


def operand_tensor(node: Node, operand: Operand, shape: tuple[int, ...]) -> QTensor:
    """An operand as a tensor: activations are, quantized constants become one with data."""
    if isinstance(operand, Activation):
        return operand.tensor
    assert isinstance(operand, QuantizedConstant)
    if operand.scale.ndim or operand.zero.ndim:
        raise UserError(
            f"{node.place}: a constant operand must have one scale and zero point, got "
            f"{operand.scale.size}; quantize it per tensor"
        )
    if operand.q.dtype.itemsize > 2:
        raise UserError(
            f"{node.place}: a constant operand must have 8 or 16 bits, got {operand.q.dtype}; "
            "requantize it"
        )
    del shape
    grid = Grid(float(operand.scale), int(operand.zero), str(operand.q.dtype))
    return QTensor(operand.name, tuple(operand.q.shape), grid, operand.q)


def broadcast_operand(low: Lowering, tensor: QTensor, out: QTensor) -> pointwise.Operand:
    """The operand of a pointwise layer; lanes and ranks are broadcast here, positions there.

    A constant is expanded where its channels are 1 or its rank differs. UserError for activations
    that would need it.
    """
    shape = (1,) * (len(out.shape) - len(tensor.shape)) + tensor.shape
    ready = dataclasses.replace(tensor, shape=shape, features_last=out.features_last)
    view, wanted = ready.view, out.view
    fits = view.channels == wanted.channels and all(
        n in (1, m)
        for n, m in ((view.height, wanted.height), (view.width, wanted.width))
    )
    # Several dimensions share `width` below rank 4: only all of them or none may be broadcast.
    if not out.image:
        fits = fits and (view.width == 1 or shape[:-1] == out.shape[:-1])
    if tensor.data is not None:
        data = tensor.data.reshape(shape)
        if not fits:
            channels_only = out.image and shape[2:] == (1, 1)
            target = (1, out.shape[1], 1, 1) if channels_only else out.shape
            data = np.broadcast_to(data, target)
        data = np.ascontiguousarray(data)
        full = dataclasses.replace(ready, shape=tuple(data.shape), data=data)
        return pointwise.Operand(low.constant_tensor(data, full), dtype_of(tensor))
    if not fits:
        raise UserError(
            f"tensor {tensor.name}: an activation must have the result's channels to be broadcast, "
            f"got {tensor.shape} against {out.shape}; expand it in the model"
        )
    place = low.stored(tensor.name)
    if ready.view != tensor.view:
        raise UserError(
            f"tensor {tensor.name}: an activation must have the result's rank to be broadcast, got "
            f"{tensor.shape} against {out.shape}; reshape it in the model"
        )
    return pointwise.Operand(place, dtype_of(tensor))
