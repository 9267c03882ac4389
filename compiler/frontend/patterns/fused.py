"""Fused operators, taken apart again: onnxruntime's own, and the Attention of opset 23.

onnx knows no shapes of com.microsoft operators, so they are expanded before shape inference, with
Reshapes that copy dimensions (0) and find one (-1). Attention needs shapes and comes after it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference

from jacquard.compiler.frontend.fold import shapes_of, without_weights
from jacquard.compiler.frontend.patterns.view import View, attributes_of
from jacquard.proto.lib.errors import raise_if_any
from jacquard.proto.lib.masks import LEAST_MASK

_MICROSOFT = "com.microsoft"
_RMS_NORMS = ("SimplifiedLayerNormalization", "SkipSimplifiedLayerNormalization")
_BOOL, _INT64 = onnx.TensorProto.BOOL, onnx.TensorProto.INT64
OPSET_OF_RMS_NORM = 23
OPSET_OF_GELU = 20


class _Parts:
    """The nodes that stand for one fused node. shapes: as far as they are known."""

    def __init__(
        self, node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]] | None = None
    ) -> None:
        self.node, self.shapes = node, shapes or {}
        self.given = attributes_of(node)
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []

    def operand(self, position: int) -> str:
        """Name of an optional input; empty where it is absent."""
        return self.node.input[position] if position < len(self.node.input) else ""

    def output(self, position: int) -> str:
        return self.node.output[position] if position < len(self.node.output) else ""

    def add(
        self, operator: str, inputs: Sequence[str], output: str = "", **attributes: Any
    ) -> str:
        """Appends a node; its output is named after the fused node unless given."""
        name = f"{self.node.name}.{operator.lower()}{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(operator, list(inputs), [output or name], name=name, **attributes)
        )
        return output or name

    def constant(self, value: np.ndarray) -> str:
        name = f"{self.node.name}.constant{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(value, name))
        return name

    def heads(self, name: str, count: int) -> str:
        """[n, s, count * d] -> [n, count, s, d]."""
        sizes = self.constant(np.array([0, 0, count, -1], np.int64))
        return self.add("Transpose", [self.add("Reshape", [name, sizes])], perm=[0, 2, 1, 3])

    def from_heads(self, name: str, output: str) -> str:
        """[n, heads, s, d] -> [n, s, heads * d]."""
        moved = self.add("Transpose", [name], perm=[0, 2, 1, 3])
        sizes = self.constant(np.array([0, 0, -1], np.int64))
        return self.add("Reshape", [moved, sizes], output)


def _skip_norm(parts: _Parts) -> str | None:
    """(x + skip + bias), normalised; the sum is a result too."""
    simple = parts.node.op_type == "SkipSimplifiedLayerNormalization"
    bias = parts.operand(3 if simple else 4)
    if parts.output(1) or parts.output(2):
        return "without outputs of mean and variance"
    total = parts.output(3)
    if bias:
        inner = parts.add("Add", [parts.operand(0), parts.operand(1)])
        total = parts.add("Add", [inner, bias], total)
    else:
        total = parts.add("Add", [parts.operand(0), parts.operand(1)], total)
    _norm(parts, total, parts.operand(2), "" if simple else parts.operand(3), simple)
    return None


def _simple_norm(parts: _Parts) -> str | None:
    if parts.output(1):
        return "without an output of the inverse deviation"
    _norm(parts, parts.operand(0), parts.operand(1), "", True)
    return None


def _norm(parts: _Parts, source: str, gamma: str, beta: str, simple: bool) -> None:
    operands = [name for name in (source, gamma, beta) if name]
    parts.add("RMSNormalization" if simple else "LayerNormalization", operands, parts.output(0),
              axis=-1, epsilon=parts.given.get("epsilon", 1e-5 if simple else 1e-12))


def _gelu(parts: _Parts) -> str | None:
    """Gelu, BiasGelu (erf) and FastGelu (tanh), with or without a bias."""
    source = parts.operand(0)
    if parts.operand(1):
        source = parts.add("Add", [source, parts.operand(1)])
    form = "tanh" if parts.node.op_type == "FastGelu" else "none"
    parts.add("Gelu", [source], parts.output(0), approximate=form)
    return None


def _quick_gelu(parts: _Parts) -> str | None:
    """x * sigmoid(1.702 x)."""
    alpha = parts.constant(np.array(parts.given.get("alpha", 1.702), np.float32))
    gate = parts.add("Sigmoid", [parts.add("Mul", [parts.operand(0), alpha])])
    parts.add("Mul", [parts.operand(0), gate], parts.output(0))
    return None


def _multi_head_attention(parts: _Parts) -> str | None:
    """Q, K, V of [n, s, heads * d]; optional: a bias for the three, masks, a scale."""
    if not (parts.operand(1) and parts.operand(2)):
        return "with query, key and value apart"
    if any(parts.operand(i) for i in range(6, 10)):
        return "without past or cache"
    if any(parts.node.output[1:]):
        return "with one output"
    padding = parts.operand(4)
    if padding and len(parts.shapes.get(padding, ())) not in (1, 2, 3):
        return "with a key_padding_mask of known shape [n], [n, keys] or [n, queries, keys]"
    if padding and len(parts.shapes[padding]) == 1:
        batch = parts.shapes.get(parts.operand(0), parts.shapes[padding])[:1]
        if parts.shapes[padding] != batch:
            return "with a length per sequence in a key_padding_mask of one dimension"
    count = int(parts.given["num_heads"])
    sources = list(parts.node.input[:3])
    if parts.operand(3):
        sizes = parts.constant(np.array([3, -1], np.int64))
        rows = parts.add("Reshape", [parts.operand(3), sizes])
        for index in range(3):
            at = parts.constant(np.array(index, np.int64))
            bias = parts.add("Gather", [rows, at], axis=0)
            sources[index] = parts.add("Add", [sources[index], bias])
    mask = _kept_to_mask(parts, padding) if padding or parts.given.get("unidirectional") else ""
    query, key, value = (parts.heads(source, count) for source in sources)
    result = _attend(parts, query, key, value, [m for m in (parts.operand(5), mask) if m])
    parts.from_heads(result, parts.output(0))
    return None


def _kept_to_mask(parts: _Parts, padding: str) -> str:
    """The additive mask of MultiHeadAttention's key_padding_mask and of its order of positions.

    padding: 0 where a key [n, keys] is hidden, or hidden from a query [n, queries, keys], or how
    many keys [n] are kept; empty for none.
    """
    low = min(float(parts.given.get("mask_filter_value", LEAST_MASK)), LEAST_MASK)
    keys = parts.add("Shape", [parts.operand(1)], start=1, end=2)
    kept = ""
    if padding:
        axes = {1: [], 2: [1, 2], 3: [1]}[len(parts.shapes[padding])]
        if not axes:
            zero, one = (parts.constant(np.array(i, np.int64)) for i in (0, 1))
            order = parts.add("Range", [zero, parts.add("Squeeze", [keys]), one])
            sizes = parts.constant(np.array([-1, 1, 1, 1], np.int64))
            length = parts.add("Cast", [parts.add("Reshape", [padding, sizes])], to=_INT64)
            kept = parts.add("Less", [order, length])
        else:
            at = parts.constant(np.array(axes, np.int64))
            kept = parts.add("Cast", [parts.add("Unsqueeze", [padding, at])], to=_BOOL)
    if parts.given.get("unidirectional", 0):
        queries = parts.add("Shape", [parts.operand(0)], start=1, end=2)
        ones = parts.add("ConstantOfShape", [parts.add("Concat", [queries, keys], axis=0)],
                         value=numpy_helper.from_array(np.ones(1, np.int64)))
        order = parts.add("Cast", [parts.add("Trilu", [ones], upper=0)], to=_BOOL)
        kept = parts.add("And", [kept, order]) if kept else order
    zero = parts.constant(np.zeros((), np.float32))
    return parts.add("Where", [kept, zero, parts.constant(np.array(low, np.float32))])


def _attend(
    parts: _Parts, query: str, key: str, value: str, masks: Sequence[str], cap: float = 0.0
) -> str:
    """softmax(Q K^T * scale + masks) V; a scale of 0 means 1 / sqrt(d), found from Q's shape.

    cap: scores are bent to c tanh(score / c); 0 for none.
    """
    turned = parts.add("Transpose", [key], perm=[0, 1, 3, 2])
    scores = parts.add("MatMul", [query, turned])
    scale = parts.given.get("scale", 0.0)
    if scale:
        constant = parts.constant(np.array(scale, np.float32))
        scores = parts.add("Mul", [scores, constant])
    else:
        size = parts.add("Cast", [parts.add("Shape", [query], start=3, end=4)], to=1)
        scores = parts.add("Div", [scores, parts.add("Sqrt", [size])])
    if cap:
        inner, outer = (parts.constant(np.array(c, np.float32)) for c in (1 / cap, cap))
        bent = parts.add("Tanh", [parts.add("Mul", [scores, inner])])
        scores = parts.add("Mul", [bent, outer])
    for mask in masks:
        scores = parts.add("Add", [scores, mask])
    return parts.add("MatMul", [parts.add("Softmax", [scores], axis=-1), value])


_EXPANSIONS: dict[str, Callable[[_Parts], str | None]] = {
    "BiasGelu": _gelu,
    "FastGelu": _gelu,
    "Gelu": _gelu,
    "MultiHeadAttention": _multi_head_attention,
    "QuickGelu": _quick_gelu,
    "SimplifiedLayerNormalization": _simple_norm,
    "SkipLayerNormalization": _skip_norm,
    "SkipSimplifiedLayerNormalization": _skip_norm,
}


def opset_of_parts(model: onnx.ModelProto) -> int:
    """The opset that the parts of the fused operators need; 0 where there are none.

    Gives each its true domain: `SimplifiedLayerNormalization` stands in ONNX's own in real files,
    though ONNX has it not.
    """
    opset = 0
    for node in model.graph.node:
        if node.op_type in _RMS_NORMS:
            node.domain = _MICROSOFT
        if node.domain == _MICROSOFT and node.op_type in _EXPANSIONS:
            opset = max(opset, OPSET_OF_RMS_NORM if node.op_type in _RMS_NORMS else OPSET_OF_GELU)
    if opset and not any(o.domain == _MICROSOFT for o in model.opset_import):
        model.opset_import.append(helper.make_opsetid(_MICROSOFT, 1))
    return opset


def expand_microsoft(model: onnx.ModelProto) -> None:
    """Expands onnxruntime's operators in place.

    Raises:
      UserError: forms that have no expansion here, all of them.
    """
    graph = model.graph
    light = shape_inference.infer_shapes(without_weights(model), strict_mode=False)
    shapes = shapes_of(light.graph)
    nodes: list[onnx.NodeProto] = []
    problems = []
    for node in graph.node:
        if node.domain != _MICROSOFT or node.op_type not in _EXPANSIONS:
            nodes.append(node)
            continue
        parts = _Parts(node, shapes)
        needed = _EXPANSIONS[node.op_type](parts)
        if needed is not None:
            problems.append(
                f"node {node.name} ({node.op_type}): must be {needed}, got it otherwise; export "
                "the model without fusing it"
            )
        nodes += parts.nodes
        graph.initializer.extend(parts.tensors)
    raise_if_any(problems)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    if not any(node.domain == _MICROSOFT for node in graph.node):
        kept = [o for o in model.opset_import if o.domain != _MICROSOFT]
        del model.opset_import[:]
        model.opset_import.extend(kept)


def expand_attention(view: View) -> bool:
    """Attention of opset 23 becomes its parts.

    Raises:
      UserError: forms that have no parts here, all of them.
    """
    changed = False
    problems = []
    for node in list(view.nodes):
        if node.op_type != "Attention" or node.domain:
            continue
        parts = _Parts(node, view.shapes)
        if any(name not in view.shapes for name in node.input[:3]):
            continue
        needed = _refusal(parts)
        if needed is not None:
            problems.append(
                f"node {node.name} (Attention): must be {needed}, got it otherwise; export the "
                "model without fusing it"
            )
            continue
        _expand_one(view, parts, [view.shapes[name] for name in node.input[:3]])
        for tensor in parts.tensors:
            array = numpy_helper.to_array(tensor)
            renamed = view.add_constant(tensor.name, array)
            assert renamed == tensor.name
        view.replace(node, parts.nodes)
        changed = True
    raise_if_any(problems)
    return changed


def _refusal(parts: _Parts) -> str | None:
    """What an Attention would have to be to have parts; None where it has."""
    if any(parts.operand(i) for i in range(4, 7)):
        return "without past keys and values, and without lengths"
    if any(parts.node.output[1:]):
        return "with one output"
    capped = bool(parts.given.get("softcap", 0.0))
    if capped and (parts.operand(3) or parts.given.get("is_causal", 0)):
        return "without a mask where it has a softcap, which bends the mask too"
    mask = parts.operand(3)
    if mask and mask not in parts.shapes:
        return "with a mask of known shape"
    return None


def _expand_one(view: View, parts: _Parts, shapes: list[tuple[int, ...]]) -> None:
    given = parts.given
    flat = len(shapes[0]) == 3
    names = list(parts.node.input[:3])
    counts = [given.get("q_num_heads", 0), given.get("kv_num_heads", 0)]
    counts = counts if flat else [shapes[0][1], shapes[1][1]]
    if flat:
        names = [
            parts.heads(name, int(count))
            for name, count in zip(names, (counts[0], counts[1], counts[1]), strict=True)
        ]
    groups = int(counts[0]) // int(counts[1])
    lengths = shapes[0][-2], shapes[1][-2]
    depth = shapes[0][-1] // int(counts[0]) if flat else shapes[0][-1]
    values = shapes[2][-1] // int(counts[1]) if flat else shapes[2][-1]
    if groups > 1:  # each key and value head serves `groups` query heads
        for index, size in ((1, depth), (2, values)):
            names[index] = _repeated(parts, names[index], int(counts[1]), groups,
                                     (shapes[0][0], lengths[1], size))
    given["scale"] = given.get("scale", 0.0) or 1 / math.sqrt(depth)
    query, key, value = names
    masks = _masks(view, parts, lengths)
    result = _attend(parts, query, key, value, masks, float(given.get("softcap", 0.0)))
    if flat:
        parts.from_heads(result, parts.output(0))
    else:
        parts.nodes[-1].output[0] = parts.output(0)


def _masks(view: View, parts: _Parts, lengths: tuple[int, int]) -> list[str]:
    """What Attention adds to scores of [queries, keys]; one mask for both where that can be."""
    mask, low = parts.operand(3), np.array(np.finfo(np.float32).min, np.float32)
    lower = np.tril(np.ones(lengths, bool)) if parts.given.get("is_causal", 0) else None
    boolean = bool(mask) and view.types.get(mask) == onnx.TensorProto.BOOL
    missing = lengths[1] - parts.shapes[mask][-1] if mask else 0
    if 0 < missing < lengths[1] - 1:  # opset 23: what a mask does not reach is hidden
        shape = (*parts.shapes[mask][:-1], missing)
        hidden = np.zeros(shape, bool) if boolean else np.full(shape, low, np.float32)
        mask = parts.add("Concat", [mask, parts.constant(hidden)], axis=-1)
    if boolean:
        if lower is not None:
            mask = parts.add("And", [mask, parts.constant(lower)])
        keep = parts.constant(np.zeros((), np.float32))
        return [parts.add("Where", [mask, keep, parts.constant(low)])]
    if lower is None:
        return [mask] if mask else []
    causal = np.where(lower, np.float32(0), low)
    values = view.constant(mask) if mask and not missing else None
    if values is not None:
        return [parts.constant(np.maximum(values + causal, low).astype(np.float32))]
    return [*([mask] if mask else []), parts.constant(causal)]


def _repeated(
    parts: _Parts, name: str, heads: int, groups: int, sizes: tuple[int, int, int]
) -> str:
    """[n, heads, s, d] -> [n, heads * groups, s, d], each head `groups` times in a row."""
    batch, length, depth = sizes
    apart = parts.constant(np.array([batch, heads, 1, length, depth], np.int64))
    wide = parts.constant(np.array([batch, heads, groups, length, depth], np.int64))
    whole = parts.constant(np.array([batch, heads * groups, length, depth], np.int64))
    expanded = parts.add("Expand", [parts.add("Reshape", [name, apart]), wide])
    return parts.add("Reshape", [expanded, whole])
