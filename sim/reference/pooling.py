"""Pooling and means: integer sums with a divisor, integer maxima. Nothing is rounded here."""

from collections.abc import Callable

import numpy as np

from jacquard.proto.lib.errors import UserError
from jacquard.sim.reference.node import Node, axes_of
from jacquard.sim.reference.value import (
    AnyArray,
    Operand,
    Term,
    Value,
    single,
    uniform_over,
)
from jacquard.sim.reference.windows import window_of

LOWEST = int(np.iinfo(np.int64).min)


def _pooled(node: Node, operand: Operand | None, axes: tuple[int, ...] | None) -> Term:
    """The operand as one term whose scale and divisor are the same over the pooled axes."""
    assert operand is not None
    term = single(operand, node.place)
    over = tuple(range(2, term.q.ndim)) if axes is None else axes
    if not uniform_over(term.scale, over) or not uniform_over(term.divisor, over):
        raise UserError(
            f"{node.place}: scales must not vary over the pooled axes {over}, got shapes "
            f"{term.scale.shape} and {term.divisor.shape}; quantize the operand per tensor"
        )
    return term


def max_pool(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """[N, C, spatial...]; padding never wins."""
    if len(node.outputs) > 1:
        raise UserError(f"{node.place}: must have one output, got Indices too; drop it")
    term = _pooled(node, inputs[0], None)
    window = window_of(node, term.q.shape)
    best = window.columns(term.q, fill=LOWEST).max(axis=2)
    q = best.reshape(*term.q.shape[:2], *window.output)
    return [Value((Term(q, term.scale, term.divisor),))]


def average_pool(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """[N, C, spatial...]; each output divides by the elements that count for it."""
    term = _pooled(node, inputs[0], None)
    window = window_of(node, term.q.shape)
    total = window.columns(term.q, fill=0).sum(axis=2)
    counts = window.counts(bool(node.get("count_include_pad", 0)))
    divisor = counts.astype(np.float64)
    if (counts == counts.flat[0]).all():
        divisor = np.asarray(divisor.flat[0])
    else:
        divisor = divisor.reshape(1, 1, *window.output)
    q = total.reshape(*term.q.shape[:2], *window.output)
    return [Value((Term(q, term.scale, np.asarray(term.divisor * divisor)),))]


def reduce_mean(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """The mean over `axes` (all where absent)."""
    operand = inputs[0]
    assert operand is not None
    rank = len(operand.shape)
    axes = axes_of(node, inputs[1] if len(inputs) > 1 else None, rank)
    if axes is None or not axes:
        if node.get("noop_with_empty_axes", 0):
            return [operand]
        axes = tuple(range(rank))
    return [_mean(node, operand, axes, bool(node.get("keepdims", 1)))]


def global_average_pool(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """[N, C, spatial...] -> [N, C, 1...]."""
    operand = inputs[0]
    assert operand is not None
    return [_mean(node, operand, tuple(range(2, len(operand.shape))), keepdims=True)]


def _mean(node: Node, operand: Operand, axes: tuple[int, ...], keepdims: bool) -> Value:
    count = float(np.prod([operand.shape[axis] for axis in axes]))
    return _reduced(node, operand, axes, keepdims, np.sum, count)


def reduce(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """ReduceSum, ReduceMax, ReduceMin over `axes` (all where absent), in the same scale."""
    functions: dict[str, Callable[..., AnyArray]] = {
        "ReduceSum": np.sum, "ReduceMax": np.max, "ReduceMin": np.min,
    }
    operand = inputs[0]
    assert operand is not None
    rank = len(operand.shape)
    axes = axes_of(node, inputs[1] if len(inputs) > 1 else None, rank)
    if not axes:
        if node.get("noop_with_empty_axes", 0):
            return [operand]
        axes = tuple(range(rank))
    keepdims, function = bool(node.get("keepdims", 1)), functions[node.op]
    if isinstance(operand, np.ndarray):
        return [np.asarray(function(operand, axis=axes, keepdims=keepdims))]
    return [_reduced(node, operand, axes, keepdims, function)]


def _reduced(
    node: Node,
    operand: Operand,
    axes: tuple[int, ...],
    keepdims: bool,
    function: Callable[..., AnyArray],
    count: float = 1.0,
) -> Value:
    term = _pooled(node, operand, axes)
    scale, divisor = term.scale, np.asarray(term.divisor * count)
    if not keepdims:
        scale = scale if scale.ndim == 0 else scale.squeeze(axes)
        divisor = divisor if divisor.ndim == 0 else divisor.squeeze(axes)
    return Value((Term(function(term.q, axis=axes, keepdims=keepdims), scale, divisor),))
