"""ONNX in, a normalised ONNX graph out: real inputs, static shapes, nothing left to fold.

The order: read, sizes, copies out, fold, raise the opset, Sum and batch norm, complaints. What a
user can have done wrong is reported together, one line per node or tensor.
"""

import pathlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np
import onnx
from onnx import numpy_helper, version_converter

from jacquard.compiler.frontend import rewrite
from jacquard.compiler.frontend.fold import (
    fold_constants,
    infer_shapes,
    shapes_of,
    without_weights,
)
from jacquard.compiler.frontend.load import (
    check_edges,
    keep_real_inputs,
    name_nodes,
    read,
    set_shapes,
)
from jacquard.compiler.frontend.patterns.fused import expand_microsoft, opset_of_parts
from jacquard.compiler.frontend.patterns.pipeline import normalize, raised
from jacquard.compiler.frontend.quantize import is_quantized
from jacquard.proto.lib.errors import UserError, raise_if_any

# Per-channel DequantizeLinear needs opset 13; 17 is old enough for every converter step to exist.
LOWEST_OPSET = 13
RAISED_OPSET = 17
_PRODUCTS = ("Conv", "Gemm", "MatMul")
_DATA_TYPES = ("FLOAT", "UINT8", "INT8", "UINT16", "INT16", "INT32")
# Token ids, masks and what is made of them may have these types too.
_INDEX_TYPES = ("INT64", "BOOL")
_INDEX_OPERATORS = frozenset({
    "And", "Cast", "Concat", "Equal", "Expand", "Gather", "Greater", "GreaterOrEqual", "IsNaN",
    "Less", "LessOrEqual", "Not", "Or", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze",
    "Where",
})


def import_model(
    source: str | pathlib.Path | bytes,
    shapes: Mapping[str, Sequence[int]] | None = None,
    supported: Collection[str] | None = None,
) -> onnx.ModelProto:
    """Reads and normalises a model.

    Args:
      source: a path, or the bytes of a file without external data.
      shapes: sizes of inputs with dynamic dimensions, by name.
      supported: the operators that may be left; None asks no question.

    Returns:
      A model of opset >= 13: initializers are no inputs, every tensor has a static shape in
      `value_info`, every node has a name of its own; no constant subgraph, Identity, Dropout, Sum,
      nor a BatchNormalization behind a Conv is left.

    Raises:
      UserError: see the messages; everything of a kind at once.
    """
    model = read(source)
    graph = model.graph
    name_nodes(graph)
    keep_real_inputs(graph)
    check_edges(graph)
    set_shapes(graph, shapes or {})
    rewrite.drop_copies(graph)
    model = _without_fused(model)
    graph = model.graph
    _check_operators_known(model, supported)
    raise_if_any(_disagreeing(graph, shapes_of(_inferred_loosely(model).graph)))
    model = fold_constants(model)
    rewrite.drop_dead(model.graph)
    model = _raised(model)
    rewrite.sums_to_adds(model.graph)
    rewrite.fold_batch_norms(model.graph)
    rewrite.drop_dead(model.graph)
    if not is_quantized(model):
        model = normalize(model)
        rewrite.drop_dead(model.graph)
    model = infer_shapes(model)
    problems = _with_the_list(_unsupported(model, supported), supported)
    problems += _bad_types(model.graph)
    problems += _bad_weights(model.graph)
    problems += _unknown_shapes(model.graph)
    raise_if_any(problems)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise UserError(
            f"model: must be valid ONNX, got: {' '.join(str(error).split())}; export it again"
        ) from error
    return model


def _without_fused(model: onnx.ModelProto) -> onnx.ModelProto:
    """onnxruntime's fused operators expanded, at an opset that has their parts."""
    opset = opset_of_parts(model)
    if not opset:
        return model
    model = raised(model, opset)
    name_nodes(model.graph)
    expand_microsoft(model)
    return model


def _inferred_loosely(model: onnx.ModelProto) -> onnx.ModelProto:
    """Shapes as far as they go, so that every contradiction can be named, not the first alone."""
    return onnx.shape_inference.infer_shapes(without_weights(model), strict_mode=False)


def _check_operators_known(model: onnx.ModelProto, supported: Collection[str] | None) -> None:
    """Operators that ONNX does not have stop shape inference, so they are named before it."""
    version = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    newest = onnx.defs.onnx_opset_version()
    if version > newest:
        raise UserError(
            f"model: opset must be at most {newest}, got {version}; export the model with an older one"
        )
    problems = []
    for node in model.graph.node:
        foreign = node.domain not in ("", "ai.onnx")
        if foreign or not onnx.defs.has(node.op_type, max(version, 1)):
            problems.append(_unsupported_line(node, supported))
    if problems:  # name the others too
        foldable = {"Constant", "Shape", "ConstantOfShape", "Gather", "Sum", "Size", "Cast"}
        for node in model.graph.node:
            line = _unsupported_line(node, supported)
            if (supported is not None and node.op_type not in supported
                    and node.op_type not in foldable and line not in problems):
                problems.append(line)
    raise_if_any(_with_the_list(problems, supported))


def _unsupported_line(node: onnx.NodeProto, supported: Collection[str] | None) -> str:
    operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    # The list once: with a line per node it would drown them.
    known = "an operator of the last line" if supported else "an ONNX operator"
    return (
        f"node {node.name}: operator must be supported, got {operator}; replace it by {known}"
    )


def _with_the_list(problems: Iterable[str], supported: Collection[str] | None) -> list[str]:
    """Lines about unsupported operators, and after them the operators that there are."""
    lines = list(problems)
    if lines and supported:
        lines.append(f"supported operators: {', '.join(sorted(supported))}")
    return lines


def _unsupported(model: onnx.ModelProto, supported: Collection[str] | None) -> Iterator[str]:
    hosted = _hosted(model.graph)
    for node in model.graph.node:
        if (supported is not None and node.op_type not in supported
                and not hosted.issuperset(filter(None, node.output))):
            yield _unsupported_line(node, supported)


def _hosted(graph: onnx.GraphProto) -> set[str]:
    """What is made of ids and masks alone: the host may run any operator for it.

    Rows of a float table that ids pick are data again.
    """
    floats = {
        tensor.name for tensor in graph.initializer
        if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
    }
    constants = {tensor.name for tensor in graph.initializer}
    indices = {onnx.TensorProto.DataType.Value(name) for name in ("INT32", *_INDEX_TYPES)}
    found = {v.name for v in graph.input if v.type.tensor_type.elem_type in indices}
    for node in graph.node:
        operands = [name for name in node.input if name]
        if all(name in constants for name in operands):
            constants.update(node.output)
            if node.op_type == "DequantizeLinear" or floats.intersection(operands):
                floats.update(node.output)
        elif node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            continue
        elif node.op_type.startswith("Gather") and operands[0] in floats:
            continue
        elif all(name in constants or name in found for name in operands):
            found.update(node.output)
    return found


def _raised(model: onnx.ModelProto) -> onnx.ModelProto:
    """To opset 17 where it is older than per-channel quantization."""
    version = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    if version >= LOWEST_OPSET:
        return model
    try:
        raised = version_converter.convert_version(model, RAISED_OPSET)
    except Exception as error:  # the converter's errors are RuntimeError and worse
        raise UserError(
            f"model: opset {version} must be convertible to {RAISED_OPSET}, got: "
            f"{' '.join(str(error).split())}; export it with opset {LOWEST_OPSET} or above"
        ) from error
    raised.ir_version = max(raised.ir_version, 8)
    name_nodes(raised.graph)
    keep_real_inputs(raised.graph)
    return fold_constants(raised)


def _disagreeing(
    graph: onnx.GraphProto, shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[str]:
    """Products whose inner dimensions differ, with the node's name."""
    for node in graph.node:
        operands = [shapes.get(name) for name in node.input[:2]]
        if node.op_type not in _PRODUCTS or None in operands:
            continue
        a, b = operands
        if not a or not b:
            continue
        attributes = {x.name: onnx.helper.get_attribute_value(x) for x in node.attribute}
        if node.op_type == "Conv":
            left, right = a[1], b[1] * attributes.get("group", 1)
            rule = "input channels and group x weight channels"
        else:
            left = a[0] if attributes.get("transA") else a[-1]
            right = b[-1] if attributes.get("transB") else b[max(len(b) - 2, 0)]
            rule = "inner dimensions"
        if left != right:
            yield (
                f"node {node.name} ({node.op_type}): {rule} must agree, got {left} of "
                f"{list(a)} and {right} of {list(b)}; correct the model"
            )


def _bad_types(graph: onnx.GraphProto) -> list[str]:
    """Tensors that flow at run time in types that the NPU has not."""
    allowed = {onnx.TensorProto.DataType.Value(name) for name in _DATA_TYPES}
    allowed.add(onnx.TensorProto.UNDEFINED)
    producers = {name: node for node in graph.node for name in node.output}
    index_types = {onnx.TensorProto.DataType.Value(name) for name in _INDEX_TYPES}
    only_indices = {value.name for value in graph.input} | {
        name for name, node in producers.items() if node.op_type in _INDEX_OPERATORS
    }
    for node in graph.node:
        if node.op_type not in _INDEX_OPERATORS:
            only_indices.difference_update(node.input)
    only_indices |= _hosted(graph)
    problems = []
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type.elem_type
        if kind in allowed or (kind in index_types and value.name in only_indices):
            continue
        node = producers.get(value.name)
        place = f"input {value.name}" if node is None else f"node {node.name} ({node.op_type})"
        problems.append(
            f"{place}: data type of {value.name} must be one of {', '.join(_DATA_TYPES)}, got "
            f"{onnx.TensorProto.DataType.Name(kind)}; convert the model"
        )
    return problems


def _bad_weights(graph: onnx.GraphProto) -> list[str]:
    problems = []
    factors = {  # what is added may be a mask of -inf
        name for node in graph.node if node.op_type in _PRODUCTS for name in node.input[1:]
    }
    for tensor in graph.initializer:
        if tensor.data_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
            continue
        values = numpy_helper.to_array(tensor)
        nans = int(np.count_nonzero(np.isnan(values)))
        infinite = int(np.count_nonzero(np.isinf(values)))
        if nans:
            problems.append(
                f"weights {tensor.name}: must be numbers, got {nans} NaN; train or export again"
            )
        elif infinite and tensor.name in factors:
            problems.append(
                f"weights {tensor.name}: must be finite, got {infinite} infinite; train or export "
                "again"
            )
    return problems


def _unknown_shapes(graph: onnx.GraphProto) -> list[str]:
    shapes = shapes_of(graph)
    return [
        f"node {node.name} ({node.op_type}): shape of {name} must be known, got none; give the "
        "inputs' shapes, or export with static ones"
        for node in graph.node
        for name in node.output
        if name and name not in shapes
    ]
