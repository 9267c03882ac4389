"""Operators turned so that the machine has them: rows along the last axis, constants on the right.

    Softmax over another axis          Transpose, Softmax, Transpose
    a norm over several axes           Reshape, the norm, Reshape
    a reduction over all axes          one over the others, one over the last, Reshape
    MatMul(constant, x)                Transpose, MatMul(_, constant^T), Transpose
    Pow(constant, x)                   Exp(x * ln(constant))
    Where(Not/And/Or of comparisons)   Wheres of comparisons
"""

import numpy as np
import onnx

from jacquard.compiler.frontend.patterns.view import View, attributes_of, axes_of

_NORMS = ("LayerNormalization", "RMSNormalization")
_REDUCTIONS = ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum")
_COMPARISONS = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
_LOGIC = ("And", "Not", "Or")


def softmax_last(view: View) -> bool:
    """Softmax over an axis that is not the last."""
    changed = False
    for node in list(view.nodes):
        shape = view.shapes.get(node.output[0])
        if node.op_type != "Softmax" or node.domain or not shape:
            continue
        axis = int(attributes_of(node).get("axis", -1)) % len(shape)
        if axis == len(shape) - 1:
            continue
        turns = list(range(len(shape)))
        turns[axis], turns[-1] = turns[-1], turns[axis]
        turned = tuple(shape[i] for i in turns)
        front, rows = f"{node.name}.turned", f"{node.name}.rows"
        _declare(view, front, turned)
        _declare(view, rows, turned)
        view.replace(node, [
            view.make("Transpose", [node.input[0]], front, front, perm=turns),
            view.make("Softmax", [front], rows, node.name, axis=-1),
            view.make("Transpose", [rows], node.output[0], f"{node.name}.back", perm=turns),
        ])
        changed = True
    return changed


def norms_last(view: View) -> bool:
    """A norm over more than the last axis, with one result, gains and offsets constant."""
    changed = False
    for node in list(view.nodes):
        shape = view.shapes.get(node.output[0])
        if node.op_type not in _NORMS or node.domain or not shape or len(node.output) > 1:
            continue
        given = attributes_of(node)
        axis = int(given.get("axis", -1)) % len(shape)
        constants = [view.constant(name) for name in node.input[1:] if name]
        if axis == len(shape) - 1 or any(value is None for value in constants):
            continue
        flat = (*shape[:axis], int(np.prod(shape[axis:])))
        vectors = [
            view.add_constant(f"{name}.flat", np.broadcast_to(value, shape[axis:]).reshape(-1))
            for name, value in zip(filter(None, node.input[1:]), constants, strict=True)
            if value is not None
        ]
        front, rows = f"{node.name}.flat", f"{node.name}.rows"
        _declare(view, front, flat)
        _declare(view, rows, flat)
        to = view.add_constant(f"{node.name}.to", np.array(flat, np.int64))
        back = view.add_constant(f"{node.name}.back", np.array(shape, np.int64))
        epsilon = {"epsilon": given["epsilon"]} if "epsilon" in given else {}
        view.replace(node, [
            view.make("Reshape", [node.input[0], to], front, front),
            view.make(node.op_type, [front, *vectors], rows, node.name, axis=-1, **epsilon),
            view.make("Reshape", [rows, back], node.output[0], f"{node.name}.shaped"),
        ])
        changed = True
    return changed


def reductions_apart(view: View) -> bool:
    """A reduction over the last of up to three axes and others, in an opset with axes as input."""
    changed = False
    for node in list(view.nodes):
        if node.op_type not in _REDUCTIONS or node.domain:
            continue
        shape, result = view.shapes.get(node.input[0]), view.shapes.get(node.output[0])
        given = axes_of(view, node)
        if not given and not attributes_of(node).get("noop_with_empty_axes", 0):
            given = list(range(len(shape or ())))
        if shape is None or result is None or given is None or not 2 <= len(shape) <= 3:
            continue
        axes = {axis % len(shape) for axis in given}
        others = sorted(axes - {len(shape) - 1})
        if len(others) == len(axes) or not others:
            continue
        kept = tuple(1 if axis in others else size for axis, size in enumerate(shape))
        front, rows = f"{node.name}.others", f"{node.name}.rows"
        _declare(view, front, kept)
        _declare(view, rows, (*kept[:-1], 1))
        first = view.add_constant(f"{node.name}.first", np.array(others, np.int64))
        last = view.add_constant(f"{node.name}.last", np.array([-1], np.int64))
        to = view.add_constant(f"{node.name}.to", np.array(result, np.int64))
        view.replace(node, [
            view.make(node.op_type, [node.input[0], first], front, front, keepdims=1),
            view.make(node.op_type, [front, last], rows, node.name, keepdims=1),
            view.make("Reshape", [rows, to], node.output[0], f"{node.name}.shaped"),
        ])
        changed = True
    return changed


def constant_left(view: View, node: onnx.NodeProto) -> bool:
    """Whether `node` is a product of a matrix of constants on the left and an activation."""
    if node.op_type != "MatMul" or node.domain or node.input[0] not in view.tensors:
        return False
    shape = view.shapes.get(node.input[1], ())
    return (
        node.input[1] not in view.tensors
        and len(view.tensors[node.input[0]].dims) == 2
        and len(shape) >= 2
    )


def constants_right(view: View) -> bool:
    """(C X)^T = X^T C^T."""
    changed = False
    for node in list(view.nodes):
        if not constant_left(view, node):
            continue
        matrix, shape = view.constant(node.input[0]), view.shapes[node.input[1]]
        assert matrix is not None
        turns = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
        weights = view.add_constant(f"{node.input[0]}.turned", np.ascontiguousarray(matrix.T))
        front, rows = f"{node.name}.turned", f"{node.name}.rows"
        _declare(view, front, (*shape[:-2], shape[-1], shape[-2]))
        _declare(view, rows, (*shape[:-2], shape[-1], matrix.shape[0]))
        view.replace(node, [
            view.make("Transpose", [node.input[1]], front, front, perm=turns),
            view.make("MatMul", [front, weights], rows, node.name),
            view.make("Transpose", [rows], node.output[0], f"{node.name}.back", perm=turns),
        ])
        changed = True
    return changed


def powers_of_constants(view: View) -> bool:
    """A positive number to the power of an activation."""
    changed = False
    for node in list(view.nodes):
        base = view.scalar(node.input[0]) if node.op_type == "Pow" else None
        shape = view.shapes.get(node.output[0])
        if base is None or base <= 0 or node.input[1] in view.tensors or shape is None:
            continue
        factor = view.add_constant(f"{node.name}.ln", np.array(np.log(base), np.float32))
        inner = f"{node.name}.exponent"
        _declare(view, inner, shape)
        view.replace(node, [
            view.make("Mul", [node.input[1], factor], inner, inner),
            view.make("Exp", [inner], node.output[0], node.name),
        ])
        changed = True
    return changed


def choices_of_one_comparison(view: View) -> bool:
    """Where by the And, Or or Not of comparisons of floats becomes Wheres by these."""
    changed = False
    for node in list(view.nodes):
        logic = view.producer(node.input[0], *_LOGIC) if node.op_type == "Where" else None
        if logic is None or not any(_compares(view, name) for name in logic.input):
            continue
        yes, no = node.input[1:]
        first = logic.input[0]
        if logic.op_type == "Not":
            view.replace(node, [view.make("Where", [first, no, yes], node.output[0], node.name)])
            changed = True
            continue
        second = logic.input[1]
        shapes = [view.shapes.get(name) for name in (second, yes, no)]
        if None in shapes:
            continue
        inner = f"{node.name}.inner"
        _declare(view, inner, np.broadcast_shapes(*(s for s in shapes if s is not None)))
        outer = [first, inner, no] if logic.op_type == "And" else [first, yes, inner]
        view.replace(node, [
            view.make("Where", [second, yes, no], inner, inner),
            view.make("Where", outer, node.output[0], node.name),
        ])
        changed = True
    return changed


def _compares(view: View, name: str) -> bool:
    """Whether `name` is made of comparisons of floats; masks are made of integers."""
    node = view.producer(name, *_COMPARISONS, *_LOGIC)
    if node is None:
        return False
    if node.op_type in _LOGIC:
        return any(_compares(view, operand) for operand in node.input)
    return any(
        view.types.get(operand) == onnx.TensorProto.FLOAT and operand not in view.tensors
        for operand in node.input
    )


def _declare(view: View, name: str, shape: tuple[int, ...]) -> None:
    view.shapes[name], view.types[name] = shape, onnx.TensorProto.FLOAT
