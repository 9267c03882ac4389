"""Reshapes and transposes in their shortest form.

Both exporters write the same movement differently: K is transposed by Reshape, Transpose, Reshape
or by one Transpose; a mask takes its new axes from GatherND, or from Flatten, Gather and Reshape.
"""

import numpy as np
import onnx

from jacquard.compiler.frontend.fold import evaluate
from jacquard.compiler.frontend.patterns.view import View, attributes_of
from jacquard.proto.lib.errors import UserError

VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
MOVEMENTS = (*VIEWS, "Transpose")
_SELECTIONS = ("Gather", "GatherND", "GatherElements", "Slice", "Expand")
_LARGEST_TRIED = 1 << 16


def selections_to_views(view: View, model: onnx.ModelProto) -> bool:
    """A selection by constant indices that keeps every element in its order is a Reshape."""
    changed = False
    for node in list(view.nodes):
        if node.op_type not in _SELECTIONS or node.domain:
            continue
        shape, result = view.shapes.get(node.input[0]), view.shapes.get(node.output[0])
        others = {name: view.constant(name) for name in node.input[1:] if name}
        if (
            shape is None
            or result is None
            or np.prod(shape) != np.prod(result)
            or np.prod(shape) > _LARGEST_TRIED
            or node.input[0] in view.tensors
            or any(value is None for value in others.values())
        ):
            continue
        numbers = np.arange(np.prod(shape, dtype=np.int64)).reshape(shape)
        feeds = {node.input[0]: numbers, **{k: v for k, v in others.items() if v is not None}}
        try:
            found = evaluate(model, node, feeds)[0]
        except UserError:
            continue  # it is somebody else's to complain
        if (found.reshape(-1) == numbers.reshape(-1)).all():
            view.replace(node, [reshape(view, node, node.input[0], result, node.output[0])])
            changed = True
    return changed


def merge_views(view: View) -> bool:
    """Reshape of a Reshape reads what the first one read; one that changes nothing goes."""
    changed = False
    for node in list(view.nodes):
        if node.op_type not in VIEWS:
            continue
        before = view.producer(node.input[0], *VIEWS)
        source = node.input[0] if before is None else before.input[0]
        shape, result = view.shapes.get(source), view.shapes.get(node.output[0])
        if shape is None or result is None:
            continue
        if shape == result and view.bypass(node, source):
            changed = True
        elif before is not None:
            view.replace(node, [reshape(view, node, source, result, node.output[0])])
            changed = True
    return changed


def merge_transposes(view: View) -> bool:
    """Transpose of a Transpose is one; one that changes nothing goes."""
    changed = False
    for node in list(view.nodes):
        if node.op_type != "Transpose":
            continue
        perm = _permutation(view, node)
        if perm is None:
            continue
        before = view.producer(node.input[0], "Transpose")
        first = None if before is None else _permutation(view, before)
        if before is not None and first is not None:
            both = [first[axis] for axis in perm]
            made = view.make("Transpose", [before.input[0]], node.output[0], node.name, perm=both)
            view.replace(node, [made])
            changed = True
        elif perm == sorted(perm):
            changed |= view.bypass(node, node.input[0])
    return changed


def transposes_of_last_axes(view: View) -> bool:
    """[a, b, s, d] -> [a b, s, d] -> [a b, d, s] -> [a, b, d, s] is Transpose(0, 1, 3, 2)."""
    changed = False
    for node in list(view.nodes):
        if node.op_type != "Reshape":
            continue
        swap = view.producer(node.input[0], "Transpose")
        first = None if swap is None else view.producer(swap.input[0], *VIEWS)
        if swap is None or first is None:
            continue
        whole, middle, result = (
            view.shapes.get(name) for name in (first.input[0], swap.input[0], node.output[0])
        )
        if whole is None or middle is None or result is None or len(middle) < 2:
            continue
        rank = len(middle)
        swaps = [*range(rank - 2), rank - 1, rank - 2]
        ends = whole[-2:] == middle[-2:] and result == (*whole[:-2], whole[-1], whole[-2])
        if _permutation(view, swap) == swaps and ends and len(whole) >= 2:
            perm = [*range(len(whole) - 2), len(whole) - 1, len(whole) - 2]
            made = view.make("Transpose", [first.input[0]], node.output[0], node.name, perm=perm)
            view.replace(node, [made])
            changed = True
    return changed


def _permutation(view: View, node: onnx.NodeProto) -> list[int] | None:
    perm = attributes_of(node).get("perm")
    if perm is not None:
        return [int(axis) for axis in perm]
    shape = view.shapes.get(node.input[0])
    return None if shape is None else list(range(len(shape)))[::-1]


def reshape(
    view: View, node: onnx.NodeProto, source: str, shape: tuple[int, ...], result: str
) -> onnx.NodeProto:
    """A Reshape of `source` to `shape` under the name of `node`."""
    sizes = view.add_constant(f"{node.name}.shape", np.asarray(shape, np.int64))
    return view.make("Reshape", [source, sizes], result, node.name)
