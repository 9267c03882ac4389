"""Constant folding: what depends on constants and shapes alone is evaluated at import.

Both torch exporters and the opset-9 style build masks, shapes and even weights from Shape, Gather,
ConstantOfShape and arithmetic; no such node is left for the compiler.
"""

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import helper, numpy_helper, shape_inference

from jacquard.proto.lib.errors import UserError

AnyArray = npt.NDArray[Any]
# A quantized weight stays behind its DequantizeLinear; random numbers are not constants.
_NEVER_FOLDED = frozenset({
    "DequantizeLinear", "RandomNormal", "RandomUniform", "RandomNormalLike",
    "RandomUniformLike", "Bernoulli", "Multinomial", "If", "Loop", "Scan",
})
_VIEW_ROUNDS = 32
_LARGE_BYTES = 4096


def infer_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with the shapes of all its tensors, from the inputs' on.

    Raises:
      UserError: shapes that contradict each other.
    """
    del model.graph.value_info[:]
    try:
        inferred = shape_inference.infer_shapes(
            without_weights(model), strict_mode=True, data_prop=True
        )
    except shape_inference.InferenceError as error:
        raise UserError(
            f"model: shapes must agree along the graph, got: {_cause(str(error))}; correct the "
            "model, or the inputs' sizes: a sequence may not have more positions than the model"
        ) from error
    for field in ("input", "output", "value_info"):
        del getattr(model.graph, field)[:]
        getattr(model.graph, field).extend(getattr(inferred.graph, field))
    return model


def _cause(message: str) -> str:
    """onnx names every node behind a contradiction too; the first ones are its cause."""
    told = " ".join(message.split())
    causes = [
        place.strip() for place in re.split(r"(?=\(op_type:)", told)[1:]
        if "instead is null" not in place
    ]
    return "; ".join(causes) or told


def without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose large initializers have dimensions only: onnx's passes copy a model thrice."""
    light = onnx.ModelProto()
    for descriptor, value in model.ListFields():
        if descriptor.name != "graph":
            _assign(light, descriptor, value)
    for descriptor, value in model.graph.ListFields():
        if descriptor.name != "initializer":
            _assign(light.graph, descriptor, value)
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > _LARGE_BYTES:
            light.graph.initializer.add(
                name=tensor.name, data_type=tensor.data_type, dims=tensor.dims
            )
        else:
            light.graph.initializer.add().CopyFrom(tensor)
    return light


def _assign(message: Message, descriptor: FieldDescriptor, value: Any) -> None:
    if hasattr(value, "extend"):
        getattr(message, descriptor.name).extend(value)
    elif descriptor.message_type is not None:
        getattr(message, descriptor.name).CopyFrom(value)
    else:
        setattr(message, descriptor.name, value)


def shapes_of(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """Tensor name -> shape, for tensors whose dimensions are all known."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor_type = value.type.tensor_type
        sizes = [dim.dim_value if dim.HasField("dim_value") else -1
                 for dim in tensor_type.shape.dim]
        if tensor_type.HasField("shape") and -1 not in sizes:
            shapes[value.name] = tuple(sizes)
    return shapes


def fold_constants(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with its shapes inferred and no node that could be evaluated.

    Folding a Shape can give a Reshape its sizes, which gives later tensors their shapes: the two
    alternate until nothing changes.
    """
    for _ in range(_VIEW_ROUNDS):
        model = infer_shapes(model)
        if not _fold_once(model):
            return model
    raise UserError(f"model: shapes must settle in {_VIEW_ROUNDS} rounds, got more; simplify it")


def _fold_once(model: onnx.ModelProto) -> bool:
    graph = model.graph
    shapes = shapes_of(graph)
    constants: dict[str, AnyArray] = {}
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    kept, folded = [], []
    for node in graph.node:
        values = _evaluated(model, node, shapes, constants, tensors)
        if values is None:
            kept.append(node)
            continue
        for name, value in zip(node.output, values, strict=True):
            if name:
                constants[name] = value
                folded.append(numpy_helper.from_array(np.asarray(value), name))
    if not folded:
        return False
    del graph.node[:]
    graph.node.extend(kept)
    graph.initializer.extend(folded)
    return True


def _evaluated(
    model: onnx.ModelProto,
    node: onnx.NodeProto,
    shapes: dict[str, tuple[int, ...]],
    constants: dict[str, AnyArray],
    tensors: dict[str, onnx.TensorProto],
) -> list[AnyArray] | None:
    """The node's outputs where they are constant."""
    if node.op_type in _NEVER_FOLDED or node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type in ("Shape", "Size") and node.input[0] in shapes:
        shape = shapes[node.input[0]]
        if node.op_type == "Size":
            return [np.asarray(np.prod(shape, dtype=np.int64))]
        bounds = {a.name: a.i for a in node.attribute}
        start, end = bounds.get("start", 0), bounds.get("end", len(shape))
        return [np.asarray(shape[start:end], np.int64)]
    feeds = {}
    for name in node.input:
        if not name:
            continue
        if name not in constants:
            if name not in tensors:
                return None
            constants[name] = numpy_helper.to_array(tensors[name])
        feeds[name] = constants[name]
    return evaluate(model, node, feeds)


def evaluate(
    model: onnx.ModelProto, node: onnx.NodeProto, feeds: dict[str, AnyArray]
) -> list[AnyArray]:
    """One node in onnxruntime, on one thread.

    Raises:
      UserError: onnxruntime cannot.
    """
    graph = helper.make_graph(
        [node],
        "node",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
            )
            for name, value in feeds.items()
        ],
        [helper.make_empty_tensor_value_info(name) for name in node.output if name],
    )
    one = helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=min(model.ir_version, 10)
    )
    try:
        session = open_session(one)
        found = dict(
            zip([name for name in node.output if name], session.run(None, feeds), strict=True)
        )
    except Exception as error:  # onnxruntime's exceptions share no base class of their own
        raise UserError(
            f"node {node.name} ({node.op_type}): must be computable, its operands are constant; "
            f"got: {' '.join(str(error).split())}; correct the model"
        ) from error
    return [found.get(name, np.zeros(0)) for name in node.output]


def open_session(model: onnx.ModelProto) -> ort.InferenceSession:
    """onnxruntime on one thread: the same results on any number of cores."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what it raises is told once, by whoever catches it
    return ort.InferenceSession(model.SerializeToString(), options)
