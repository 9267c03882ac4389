"""The subgraph that makes an additive mask, down to Cast, Reshape, Where.

    attention_mask -> Cast(bool) -> Reshape [1, 1, 1, s] -> Where(_, 0, -3.4e38) -> Add(scores, _)

once for all layers, without Expand: an Add broadcasts by itself.
"""

from collections.abc import Hashable

import numpy as np
import onnx

from jacquard.compiler.frontend.patterns.movement import VIEWS, reshape
from jacquard.compiler.frontend.patterns.view import View, attributes_of
from jacquard.proto.lib.masks import LEAST_MASK

_BROADCASTING = ("Add", "Sub", "Mul", "Div", "And", "Or", "Where", "Equal", "Min", "Max")
_SHARED = ("And", "Cast", "Equal", "Expand", "Less", "Greater", "Not", "Or", "Reshape", "Where")
_INTEGERS = (onnx.TensorProto.BOOL, onnx.TensorProto.INT32, onnx.TensorProto.INT64)
_SMALL = 64


def drop_neutral_logic(view: View) -> bool:
    """And with all true, Or with all false: the other operand, expanded where it grew."""
    changed = False
    for node in list(view.nodes):
        if node.op_type not in ("And", "Or"):
            continue
        for constant, other in (node.input, tuple(node.input)[::-1]):
            values = view.constant(constant)
            shape, result = view.shapes.get(other), view.shapes.get(node.output[0])
            if values is None or shape is None or result is None:
                continue
            if not (values.all() if node.op_type == "And" else not values.any()):
                continue
            if shape != result:
                sizes = view.add_constant(f"{node.name}.shape", np.asarray(result, np.int64))
                made = view.make("Expand", [other, sizes], node.output[0], node.name)
                view.replace(node, [made])
                changed = True
            else:
                changed |= view.bypass(node, other)
            break
    return changed


def drop_casts(view: View) -> bool:
    """Cast to the type that its operand has."""
    changed = False
    for node in list(view.nodes):
        same = node.op_type == "Cast" and view.types.get(node.input[0]) == attributes_of(node)["to"]
        if same:
            changed |= view.bypass(node, node.input[0])
    return changed


def casts_first(view: View) -> bool:
    """A Cast of a reshaped mask becomes a reshaped Cast; every view of a mask is a Reshape."""
    changed = False
    for node in list(view.nodes):
        if node.op_type not in VIEWS or view.types.get(node.input[0]) not in _INTEGERS:
            continue
        result = node.output[0]
        shape = view.shapes.get(result)
        cast = view.readers(result)[0] if view.read_once(result) else None
        if shape is None:
            continue
        if cast is not None and cast.op_type == "Cast":
            inner = f"{cast.output[0]}.flat"
            to = attributes_of(cast)["to"]
            view.shapes[inner], view.types[inner] = view.shapes[node.input[0]], to
            first = view.make("Cast", [node.input[0]], inner, cast.name, to=to)
            view.replace(cast, [first, reshape(view, node, inner, shape, cast.output[0])])
            changed = True
        elif node.op_type != "Reshape":
            view.replace(node, [reshape(view, node, node.input[0], shape, result)])
            changed = True
    return changed


def sink_expands(view: View) -> bool:
    """Lets operators that broadcast read what was expanded; moves Expand behind Where."""
    changed = False
    for node in list(view.nodes):
        if node.op_type not in _BROADCASTING:
            continue
        result = view.shapes.get(node.output[0])
        for position, name in enumerate(node.input):
            expand = view.producer(name, "Expand")
            if expand is None or result is None:
                continue
            narrow = [*node.input[:position], expand.input[0], *node.input[position + 1 :]]
            shapes = [view.shapes.get(operand) for operand in narrow]
            if None in shapes:
                continue
            shape = np.broadcast_shapes(*(s for s in shapes if s is not None))
            if shape == result:
                node.input[position] = expand.input[0]
                view.sweep()
                changed = True
            elif node.op_type == "Where" and view.shapes.get(name) == result:
                inner = f"{node.output[0]}.narrow"
                made = view.make("Where", narrow, inner, node.name)
                view.shapes[inner] = shape
                view.types[inner] = view.types.get(node.output[0], 0)
                wide = view.make("Expand", [inner, expand.input[1]], node.output[0],
                                 f"{node.name}.expand")
                view.replace(node, [made, wide])
                changed = True
            break
    return changed


def split_biases(view: View) -> bool:
    """A constant in front of a Softmax that is a bias and a mask (ALiBi with its causal order) is
    two: the bias is data, the mask stays float."""
    changed = False
    for node in list(view.nodes):
        values = view.constant(node.input[1]) if node.op_type == "Add" else None
        if values is None or values.dtype.kind != "f" or not _feeds_softmax(view, node.output[0]):
            continue
        hidden = values <= LEAST_MASK
        if not hidden.any() or not values[~hidden].any():
            continue
        inner = f"{node.output[0]}.biased"
        view.shapes[inner] = view.shapes[node.output[0]]
        view.types[inner] = view.types[node.output[0]]
        parts = [
            view.add_constant(f"{node.input[1]}.{name}", np.where(where, values, 0).astype(
                values.dtype))
            for name, where in (("bias", ~hidden), ("mask", hidden))
        ]
        view.replace(node, [
            view.make("Add", [node.input[0], parts[0]], inner, f"{node.name}.bias"),
            view.make("Add", [inner, parts[1]], node.output[0], node.name),
        ])
        changed = True
    return changed


def _feeds_softmax(view: View, name: str) -> bool:
    """Whether a Softmax alone reads `name`, through further masks."""
    while view.read_once(name):
        reader = view.readers(name)[0]
        if reader.op_type == "Softmax":
            return True
        if reader.op_type != "Add":
            return False
        name = reader.output[0]
    return False


def share(view: View) -> bool:
    """Nodes that compute the same of the same are one; a mask is built once per layer by some."""
    changed = False
    first: dict[Hashable, onnx.NodeProto] = {}
    for node in list(view.nodes):
        if node.op_type not in _SHARED or node.domain or node.output[0] in view.outputs:
            continue
        reshapes = node.op_type in ("Cast", "Reshape")
        if reshapes and view.types.get(node.output[0]) not in _INTEGERS:
            continue
        key = (node.op_type, tuple(_identity(view, name) for name in node.input),
               tuple(a.SerializeToString(deterministic=True) for a in node.attribute))
        if key in first:
            changed |= view.bypass(node, first[key].output[0])
        else:
            first[key] = node
    return changed


def _identity(view: View, name: str) -> Hashable:
    tensor = view.tensors.get(name)
    if tensor is None or np.prod(tensor.dims) > _SMALL:
        return name
    values = view.constant(name)
    assert values is not None
    return (values.dtype.str, values.shape, values.tobytes())
