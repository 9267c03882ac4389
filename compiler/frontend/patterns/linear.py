"""Linear layers in one form: MatMul and Add of a vector, one layer per result.

Exporters of GPT-2 flatten positions around a Gemm, and let one layer give Q, K and V, which a Split
takes apart. Layers of their own have grids of their own, and what scales Q moves into its weights.
"""

import numpy as np
import onnx

from jacquard.compiler.frontend.patterns.view import View, attributes_of


def unflatten_gemms(view: View) -> bool:
    """Reshape -> Gemm -> Reshape to [.., s, n] is MatMul of [.., s, k] and Add."""
    changed = False
    for node in list(view.nodes):
        if node.op_type != "Gemm" or len(node.input) != 3 or not view.read_once(node.output[0]):
            continue
        reader = view.readers(node.output[0])[0]
        wide = view.shapes.get(reader.output[0])
        given = attributes_of(node)
        weights, bias = view.constant(node.input[1]), view.constant(node.input[2])
        plain = given.get("alpha", 1.0) == given.get("beta", 1.0) == 1.0
        if weights is None or bias is None or not plain or given.get("transA", 0):
            continue
        columns = weights.shape[0 if given.get("transB", 0) else 1]
        if (
            reader.op_type != "Reshape"
            or wide is None
            or len(wide) < 3
            or wide[-1] != columns
            or bias.size != columns
            or view.producer(node.input[0], "Reshape") is None
        ):
            continue
        factor = node.input[1]
        if given.get("transB", 0):
            factor = view.add_constant(f"{factor}.transposed", np.ascontiguousarray(weights.T))
        vector = node.input[2]
        if bias.ndim != 1:
            vector = view.add_constant(f"{vector}.vector", bias.reshape(columns))
        shape = (*wide[:-1], view.shapes[node.input[0]][-1])
        sizes = view.add_constant(f"{node.name}.shape", np.asarray(shape, np.int64))
        source, product = f"{node.name}.operand", f"{node.name}.product"
        _declare(view, source, shape)
        _declare(view, product, wide)
        result = reader.output[0]
        view.replace(reader, [
            view.make("Reshape", [node.input[0], sizes], source, source),
            view.make("MatMul", [source, factor], product, node.name),
            view.make("Add", [product, vector], result, f"{node.name}.bias"),
        ])
        changed = True
    return changed


def split_layers(view: View) -> bool:
    """Split behind MatMul and Add becomes a layer for each of its results."""
    changed = False
    for node in list(view.nodes):
        layer = _layer_before(view, node) if node.op_type == "Split" else None
        if layer is None or any(name not in view.shapes for name in node.output):
            continue
        widths = [view.shapes[name][-1] for name in node.output]
        product, add = layer
        weights, bias = view.constant(product.input[1]), view.constant(add.input[1])
        assert weights is not None and bias is not None
        made, start = [], 0
        for index, (name, width) in enumerate(zip(node.output, widths, strict=True)):
            columns = slice(start, start + width)
            start += width
            inner = f"{product.output[0]}.{index}"
            _declare(view, inner, view.shapes[name])
            factor = view.add_constant(f"{product.input[1]}.{index}",
                                       np.ascontiguousarray(weights[:, columns]))
            vector = view.add_constant(f"{add.input[1]}.{index}", bias[columns])
            made += [
                view.make("MatMul", [product.input[0], factor], inner, f"{product.name}.{index}"),
                view.make("Add", [inner, vector], name, f"{add.name}.{index}"),
            ]
        view.replace(node, made)
        changed = True
    return changed


def _layer_before(
    view: View, split: onnx.NodeProto
) -> tuple[onnx.NodeProto, onnx.NodeProto] | None:
    """The MatMul and the Add of a vector whose columns `split` takes apart, for it alone."""
    add = view.producer(split.input[0], "Add")
    shape = view.shapes.get(split.input[0])
    product = None if add is None else view.producer(add.input[0], "MatMul")
    if add is None or product is None or shape is None:
        return None
    last = attributes_of(split).get("axis", 0) in (-1, len(shape) - 1)
    bias, weights = view.constant(add.input[1]), view.constant(product.input[1])
    if bias is None or weights is None or bias.shape != shape[-1:] or weights.ndim != 2:
        return None
    alone = view.read_once(add.output[0]) and view.read_once(product.output[0])
    return (product, add) if last and alone else None


def _declare(view: View, name: str, shape: tuple[int, ...]) -> None:
    view.shapes[name], view.types[name] = shape, onnx.TensorProto.FLOAT
