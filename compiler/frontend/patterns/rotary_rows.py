"""Rotary embeddings on rows of all heads.

Exporters rotate each head by itself, [1, heads, s, d], behind the Transpose that splits them:
x * cos + Concat(-x2, x1) * sin. The same on [1, s, heads * d] is two products, the columns of one
in another order, so that attention finds its heads side by side in one tensor.
"""

import numpy as np
import onnx

from jacquard.compiler.frontend.patterns.view import View, attributes_of

_HEADS_FIRST = [0, 2, 1, 3]


def rotate_rows(view: View) -> bool:
    """Rotary embeddings behind the split of heads: in front of it."""
    changed = False
    for node in list(view.nodes):
        if node.op_type == "Add" and len(view.shapes.get(node.output[0], ())) == 4:
            changed |= _rotate(view, node)
    return changed


def _rotate(view: View, add: onnx.NodeProto) -> bool:
    for straight, turned in (add.input, tuple(add.input)[::-1]):
        first, second = view.producer(straight, "Mul"), view.producer(turned, "Mul")
        if first is None or second is None:
            continue
        for heads, cosine in (first.input, tuple(first.input)[::-1]):
            split = view.producer(heads, "Transpose")
            sine = next((n for n in second.input if _rotated_from(view, n) != heads), None)
            if split is None or attributes_of(split).get("perm") != _HEADS_FIRST or sine is None:
                continue
            reshape = view.producer(split.input[0], "Reshape")
            if len(set(second.input) - {sine}) != 1 or reshape is None:
                continue
            if _on_rows(view, add, reshape.input[0], heads, cosine, sine):
                return True
    return False


def _rotated_from(view: View, name: str) -> str | None:
    """x where `name` is Concat(-x[d / 2:], x[:d / 2]) over the last axis."""
    joined = view.producer(name, "Concat")
    if joined is None or len(joined.input) != 2:
        return None
    negated = view.producer(joined.input[0], "Neg")
    low = view.producer(joined.input[1], "Slice")
    high = None if negated is None else view.producer(negated.input[0], "Slice")
    if low is None or high is None or low.input[0] != high.input[0]:
        return None
    shape = view.shapes.get(low.input[0])
    if shape is None or attributes_of(joined).get("axis") not in (-1, len(shape) - 1):
        return None
    half = shape[-1] // 2
    bounds = [_bounds(view, node, shape) for node in (low, high)]
    return str(low.input[0]) if bounds == [(0, half), (half, 2 * half)] else None


def _bounds(view: View, node: onnx.NodeProto, shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Start and end of a Slice of the last axis by steps of 1."""
    given = [view.constant(name) for name in node.input[1:]]
    if len(given) < 3 or any(value is None or value.size != 1 for value in given):
        return None
    start, end, axis, step = [int(v.reshape(())) for v in given if v is not None] + [1] * (
        4 - len(given))
    if axis % len(shape) != len(shape) - 1 or step != 1:
        return None
    return start, min(end, shape[-1])


def _on_rows(
    view: View, add: onnx.NodeProto, rows: str, heads: str, cosine: str, sine: str
) -> bool:
    wide, shape = view.shapes.get(rows), view.shapes.get(heads)
    if wide is None or shape is None or len(wide) != 3 or shape[0] != 1 or wide[0] != 1:
        return False
    count, positions, depth = shape[1:]
    if wide != (1, positions, count * depth) or depth % 2:
        return False
    signs = np.repeat(np.array([-1.0, 1.0], np.float32), depth // 2)
    factors: list[str] = []
    nodes: list[onnx.NodeProto] = []
    for name, sign in ((cosine, np.ones_like(signs)), (sine, signs)):
        made = _tiled(view, name, (positions, depth), count, sign)
        if made is None:
            return False
        factors.append(made[0])
        nodes += made[1]
    columns = np.arange(count * depth).reshape(count, 2, depth // 2)[:, ::-1].reshape(-1)
    order = view.add_constant(f"{add.name}.columns", np.ascontiguousarray(columns))
    names = [f"{add.output[0]}.{part}" for part in ("turned", "cosines", "sines", "rows", "heads")]
    for name in names[:4]:
        view.shapes[name], view.types[name] = wide, onnx.TensorProto.FLOAT
    view.shapes[names[4]] = (1, positions, count, depth)
    view.types[names[4]] = onnx.TensorProto.FLOAT
    sizes = view.add_constant(f"{add.name}.heads", np.array([1, positions, count, depth]))
    view.replace(add, [
        *nodes,
        view.make("Gather", [rows, order], names[0], f"{add.name}.turned", axis=2),
        view.make("Mul", [rows, factors[0]], names[1], f"{add.name}.cosines"),
        view.make("Mul", [names[0], factors[1]], names[2], f"{add.name}.sines"),
        view.make("Add", [names[1], names[2]], names[3], add.name),
        view.make("Reshape", [names[3], sizes], names[4], f"{add.name}.split"),
        view.make("Transpose", [names[4]], add.output[0], f"{add.name}.heads", perm=_HEADS_FIRST),
    ])
    return True


def _tiled(
    view: View, name: str, shape: tuple[int, int], count: int, signs: np.ndarray
) -> tuple[str, list[onnx.NodeProto]] | None:
    """[1, s, heads * d] of cosines or sines [.., s, d], a constant or a row of a table.

    Its name, and the nodes that make it; one for all layers.
    """
    hint = f"{name}.{count}{'.signed' if signs.min() < 0 else ''}"
    result = f"{hint}.factors"
    if result in view.tensors or view.producer(result) is not None:
        return result, []
    values = view.constant(name)
    if values is not None:
        if values.shape[-2:] != shape or values.size != shape[0] * shape[1]:
            return None
        made = np.tile(values.reshape(shape) * signs, (1, count))[None]
        return view.add_constant(result, made.astype(np.float32)), []
    reshape = view.producer(name, "Reshape")
    gather = None if reshape is None else view.producer(reshape.input[0], "Gather")
    table = None if gather is None else view.constant(gather.input[0])
    if gather is None or table is None or shape[0] != 1 or table.shape[1:] != shape[1:]:
        return None
    if view.shapes.get(gather.output[0]) != shape:
        return None
    wide = view.add_constant(f"{hint}.table", np.tile(table * signs, (1, count)))
    row = f"{hint}.row"
    for made_name, size in ((row, (1, count * shape[1])), (result, (1, 1, count * shape[1]))):
        view.shapes[made_name], view.types[made_name] = size, onnx.TensorProto.FLOAT
    sizes = view.add_constant(f"{hint}.sizes", np.array([1, 1, count * shape[1]]))
    return result, [
        view.make("Gather", [wide, gather.input[1]], row, row, axis=0),
        view.make("Reshape", [row, sizes], result, result),
    ]
