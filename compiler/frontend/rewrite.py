"""Import's rewrites: nodes that compute nothing go, Sum and batch norm simplify."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from jacquard.proto.lib.fixed_point import batch_norm_affine

_DEFAULT_EPSILON = 1e-5


def _readers(graph: onnx.GraphProto) -> dict[str, int]:
    """Tensor name -> how often it is read, as a graph output too."""
    counts: dict[str, int] = {}
    for name in [n for node in graph.node for n in node.input] + [o.name for o in graph.output]:
        counts[name] = counts.get(name, 0) + 1
    return counts


def drop_copies(graph: onnx.GraphProto) -> None:
    """Removes Identity, Dropout (inference) and Sum or Concat of one operand."""
    outputs = {value.name for value in graph.output}
    sources = {value.name for value in graph.input} | {t.name for t in graph.initializer}
    readers = _readers(graph)
    alias: dict[str, str] = {}
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        node.input[:] = [alias.get(name, name) for name in node.input]
        copies = (
            node.op_type == "Identity"
            or (node.op_type == "Dropout" and not any(readers.get(n) for n in node.output[1:]))
            or (node.op_type in ("Concat", "Sum") and len(node.input) == 1)
        )
        if not copies:
            kept.append(node)
            continue
        source, target = node.input[0], node.output[0]
        if target not in outputs:
            alias[target] = source
        elif source in sources or source in outputs:
            node.op_type = "Identity"  # an input or another output under a second name
            kept.append(node)
        else:  # the graph's output keeps its name, its producer and other readers take it
            for other in kept:
                other.input[:] = [target if name == source else name for name in other.input]
                other.output[:] = [target if name == source else name for name in other.output]
            alias = {key: target if value == source else value for key, value in alias.items()}
            alias[source] = target
    del graph.node[:]
    graph.node.extend(kept)


def sums_to_adds(graph: onnx.GraphProto) -> None:
    """Sum of n operands becomes n - 1 Adds, from the left."""
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type != "Sum" or len(node.input) < 2:
            nodes.append(node)
            continue
        left = node.input[0]
        for index, right in enumerate(node.input[1:], start=1):
            last = index == len(node.input) - 1
            result = node.output[0] if last else f"{node.output[0]}.partial{index}"
            name = node.name if last else f"{node.name}.partial{index}"
            nodes.append(helper.make_node("Add", [left, right], [result], name=name))
            left = result
    del graph.node[:]
    graph.node.extend(nodes)


def fold_batch_norms(graph: onnx.GraphProto) -> None:
    """Folds a BatchNormalization into the Conv that it alone reads; others stay as they are."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    producers = {node.output[0]: node for node in graph.node if node.op_type == "Conv"}
    readers = _readers(graph)
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        conv = producers.get(node.input[0]) if node.op_type == "BatchNormalization" else None
        constants = list(node.input[1:]) + (list(conv.input[1:]) if conv is not None else [])
        if (
            conv is None
            or readers[node.input[0]] != 1
            or any(readers.get(name) for name in node.output[1:])
            or any(name and name not in tensors for name in constants)
        ):
            kept.append(node)
            continue
        gamma, beta, mean, variance = (
            numpy_helper.to_array(tensors[name]) for name in node.input[1:5]
        )
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), _DEFAULT_EPSILON)
        gain, offset = batch_norm_affine(gamma, beta, mean, variance, epsilon)
        weight = numpy_helper.to_array(tensors[conv.input[1]]).astype(np.float64)
        scaled = weight * gain.reshape(-1, *(1,) * (weight.ndim - 1))
        if len(conv.input) > 2 and conv.input[2]:
            offset = offset + gain * numpy_helper.to_array(tensors[conv.input[2]])
        names = [f"{conv.input[1]}@{node.name}", f"{node.name}.bias"]
        for name, value in zip(names, (scaled, offset), strict=True):
            tensors[name] = numpy_helper.from_array(value.astype(np.float32), name)
            graph.initializer.append(tensors[name])
        conv.input[1:] = names
        conv.output[0] = node.output[0]
        producers[conv.output[0]] = conv
    del graph.node[:]
    graph.node.extend(kept)


def drop_dead(graph: onnx.GraphProto) -> None:
    """Removes nodes and initializers that no output depends on."""
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(tensors)
