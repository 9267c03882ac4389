"""Puts seeded weights into a committed graph.

He-initialized weights are rescaled layer by layer from one forward pass, so that activations keep
unit variance and calibration finds a normal range. The gains found are rounded to four significant
bits: the last bits of a float convolution differ between machines, the filled model does not.
"""

import pathlib
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from google.protobuf import text_format
from onnx import helper, numpy_helper

from jacquard.benchmarks.models.seeded import SeededStream, seeded_inputs

FloatArray = npt.NDArray[np.float32]
LAYERS = ("Conv", "Gemm", "MatMul")
_GAIN_BITS = 4
_TABLE_STD = 0.02  # as GPT-2, BERT and Llama begin; of 1, a tied head repeats what it is given
_WEIGHTS_SEED = 2_000_000  # apart from the seeds of inputs and calibration


def load_graph(path: str | pathlib.Path) -> onnx.ModelProto:
    """A committed graph: its weights have dimensions and no data."""
    model = onnx.ModelProto()
    text_format.Parse(pathlib.Path(path).read_text(), model)
    return model


def fill(
    model: onnx.ModelProto, seed: int, like: onnx.ModelProto | None = None
) -> onnx.ModelProto:
    """A copy of `model` whose empty initializers hold seeded values.

    Those that `like`, a filled model, has too hold its values: a decode step has the weights of
    its prefill. `X.T` is X transposed, `X.rows` the first rows of X, in one model or between two.

    Weights of Conv, Gemm and MatMul: He init, each output channel scaled by 0.5 to 1.5 as folded
    batch norms do, the layer rescaled to a standard deviation of 1 (1/sqrt(2) where an Add reads
    it; a bias between them does not count). Gammas and variances of norms: 0.5 to 1.5. Embeddings
    and other added tables: normal with a standard deviation of 0.02. Everything else that is empty:
    normal with one of 0.1.
    """
    filled = onnx.ModelProto()
    filled.CopyFrom(model)
    stream = SeededStream(_WEIGHTS_SEED + seed)
    empty = {tensor.name for tensor in filled.graph.initializer if _is_empty(tensor)}
    tensors = {tensor.name: tensor for tensor in filled.graph.initializer}
    values: dict[str, npt.NDArray[Any]] = {
        name: numpy_helper.to_array(t) for name, t in tensors.items() if name not in empty
    }
    values.update(seeded_inputs(filled, seed))
    given = {} if like is None else {
        t.name: numpy_helper.to_array(t) for t in like.graph.initializer
    }
    added = _summands(filled.graph)
    for node in filled.graph.node:
        weight = node.input[1] if node.op_type in LAYERS else ""
        for name in node.input:
            if name in empty:
                shape = tuple(tensors[name].dims)
                known = _known(name, shape, given, values)
                values[name] = _seeded(node, name, shape, stream) if known is None else known
                if f"{name}.rows" in given:
                    rows = given[f"{name}.rows"][0]
                    values[name][: len(rows)] = rows
        if weight in empty and _known(weight, tuple(tensors[weight].dims), given, values) is None:
            target = np.sqrt(0.5) if node.output[0] in added else 1.0
            gain = _rounded(target / float(_without_bias(filled, node, values).std()))
            values[weight] = values[weight] * np.float32(gain)
        for name in dict.fromkeys(n for n in node.input if n in empty):
            tensors[name].CopyFrom(numpy_helper.from_array(values[name], name))
        empty -= set(node.input)
        values.update(zip(node.output, _evaluate(filled, node, values), strict=True))
    return filled


def _known(
    name: str, shape: tuple[int, ...], given: dict[str, FloatArray],
    values: dict[str, npt.NDArray[Any]],
) -> FloatArray | None:
    """What `name` must be because of weights that there are already."""
    if name in given:
        return given[name]
    base, _, form = name.rpartition(".")
    source = given.get(base, values.get(base))
    if source is None or form not in ("T", "rows"):
        return None
    made = source.T if form == "T" else source[None, : shape[-2]]
    return np.ascontiguousarray(made)


def _seeded(
    node: onnx.NodeProto, name: str, shape: tuple[int, ...], stream: SeededStream
) -> FloatArray:
    position = list(node.input).index(name)
    if node.op_type in LAYERS and position == 1:
        return _he_weights(node, shape, stream)
    if node.op_type == "BatchNormalization" and position in (1, 4):  # gamma, variance
        return stream.uniform(shape, 0.5, 1.5)
    if (node.op_type == "LayerNormalization" and position == 1) or node.op_type == "Mul":
        return stream.uniform(shape, 0.5, 1.5)
    if node.op_type == "Gather" or (node.op_type == "Add" and len(shape) > 1):
        return stream.normal(shape) * np.float32(_TABLE_STD)
    return stream.normal(shape) * np.float32(0.1)


def _summands(graph: onnx.GraphProto) -> set[str]:
    """Tensors that an Add of two activations reads, at once or behind a bias."""
    constants = {tensor.name for tensor in graph.initializer}
    summands: set[str] = set()
    for node in reversed(graph.node):
        if node.op_type == "Add":
            biased = constants & set(node.input)
            if not biased or node.output[0] in summands:
                summands |= set(node.input) - constants
    return summands


def _is_empty(tensor: onnx.TensorProto) -> bool:
    fields = ("raw_data", "float_data", "int32_data", "int64_data", "external_data")
    return all(not getattr(tensor, field) for field in fields) and 0 not in tensor.dims


def _output_axis(node: onnx.NodeProto) -> int:
    if node.op_type == "Conv":
        return 0
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return 0 if attributes.get("transB", 0) else -1


def _he_weights(node: onnx.NodeProto, shape: tuple[int, ...], stream: SeededStream) -> FloatArray:
    axis = _output_axis(node)
    fan_in = int(np.prod(shape)) // shape[axis]
    channel = [1] * len(shape)
    channel[axis] = shape[axis]
    gains = stream.uniform((shape[axis],), 0.5, 1.5).reshape(channel)
    he = np.float32(np.sqrt(2.0 / fan_in))
    return (stream.normal(shape) * gains * he).astype(np.float32)


def _without_bias(
    model: onnx.ModelProto, node: onnx.NodeProto, values: dict[str, npt.NDArray[Any]]
) -> FloatArray:
    bare = onnx.NodeProto()
    bare.CopyFrom(node)
    del bare.input[2:]
    return _evaluate(model, bare, values)[0]


def _evaluate(
    model: onnx.ModelProto,
    node: onnx.NodeProto,
    values: dict[str, npt.NDArray[Any]],
) -> list[FloatArray]:
    """One node in onnxruntime, on one thread."""
    names = [name for name in dict.fromkeys(node.input) if name]
    graph = helper.make_graph(
        [node],
        "node",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(values[name].dtype), values[name].shape
            )
            for name in names
        ],
        [helper.make_empty_tensor_value_info(name) for name in node.output],
    )
    one = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(one.SerializeToString(), options)
    results: list[FloatArray] = session.run(None, {name: values[name] for name in names})
    return results


def _rounded(gain: float) -> float:
    """To four significant bits."""
    mantissa, exponent = np.frexp(gain)
    return float(np.ldexp(np.rint(mantissa * 2**_GAIN_BITS), exponent - _GAIN_BITS))
