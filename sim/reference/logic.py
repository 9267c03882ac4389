"""Masks, indices and choices: comparisons, Where, Min and Max, Gather, Cast, Expand, constants.

Integers and booleans are plain arrays here; what the graph computes on them is exact.
"""

import operator
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx

from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import Int64Array, quantize_constant
from jacquard.proto.lib.masks import LEAST_MASK
from jacquard.sim.reference.node import Node
from jacquard.sim.reference.pending import Pending, Target
from jacquard.sim.reference.quantization import rounded
from jacquard.sim.reference.value import (
    AnyArray,
    Operand,
    Term,
    Value,
    move,
    real_constant,
    single,
)

Binary = Callable[[AnyArray, AnyArray], AnyArray]


def _plain(node: Node, operand: Operand | None) -> AnyArray:
    """An operand that holds numbers of its own, not a quantized tensor."""
    if operand is None or isinstance(operand, (Value, Pending)):
        raise UserError(
            f"{node.place}: its operand must be integers or booleans, got a quantized tensor; "
            "run this node on the host"
        )
    return operand


_COMPARISONS: dict[str, Binary] = {
    "Equal": operator.eq,
    "Greater": operator.gt,
    "GreaterOrEqual": operator.ge,
    "Less": operator.lt,
    "LessOrEqual": operator.le,
}


def compare(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """Booleans. Quantized operands: integers of one scale, or against a constant."""
    test = _COMPARISONS[node.op]
    a, b = inputs
    if not isinstance(a, (Value, Pending)) and not isinstance(b, (Value, Pending)):
        return [np.asarray(test(_plain(node, a), _plain(node, b)))]
    if isinstance(a, Value) and isinstance(b, Value):
        x, y = single(a, node.place), single(b, node.place)
        if not _same_grid(x, y):
            raise UserError(
                f"{node.place}: compared tensors must have one scale, got {x.scale} and {y.scale}; "
                "quantize both with the same scale"
            )
        return [np.asarray(test(x.q, y.q))]
    sides = []
    for side in (a, b):
        if isinstance(side, (Value, Pending)):
            term = single(side, node.place)
            sides.append(term.q * term.scale / term.divisor)
        else:
            sides.append(real_constant(_plain(node, side)).astype(np.float64))
    return [np.asarray(test(*sides))]


def logical(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """And, Or, Xor, Not on booleans."""
    arrays = [_plain(node, x) for x in inputs]
    functions: dict[str, Callable[..., AnyArray]] = {
        "And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor, "Not": np.logical_not,
    }
    return [np.asarray(functions[node.op](*arrays))]


def is_nan(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """True only behind a softmax, in rows that -inf masks out whole."""
    x = inputs[0]
    assert x is not None
    if isinstance(x, Pending):
        return [np.zeros(x.shape, np.bool_) if x.nan is None else x.nan]
    return [np.zeros(x.shape, np.bool_) if isinstance(x, Value) else np.isnan(x)]


def _same_grid(a: Term, b: Term) -> bool:
    return a.scale.ndim == b.scale.ndim == 0 and bool(
        a.scale == b.scale and (a.divisor == 1).all() and (b.divisor == 1).all()
    )


def where(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """A choice element by element; a constant of at most -10^4 masks for a softmax."""
    condition = _plain(node, inputs[0]).astype(np.bool_)
    a, b = inputs[1], inputs[2]
    assert a is not None and b is not None
    if isinstance(a, Pending) or isinstance(b, Pending):
        pending, other = (a, b) if isinstance(a, Pending) else (b, a)
        chosen = condition if other is a else ~condition
        assert isinstance(pending, Pending)
        if isinstance(other, (Value, Pending)):
            raise UserError(
                f"{node.place}: next to a nonlinear operator's result must stand a constant, got a "
                "quantized tensor; quantize that operator too"
            )
        return [pending.replaced(chosen, real_constant(other).astype(np.float64))]
    if not isinstance(a, Value) and not isinstance(b, Value):
        return [np.where(condition, a, b)]
    if isinstance(a, Value) and isinstance(b, Value):
        return [_choice(condition, single(a, node.place), single(b, node.place))]
    value, constant, chosen = (a, b, ~condition) if isinstance(a, Value) else (b, a, condition)
    assert isinstance(value, Value) and not isinstance(constant, Value)
    term = single(value, node.place)
    fixed = np.asarray(constant, np.float64)
    shape = np.broadcast_shapes(term.q.shape, chosen.shape, fixed.shape)
    if (fixed <= LEAST_MASK).all():
        offset = np.where(chosen, fixed, 0.0)
        return [Value((replace(term, q=np.broadcast_to(term.q, shape)),),
                      np.broadcast_to(offset, shape))]
    steps = quantize_constant(fixed, term.scale / term.divisor)
    return [Value((replace(term, q=np.where(chosen, steps, term.q), bits=0),))]


def _choice(condition: AnyArray, a: Term, b: Term) -> Value:
    """One term on a common grid; else two, of which one is zero in each element."""
    if _same_grid(a, b):
        return Value((Term(np.where(condition, a.q, b.q), a.scale),))
    rank = np.broadcast_shapes(condition.shape, a.q.shape, b.q.shape)
    none = np.zeros((), np.int64)
    first = replace(a, q=np.broadcast_to(np.where(condition, a.q, none), rank), bits=0)
    second = replace(b, q=np.broadcast_to(np.where(condition, none, b.q), rank), bits=0)
    return Value((first, second))


def extreme(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """Min and Max of any number of operands.

    On one grid the integers are compared; a single constant is a clamp at the next
    QuantizeLinear; operands of several scales are each rounded there under joint multipliers.
    """
    pick: Binary = np.minimum if node.op == "Min" else np.maximum
    values = [x for x in inputs if isinstance(x, Value)]
    constants = [x for x in inputs if x is not None and not isinstance(x, (Value, Pending))]
    fixed: AnyArray | None = None
    for constant in constants:
        fixed = constant if fixed is None else pick(fixed, constant)
    if not values:
        assert fixed is not None
        return [np.asarray(fixed)]
    terms = [single(x, node.place) for x in values]
    if fixed is not None and fixed.size != 1:
        raise UserError(
            f"{node.place}: a constant operand must be one number, got shape {fixed.shape}; "
            "quantize it"
        )
    result: Operand
    if all(_same_grid(terms[0], term) for term in terms[1:]):
        q = terms[0].q
        for term in terms[1:]:
            q = pick(q, term.q)
        result = Value((replace(terms[0], q=q),))
    else:
        result = _rounded_extreme(node, terms, pick)
    if fixed is None:
        return [result]
    bound = float(fixed.reshape(()))
    lo, hi = (-np.inf, bound) if node.op == "Min" else (bound, np.inf)
    if isinstance(result, Value):
        return [replace(result, lo=lo, hi=hi)]
    assert isinstance(result, Pending)
    return [result.clamped(lo, hi)]


def _rounded_extreme(node: Node, terms: list[Term], pick: Binary) -> Pending:
    shape = np.broadcast_shapes(*(term.q.shape for term in terms))

    def integers(target: Target) -> Int64Array:
        parts = rounded(target, [Value((term,)) for term in terms])
        y = parts[0]
        for part in parts[1:]:
            y = pick(y, part)
        return np.broadcast_to(y, shape)

    def exact() -> AnyArray:
        reals = [term.q * term.scale / term.divisor for term in terms]
        y = reals[0]
        for real in reals[1:]:
            y = pick(y, real)
        return np.broadcast_to(y, shape)

    return Pending(shape, integers, exact)


def gather(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """Slices of a tensor (embedding rows) by integer indices; integers move."""
    data = inputs[0]
    assert data is not None
    axis = int(node.get("axis", 0)) % len(data.shape)
    index = _index(node, inputs[1], data.shape[axis])
    return [move(data, lambda array: np.take(array, index, axis=axis))]


def _index(node: Node, operand: Operand | None, size: int) -> Int64Array:
    index = _plain(node, operand)
    if index.dtype.kind not in "iu":
        raise UserError(f"{node.place}: indices must be integers, got {index.dtype}; cast them")
    index = index.astype(np.int64)
    bad = (index < -size) | (index >= size)
    if bad.any():
        raise UserError(
            f"{node.place}: indices must lie in [{-size}, {size}), got {index[bad].flat[0]}; "
            "correct the input"
        )
    return np.where(index < 0, index + size, index)


def gather_nd(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """data[b..., i0, i1, ...] for index tuples along the last axis of `indices`."""
    data = inputs[0]
    assert data is not None
    batch = int(node.get("batch_dims", 0))
    raw = _plain(node, inputs[1])
    depth = raw.shape[-1]
    parts = [_index(node, raw[..., i], data.shape[batch + i]) for i in range(depth)]
    grids = np.ogrid[tuple(slice(0, n) for n in raw.shape[:batch])] if batch else []
    rank = raw.ndim - 1
    leads = [np.asarray(g).reshape(g.shape + (1,) * (rank - batch)) for g in grids]
    key = (*leads, *parts)
    return [move(data, lambda array: array[key])]


def cast(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """Plain arrays take the type; a quantized tensor may only stay a float."""
    x = inputs[0]
    assert x is not None
    kind = onnx.helper.tensor_dtype_to_np_dtype(int(node.attributes["to"]))
    if isinstance(x, (Value, Pending)):
        if kind.kind != "f":
            raise UserError(
                f"{node.place}: a quantized tensor must stay a float, got {kind}; "
                "run this node on the host"
            )
        return [x]
    return [x.astype(kind)]


def expand(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """Broadcast to a shape."""
    x = inputs[0]
    assert x is not None
    wanted = tuple(int(n) for n in _plain(node, inputs[1]))
    shape = np.broadcast_shapes(x.shape, wanted)
    return [move(x, lambda array: np.broadcast_to(array, shape))]


def shape_of(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """int64 sizes, from `start` to `end`."""
    x = inputs[0]
    assert x is not None
    rank = len(x.shape)
    start, end = int(node.get("start", 0)), int(node.get("end", rank))
    return [np.asarray(x.shape[slice(start, end)], np.int64)]


def constant_of_shape(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    value = np.asarray(node.get("value", np.zeros(1, np.float32)))
    wanted = tuple(int(n) for n in _plain(node, inputs[0]))
    return [np.full(wanted, value.reshape(()), value.dtype)]


def range_(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    start, limit, delta = (_plain(node, x) for x in inputs)
    return [np.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype)]


def trilu(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """A triangle of a plain array (a causal mask)."""
    x = _plain(node, inputs[0])
    k = int(_plain(node, inputs[1]).reshape(())) if len(inputs) > 1 and inputs[1] is not None else 0
    return [np.triu(x, k) if node.get("upper", 1) else np.tril(x, k)]
