"""Operands of elementwise operators: constants as stored tensors, broadcasting over the view."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets.base import Activation, Constant, Node, Operand, QuantizedConstant
from jacquard.compiler.graph.ir import Grid, QTensor
from jacquard.compiler.tile import pointwise
from jacquard.compiler.tile.lowering import Lowering, Stored, dtype_of
from jacquard.proto.lib.errors import UserError


def result_shape(node: Node, *operands: Operand) -> tuple[int, ...]:
    """What the operands broadcast to. UserError if they do not."""
    shapes = []
    for operand in operands:
        if isinstance(operand, Activation):
            shapes.append(operand.tensor.shape)
        elif isinstance(operand, QuantizedConstant):
            shapes.append(operand.q.shape)
        elif isinstance(operand, Constant):
            shapes.append(operand.value.shape)
        else:
            raise UserError(f"{node.place}: must have all its operands; correct the model")
    try:
        return tuple(int(n) for n in np.broadcast_shapes(*shapes))
    except ValueError:
        raise UserError(
            f"{node.place}: shapes must broadcast, got {' and '.join(map(str, shapes))}; "
            "correct the model"
        ) from None


def operand_tensor(node: Node, operand: Operand) -> QTensor:
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
    grid = Grid(float(operand.scale), int(operand.zero), str(operand.q.dtype))
    return QTensor(operand.name, tuple(operand.q.shape), grid, operand.q)


def integer_constant(name: str, values: np.ndarray) -> QTensor:
    """Integers of the compiler's own as an operand, int32."""
    return QTensor(name, values.shape, Grid(1.0, 0, "int32"), values.astype(np.int32))


def broadcast(
    low: Lowering, tensors: Sequence[QTensor], out: QTensor
) -> tuple[list[pointwise.Operand], Stored]:
    """The operands of a pointwise layer and its output, all as rows x columns x channels.

    Of tensors whose features are last the dimensions in front may be broadcast in any way that two
    groups of adjoining ones describe. Constants are expanded where that is not enough. UserError
    for activations that would need it.
    """
    place = low.stored(out.name)
    if out.image:
        return [_image(low, tensor, out) for tensor in tensors], place
    target = out.shape or (1,)  # a number is a row of one
    lead = target[:-1]
    shapes = [_padded(tensor.shape, target) for tensor in tensors]
    # Splits that all activations fit, those with the fewest constants to expand first.
    fitting = []
    for split in range(len(lead) + 1):
        misfits = [t for t, s in zip(tensors, shapes, strict=True) if not _splits(s, lead, split)]
        if all(tensor.data is not None for tensor in misfits):
            fitting.append((len(misfits), split))
    if not fitting:
        raise UserError(
            f"tensor {out.name}: its operands must be broadcast along adjoining dimensions, got "
            f"{' and '.join(str(t.shape) for t in tensors)}; expand one of them in the model"
        )
    _, split = min(fitting)
    found = []
    for tensor, shape in zip(tensors, shapes, strict=True):
        if tensor.data is not None and not _splits(shape, lead, split):
            shape = (*lead, shape[-1])
        found.append(_rows(low, tensor, shape, split, out))
    return found, _grouped(place, lead, split)


def _padded(shape: tuple[int, ...], target: tuple[int, ...]) -> tuple[int, ...]:
    return (1,) * (len(target) - len(shape)) + shape


def _splits(shape: tuple[int, ...], lead: tuple[int, ...], split: int) -> bool:
    """Whether a shape has each of two groups of the leading dimensions whole or not at all."""
    groups = ((shape[:split], lead[:split]), (shape[split:-1], lead[split:]))
    return all(math.prod(part) in (1, math.prod(whole)) for part, whole in groups)


def _grouped(place: Stored, lead: tuple[int, ...], split: int) -> Stored:
    """A dense row of positions as `split` dimensions of rows and the others of columns."""
    height, width = math.prod(lead[:split]), math.prod(lead[split:])
    row = width * place.position_bytes
    return dataclasses.replace(place, height=height, width=width, row_bytes=row)


def _rows(
    low: Lowering, tensor: QTensor, shape: tuple[int, ...], split: int, out: QTensor
) -> pointwise.Operand:
    """An operand of features last; shape: of the output's rank, constants expanded to it."""
    features = (out.shape or (1,))[-1]
    across = shape[-1] == 1 and features > 1
    if tensor.data is None:
        place = low.stored(tensor.name)
        return pointwise.Operand(_grouped(place, shape[:-1], split), dtype_of(tensor), across)
    channels = min(low.arch.rows, features) if across else shape[-1]
    full = (*shape[:-1], channels)
    place = _constant(low, tensor, full, features_last=True)
    return pointwise.Operand(_grouped(place, shape[:-1], split), dtype_of(tensor))


def _image(low: Lowering, tensor: QTensor, out: QTensor) -> pointwise.Operand:
    shape, wanted = _padded(tensor.shape, out.shape), out.view
    across = shape[:2] == (1, 1) and wanted.channels > 1
    fits = across or shape[:2] == out.shape[:2]
    if tensor.data is not None:
        lanes = (1, min(low.arch.rows, wanted.channels)) if across else out.shape[:2]
        return pointwise.Operand(_constant(low, tensor, (*lanes, *shape[2:]), False),
                                 dtype_of(tensor))
    same_bytes = tensor.image or (math.prod(shape) == 1)
    if not (fits and same_bytes):
        raise UserError(
            f"tensor {tensor.name}: an activation must have the result's channels, or one for all, "
            f"to be broadcast, got {tensor.shape} against {out.shape}; expand or reshape it in the "
            "model"
        )
    return pointwise.Operand(low.stored(tensor.name), dtype_of(tensor), across)


def _constant(
    low: Lowering, tensor: QTensor, shape: tuple[int, ...], features_last: bool
) -> Stored:
    """A constant broadcast to a shape and packed."""
    assert tensor.data is not None
    data = np.ascontiguousarray(np.broadcast_to(tensor.data, shape))
    full = dataclasses.replace(tensor, shape=shape, data=data, features_last=features_last)
    return low.constant_tensor(data, full)
