"""Positions that nobody reads: a Slice moves in front of what is computed for each row alone.

A prefill asks for the logits of its last position, so of its last layer the other positions' keys
and values are needed and nothing else. Of a quantized graph, so that all positions calibrate: the
result's integers stay the same.
"""

import numpy as np
import onnx

from jacquard.compiler.frontend.fold import fold_constants
from jacquard.compiler.frontend.patterns.view import View, attributes_of

_POINTWISE = ("Elu", "Erf", "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Neg",
              "Relu", "Sigmoid", "Swish", "Tanh")
_QDQ = ("DequantizeLinear", "QuantizeLinear")  # with one scale
_JOINED = ("Add", "Div", "Mul", "Sub")
_ROWS = ("LayerNormalization", "RMSNormalization", "Softmax")


def without_unread(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` (QDQ, shapes inferred), its Slices moved as far to the front as they go."""
    view = View(model.graph)
    if not slices_first(view):
        return model
    for node in list(view.nodes):
        if node.op_type == "Slice":
            _requantize(view, node)
    view.commit()
    return fold_constants(model)


def slices_first(view: View) -> bool:
    """Slice of one axis behind an operator that keeps its positions apart: in front of it."""
    changed = False
    while _first_slice(view):
        changed = True
    return changed


def _first_slice(view: View) -> bool:
    """Merges equal Slices of a tensor that nothing else reads, and moves one."""
    for node in view.nodes:  # the first of equal ones is in front of what reads the others
        axis = _axis(view, node) if node.op_type == "Slice" else None
        source = node.input[0]
        before = view.producer(source)
        if axis is None or before is None or source in view.outputs or before.domain:
            continue
        others = [reader for reader in view.readers(source) if reader is not node]
        if node.output[0] in view.outputs or any(not _same(view, node, o) for o in others):
            continue
        cut = _cut(view, before, axis)
        if not cut:
            continue
        for other in others:
            view.bypass(other, node.output[0])
        _place(view, node, before, axis, cut)
        return True
    return False


def _requantize(view: View, node: onnx.NodeProto) -> None:
    """A Slice behind a DequantizeLinear gives what reads it the same grid."""
    before = view.producer(node.input[0], "DequantizeLinear")
    quantized = any(r.op_type == "QuantizeLinear" for r in view.readers(node.output[0]))
    if before is None or quantized:
        return
    result, given = node.output[0], list(before.input[1:])
    taken, integers = f"{result}.taken", f"{result}_QuantizeLinear_Output"
    moved = onnx.NodeProto()
    moved.CopyFrom(node)
    made = [moved]
    if before.input[0] in view.tensors:  # a constant of several layers: folded
        moved.input[0], integers = before.input[0], taken
    else:
        made.append(
            view.make("QuantizeLinear", [taken, *given], integers, f"{result}_QuantizeLinear"))
    moved.output[:] = [taken]
    made.append(
        view.make("DequantizeLinear", [integers, *given], result, f"{result}_DequantizeLinear"))
    view.replace(node, made)


def _axis(view: View, node: onnx.NodeProto) -> int | None:
    """The axis, not negative, of a Slice of constant bounds along one axis."""
    shape = view.shapes.get(node.input[0])
    axes = view.constant(node.input[3]) if len(node.input) > 3 else None
    bounds = [view.constant(name) for name in node.input[1:] if name]
    if shape is None or axes is None or axes.size != 1 or any(b is None for b in bounds):
        return None
    return int(axes.reshape(())) % len(shape)


def _same(view: View, node: onnx.NodeProto, other: onnx.NodeProto) -> bool:
    if other.op_type != "Slice" or other.output[0] in view.outputs:
        return False
    shapes = view.shapes.get(node.output[0]), view.shapes.get(other.output[0])
    if shapes[0] is None or shapes[0] != shapes[1] or len(node.input) != len(other.input):
        return False
    if _axis(view, node) != _axis(view, other):
        return False
    pairs = [(view.constant(a), view.constant(b))
             for a, b in zip(node.input[1:3], other.input[1:3], strict=True)]
    steps = [view.constant(n.input[4]) if len(n.input) > 4 else np.ones(1) for n in (node, other)]
    return all(a is not None and b is not None and np.array_equal(a, b)
               for a, b in (*pairs, (steps[0], steps[1])))


def _cut(view: View, before: onnx.NodeProto, axis: int) -> dict[int, int]:
    """Operand -> its axis to cut instead of the result's; empty where that is not the same."""
    shape = view.shapes[before.output[0]]
    last = len(shape) - 1
    kind = before.op_type
    cut: dict[int, int] = {}
    given = attributes_of(before)
    if kind in _POINTWISE:
        cut = {0: axis}
    elif kind in _QDQ and all(not view.shapes.get(name, (0,)) for name in before.input[1:]):
        cut = {0: axis}
    elif kind in _ROWS and axis != last and given.get("axis", -1) in (-1, last):
        cut = {0: axis}
    elif kind == "Transpose" and "perm" in given:
        cut = {0: int(given["perm"][axis])}
    elif kind == "Reshape":
        wide = view.shapes.get(before.input[0], ())
        if wide[: axis + 1] == shape[: axis + 1]:
            cut = {0: axis}
    elif kind == "MatMul" and axis != last:
        left, right = (view.shapes.get(name, ()) for name in before.input)
        if len(left) == len(shape) and (len(right) == 2 or axis == last - 1):
            cut = {0: axis}
    elif kind in _JOINED:
        for position, name in enumerate(before.input):
            operand = view.shapes.get(name)
            if operand is None:
                return {}
            at = axis - len(shape) + len(operand)
            if at >= 0 and operand[at] != 1:
                cut[position] = at
    known = all(before.input[position] in view.shapes for position in cut)
    return cut if known else {}


def _place(
    view: View, node: onnx.NodeProto, before: onnx.NodeProto, axis: int, cut: dict[int, int]
) -> None:
    length = view.shapes[node.output[0]][axis]
    made = []
    inputs = list(before.input)
    for position, at in cut.items():
        name = before.input[position]
        inner, count = f"{name}.read", 0
        while inner in view.shapes:
            count += 1
            inner = f"{name}.read.{count}"
        shape = list(view.shapes[name])
        shape[at] = length
        view.shapes[inner], view.types[inner] = tuple(shape), view.types.get(name, 0)
        axes = view.add_constant(f"{inner}.axis", np.array([at], np.int64))
        made.append(view.make("Slice", [name, *node.input[1:3], axes, *node.input[4:]], inner,
                              inner))
        inputs[position] = inner
    if before.op_type == "Reshape":
        inputs[1] = view.add_constant(
            f"{before.name}.shape", np.asarray(view.shapes[node.output[0]], np.int64))
    moved = onnx.NodeProto()
    moved.CopyFrom(before)
    moved.input[:], moved.output[:] = inputs, [node.output[0]]
    view.replace(node, [*made, moved])
