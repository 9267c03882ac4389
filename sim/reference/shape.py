"""Operators that move elements: Concat, Split, Slice, Pad, Transpose, Reshape and the like.

Integers move with their scales; an operand with several scales (Concat) is rounded once, at the
next QuantizeLinear.
"""

import math
import operator
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import quantize_constant
from jacquard.sim.reference.node import Node, axes_of
from jacquard.sim.reference.value import (
    AnyArray,
    Operand,
    Term,
    Value,
    move,
    real_constant,
    single,
)


def _first(inputs: Sequence[Operand | None]) -> Operand:
    assert inputs[0] is not None
    return inputs[0]


def _argument(inputs: Sequence[Operand | None], index: int) -> AnyArray | None:
    operand = inputs[index] if index < len(inputs) else None
    assert operand is None or isinstance(operand, np.ndarray)
    return operand


def concat(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """Along `axis`; scales are concatenated with the integers where they differ."""
    operands = [operand for operand in inputs if operand is not None]
    axis = int(node.attributes["axis"])
    if not any(isinstance(operand, Value) for operand in operands):
        return [np.concatenate([np.asarray(operand) for operand in operands], axis=axis)]
    terms = [single(operand, node.place) for operand in operands]
    q = np.concatenate([term.q for term in terms], axis=axis)

    def joined(arrays: list[AnyArray]) -> AnyArray:
        if all(array.ndim == 0 and array == arrays[0] for array in arrays):
            return arrays[0]
        full = [np.broadcast_to(a, term.q.shape) for a, term in zip(arrays, terms, strict=True)]
        whole = np.concatenate(full, axis=axis)
        return whole

    scale = joined([term.scale for term in terms]).astype(np.float64)
    divisor = joined([term.divisor for term in terms]).astype(np.float64)
    return [Value((Term(q, scale, divisor),))]


def split(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """Sizes from the attribute, the input, or equal parts (the last one smaller)."""
    operand = _first(inputs)
    axis = int(node.get("axis", 0)) % len(operand.shape)
    given = _argument(inputs, 1)
    sizes = node.ints("split", ()) if given is None else tuple(int(x) for x in given)
    if not sizes:
        parts = int(node.get("num_outputs", len(node.outputs)))
        length = -(-operand.shape[axis] // parts)
        sizes = tuple(
            min(length, operand.shape[axis] - length * i) for i in range(parts)
        )
    if sum(sizes) != operand.shape[axis]:
        raise UserError(
            f"{node.place}: sizes must add up to {operand.shape[axis]}, got {sizes}; "
            "correct the model"
        )
    results = []
    start = 0
    for size in sizes:
        index = (slice(None),) * axis + (slice(start, start + size),)
        results.append(move(operand, operator.itemgetter(index)))
        start += size
    return results


def slice_(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """starts, ends, axes, steps as inputs, or (opset 9) as attributes."""
    operand = _first(inputs)
    rank = len(operand.shape)
    if "starts" in node.attributes:
        starts, ends = node.ints("starts", ()), node.ints("ends", ())
        axes = node.ints("axes", tuple(range(len(starts))))
        steps: tuple[int, ...] = (1,) * len(starts)
    else:
        given = [_argument(inputs, index) for index in range(1, 5)]
        assert given[0] is not None and given[1] is not None
        starts, ends = tuple(map(int, given[0])), tuple(map(int, given[1]))
        axes = tuple(range(len(starts))) if given[2] is None else tuple(map(int, given[2]))
        steps = (1,) * len(starts) if given[3] is None else tuple(map(int, given[3]))
    index = [slice(None)] * rank
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = operand.shape[axis]
        if step < 0:  # a stop before the first element has no number of its own in Python
            stop = None if end < -size else end
            index[axis] = slice(start, stop, step)
        else:
            index[axis] = slice(start, end, step)
    key = tuple(index)
    return [move(operand, lambda array: array[key])]


def pad(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """A constant is rounded onto the operand's grid; reflect, edge and wrap move elements."""
    operand = _first(inputs)
    rank = len(operand.shape)
    given = _argument(inputs, 1)
    pads = node.ints("pads", ()) if given is None else tuple(int(x) for x in given)
    axes_given = _argument(inputs, 3)
    axes = tuple(range(rank)) if axes_given is None else tuple(int(a) % rank for a in axes_given)
    widths = [(0, 0)] * rank
    for i, axis in enumerate(axes):
        widths[axis] = (pads[i], pads[i + len(axes)])
    keep = tuple(
        slice(-min(b, 0), n + min(a, 0)) for n, (b, a) in zip(operand.shape, widths, strict=True)
    )
    grow = [(max(b, 0), max(a, 0)) for b, a in widths]
    mode = node.get("mode", "constant")
    if mode != "constant":
        return [move(operand, lambda array: np.pad(array[keep], grow, mode=mode))]
    fill = inputs[2] if len(inputs) > 2 else None
    constant = float(node.get("value", 0.0)) if fill is None else real_constant(fill).item()
    if isinstance(operand, np.ndarray):
        return [np.pad(operand[keep], grow, constant_values=constant)]
    term = single(operand, node.place)
    step = term.scale / term.divisor
    if constant != 0 and step.ndim:
        raise UserError(
            f"{node.place}: a constant other than 0 needs an operand with one scale, got scales "
            f"of shape {step.shape}; quantize the operand first"
        )
    steps = int(quantize_constant(constant, step)) if constant != 0 else 0
    q = np.pad(term.q[keep], grow, constant_values=steps)

    def grown(array: AnyArray) -> AnyArray:
        if array.ndim == 0:
            return array
        return np.pad(np.broadcast_to(array, term.q.shape)[keep], grow, mode="edge")

    return [Value((Term(q, grown(term.scale), grown(term.divisor)),))]


def transpose(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    operand = _first(inputs)
    order = node.ints("perm", tuple(reversed(range(len(operand.shape)))))
    return [move(operand, lambda array: array.transpose(order))]


def reshape(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """0 copies a dimension (unless allowzero), -1 is inferred."""
    operand = _first(inputs)
    given = _argument(inputs, 1)
    wanted = list(node.ints("shape", ()) if given is None else (int(x) for x in given))
    if not node.get("allowzero", 0):
        wanted = [operand.shape[i] if n == 0 else n for i, n in enumerate(wanted)]
    return [move(operand, lambda array: array.reshape(wanted))]


def flatten(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    operand = _first(inputs)
    rank = len(operand.shape)
    axis = int(node.get("axis", 1))
    axis = axis + rank if axis < 0 else axis
    shape = (math.prod(operand.shape[:axis]), math.prod(operand.shape[axis:]))
    return [move(operand, lambda array: array.reshape(shape))]


def squeeze(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    operand = _first(inputs)
    axes = axes_of(node, _argument(inputs, 1), len(operand.shape))
    if axes is None:
        axes = tuple(i for i, n in enumerate(operand.shape) if n == 1)
    drop = axes
    return [move(operand, lambda array: array.squeeze(drop))]


def unsqueeze(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    operand = _first(inputs)
    given = _argument(inputs, 1)
    count = len(node.ints("axes", ())) if given is None else np.asarray(given).size
    axes = axes_of(node, given, len(operand.shape) + count)
    assert axes is not None
    return [move(operand, lambda array: np.expand_dims(array, axes))]


_NEAREST: dict[str, Callable[[AnyArray], AnyArray]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def _source_rows(mode: str, size: int, output: int, scale: float) -> AnyArray:
    """Where each output element looks in the input, as ONNX's Resize defines it: float64."""
    x = np.arange(output, dtype=np.float64)
    if mode == "asymmetric":
        return x / scale
    if mode == "align_corners":
        return x * (size - 1) / (output - 1) if output > 1 else np.zeros(1)
    if mode == "pytorch_half_pixel" and output == 1:
        return np.zeros(1)
    if mode == "half_pixel_symmetric":
        adjustment = output / (scale * size)
        return size / 2 * (1 - adjustment) + (x + 0.5) / scale - 0.5
    return (x + 0.5) / scale - 0.5


def resize(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """Nearest neighbour only; inputs X, roi, scales, sizes."""
    operand = _first(inputs)
    rank = len(operand.shape)
    mode = node.get("coordinate_transformation_mode", "half_pixel")
    known = ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric", "asymmetric",
             "align_corners")
    if node.get("mode", "nearest") != "nearest" or mode not in known:
        raise UserError(
            f"{node.place}: mode must be nearest with one of {', '.join(known)}, got "
            f"{node.get('mode', 'nearest')} with {mode}; run this node on the host"
        )
    if node.opset < 11:  # opset 10: X, scales; always asymmetric with floor
        inputs, mode = [inputs[0], None, inputs[1]], "asymmetric"
    scales, sizes = _argument(inputs, 2), _argument(inputs, 3)
    axes = node.ints("axes", tuple(range(rank)))
    policy = node.get("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        raise UserError(f"{node.place}: keep_aspect_ratio_policy must be stretch, got {policy}; "
                        "give the output sizes instead")
    default = "floor" if node.opset < 11 else "round_prefer_floor"
    nearest = _NEAREST[node.get("nearest_mode", default)]
    result = operand
    for i, axis in enumerate(axes):
        size = operand.shape[axis]
        if sizes is not None and sizes.size:
            output = int(sizes[i])
            scale = output / size
        else:
            assert scales is not None
            scale = float(scales[i])
            output = math.floor(size * scale)
        if output == size and scale == 1.0:
            continue
        rows = nearest(_source_rows(mode, size, output, scale))
        index = np.clip(rows, 0, size - 1).astype(np.int64)
        result = move(result, partial(np.take, indices=index, axis=axis))
    return [result]
