"""Where the heads of keys and values lie in the tensors that hold them: each has its own scale.

Only those that are kept, as outputs or inputs: a cache. In an encoder one asymmetric scale for all
heads was better (docs/decisions/scales-per-head.md).

Keys and values are second operands of products of two activations, a batch entry of which is a
head. From there the heads are followed through movements, Expand (key heads that several heads of
queries share) and Concat (past and new rows) to all tensors of one grid.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from jacquard.compiler.frontend.mixed_plan import NARROW, PRODUCTS, Plan
from jacquard.compiler.frontend.patterns.movement import MOVEMENTS, VIEWS
from jacquard.compiler.frontend.patterns.view import attributes_of

Labels = npt.NDArray[np.int64]
_FOLLOWED = (*MOVEMENTS, "Concat", "Expand")


@dataclass(frozen=True)
class Heads:
    """Of one tensor: element i of dimension `axis` belongs to head `parts[i]`."""

    axis: int
    parts: tuple[int, ...]

    @property
    def count(self) -> int:
        return max(self.parts) + 1


def find_heads(plan: Plan) -> dict[str, dict[str, Heads]]:
    """Root of a grid -> the tensors that have it, where all are keys or values by heads."""
    found: dict[str, dict[str, Heads]] = {}
    left: set[str] = set()  # roots whose readers do not agree
    for node in plan.view.nodes:
        name = node.input[1] if _is_attention(plan, node) else None
        shape = () if name is None else plan.view.shapes[name]
        if name is None or len(shape) < 3 or shape[-3] == 1 or np.prod(shape[:-3]) != 1:
            continue
        root = plan.root(name)
        heads = np.arange(shape[-3]).reshape(-1, 1, 1)
        family = _family(plan, root, name, np.broadcast_to(heads, shape))
        if not family or found.get(root, family) != family:
            left.add(root)
        found[root] = family
    return {root: family for root, family in found.items() if root not in left}


def rotated(plan: Plan, name: str) -> tuple[str, str] | None:
    """The operands of the Add of two activations that gives `name` (a rotary embedding)."""
    node = plan.view.producer(name, "Add")
    if node is None or not all(plan.is_activation(x) and x not in plan.kept for x in node.input):
        return None
    return node.input[0], node.input[1]


def _is_attention(plan: Plan, node: onnx.NodeProto) -> bool:
    return node.op_type == "MatMul" and all(map(plan.is_activation, node.input))


def _family(plan: Plan, root: str, operand: str, labels: Labels) -> dict[str, Heads]:
    """All tensors of root's grid; empty where one of them is no key or value, or mixes heads."""
    at_root = _traced(plan, operand, root, labels)
    if at_root is None:
        return {}
    known = {root: np.unique(at_root, return_inverse=True)[1].reshape(at_root.shape)}
    waiting = [root]
    while waiting:
        for name, found in _neighbours(plan, waiting.pop(), known):
            if name not in known and plan.root(name) == root:
                known[name] = found
                waiting.append(name)
    family = {}
    for name, found in known.items():
        heads = _parts(found)
        if heads is None or not _serves(plan, name, set(known)):
            return {}
        family[name] = heads
    kept = plan.view.outputs | plan.view.inputs
    return family if kept & set(family) else {}


def _traced(plan: Plan, name: str, root: str, labels: Labels) -> Labels | None:
    """Labels of `root`, from which only movements and Expand lead to `name`."""
    while name != root:
        node = plan.view.producer(name, *MOVEMENTS, "Expand")
        if node is None:
            return None
        labels, name = _before(plan, node, labels), node.input[0]
    return labels


def _neighbours(
    plan: Plan, name: str, known: dict[str, Labels]
) -> Iterator[tuple[str, Labels]]:
    """The tensors before and behind `name` whose elements are its own, and their labels."""
    labels = known[name]
    node = plan.view.producer(name, *_FOLLOWED)
    if node is not None and node.op_type == "Concat":
        axis = int(attributes_of(node)["axis"])
        lengths = [plan.view.shapes[x][axis] for x in node.input]
        pieces = np.split(labels, np.cumsum(lengths)[:-1], axis=axis)
        yield from zip(node.input, pieces, strict=True)
    elif node is not None:
        yield node.input[0], _before(plan, node, labels)
    for reader in plan.view.readers(name):
        if reader.op_type in _FOLLOWED and reader.op_type != "Concat":
            yield reader.output[0], _behind(plan, reader, labels)


def _before(plan: Plan, node: onnx.NodeProto, labels: Labels) -> Labels:
    """Labels of a movement's operand; of an expanded dimension the first."""
    shape = plan.view.shapes[node.input[0]]
    if node.op_type == "Transpose":
        return labels.transpose(np.argsort(attributes_of(node)["perm"]))
    if node.op_type in VIEWS:
        return labels.reshape(shape)
    padded = (1,) * (labels.ndim - len(shape)) + shape
    first = tuple(slice(0, 1) if n == 1 else slice(None) for n in padded)
    return labels[first].reshape(shape)


def _behind(plan: Plan, node: onnx.NodeProto, labels: Labels) -> Labels:
    """Labels of a movement's result."""
    shape = plan.view.shapes[node.output[0]]
    if node.op_type == "Transpose":
        return labels.transpose(attributes_of(node)["perm"])
    return labels.reshape(shape) if node.op_type in VIEWS else np.broadcast_to(labels, shape)


def _parts(labels: Labels) -> Heads | None:
    """The one dimension along which the labels rise, in runs of one length."""
    varying = [a for a in range(labels.ndim) if (labels != labels.take([0], a)).any()]
    if len(varying) != 1:
        return None
    line = np.moveaxis(labels, varying[0], 0).reshape(labels.shape[varying[0]], -1)[:, 0]
    count = int(line.max()) + 1
    if len(line) % count or (line != np.arange(len(line)) // (len(line) // count)).any():
        return None
    return Heads(varying[0], tuple(map(int, line)))


def _serves(plan: Plan, name: str, family: set[str]) -> bool:
    """Whether `name` is read in 8 bits by products of attention, and made so that it can be."""
    view = plan.view
    if plan.needs.get(name, {NARROW}) != {NARROW} or name in plan.kept:
        return False
    for reader in view.readers(name):
        moved = reader.op_type in _FOLLOWED and reader.output[0] in family
        if not moved and not (_is_attention(plan, reader) and reader.input[0] != name):
            return False
    node = view.producer(name)
    if node is None:
        return name in view.inputs
    if node.op_type in _FOLLOWED:
        return all(x in family for x in node.input[: None if node.op_type == "Concat" else 1])
    if node.op_type in PRODUCTS:
        return node.op_type != "Conv" and node.input[1] in view.tensors
    first = view.producer(node.input[0], *PRODUCTS)
    completed = first is not None and node.input[0] in plan.kept - plan.clamped
    return completed and node.op_type in ("Add", "Mul") or rotated(plan, name) is not None
