"""SmoothQuant (arXiv:2211.10438): large activation channels move into the weights that read them.

Where products with constant weights alone read a tensor X, its channel j is divided by s[j] and row
j of their weights multiplied by it; the function stays. The division goes into what gives X: gamma
and beta of a norm, or the columns and bias of a layer (also through a Mul by another activation, as
in SwiGLU). s[j] = max|X[j]|^alpha / max|W[j]|^(1 - alpha). Weights that anything else reads (a tied
embedding) stay as they are, and so does their X.

The factors travel in the quantized model's metadata, so that a decode step has its prefill's.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from jacquard.compiler.frontend.fold import open_session
from jacquard.compiler.frontend.patterns.view import View, attributes_of
from jacquard.proto.lib.errors import UserError

Factors = dict[str, npt.NDArray[np.float32]]
Arrays = Mapping[str, npt.NDArray[np.generic]]
_NORMS = ("LayerNormalization", "RMSNormalization")
_LAYERS = ("Gemm", "MatMul")
_KEY = "jacquard.smooth."
_LEAST = 1e-5  # of a range, and of a factor: a channel that is always zero keeps its scale


@dataclass(frozen=True)
class Site:
    """A tensor whose channels may be scaled.

    Attributes:
      tensor: its name.
      rows: weights of its readers, and which of their dimensions its channels are.
      vectors: constants with an element per channel that are divided with it.
      columns: weights of the layer that gives it, and their dimension of channels.
    """

    tensor: str
    rows: tuple[tuple[str, int], ...]
    vectors: tuple[str, ...]
    columns: tuple[tuple[str, int], ...] = ()

    @property
    def name(self) -> str:
        """The same in every form of a model: the first weights'."""
        return self.rows[0][0]


def smoothed(model: onnx.ModelProto, batches: Iterable[Arrays], alpha: float) -> onnx.ModelProto:
    """The float model with its outliers in the weights; the factors in its metadata.

    Args:
      model: as `import_model` gives it.
      batches: calibration data.
      alpha: how much of the difficulty the weights take, 0 to 1; 0.5 shares it.

    Raises:
      UserError: alpha out of range, or nothing to smooth.
    """
    if not 0 <= alpha <= 1:
        raise UserError(f"smooth_quant: must be from 0 to 1, got {alpha:g}; 0.5 is usual")
    view = View(model.graph)
    sites = find_sites(view)
    if not sites:
        raise UserError(
            "smooth_quant: the model must have a norm or a layer whose result products with "
            "constant weights alone read, got none; quantize it without"
        )
    largest = _largest(model, view, sites, batches)
    factors = {}
    for site in sites:
        weights = np.max([
            np.abs(_rows(view, name, axis)).max(axis=1) for name, axis in site.rows], axis=0)
        x, w = (np.maximum(v.astype(np.float64), _LEAST) for v in (largest[site.tensor], weights))
        s = np.maximum(x**alpha / w ** (1 - alpha), _LEAST)
        used = (largest[site.tensor] > _LEAST) & (weights > _LEAST)
        factors[site.name] = np.where(used, s, 1.0).astype(np.float32)
    return with_factors(model, factors)


def with_factors(model: onnx.ModelProto, factors: Factors) -> onnx.ModelProto:
    """The float model scaled by given factors, which go into its metadata."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    view = View(result.graph)
    for site in find_sites(view):
        s = factors.get(site.name)
        if s is None:
            continue
        for name, axis in site.rows:
            _scale(view, name, axis, s)
        for name, axis in site.columns:
            _scale(view, name, axis, np.float32(1) / s)
        for name in site.vectors:
            _scale(view, name, 0, np.float32(1) / s)
    store(result, factors)
    return result


def store(model: onnx.ModelProto, factors: Factors) -> None:
    """Puts factors into a model's metadata."""
    for name, s in sorted(factors.items()):
        text = base64.b64encode(s.astype("<f4").tobytes()).decode()
        model.metadata_props.add(key=f"{_KEY}{name}", value=text)


def factors_of(model: onnx.ModelProto) -> Factors:
    """The factors of a smoothed model, quantized or not; empty for any other."""
    return {
        entry.key.removeprefix(_KEY): np.frombuffer(base64.b64decode(entry.value), "<f4")
        for entry in model.metadata_props if entry.key.startswith(_KEY)
    }


def find_sites(view: View) -> list[Site]:
    """The tensors that can be smoothed, in the order of the graph."""
    sites = []
    for node in view.nodes:
        tensor = node.output[0]
        rows = _readers(view, tensor)
        if not rows:
            continue
        if node.op_type in _NORMS and _own(view, node.input[1:], tensor):
            sites.append(Site(tensor, rows, tuple(name for name in node.input[1:] if name)))
            continue
        layers: list[onnx.NodeProto | None] = [node]
        if node.op_type == "Mul":  # one of the factors is divided, whichever can be
            layers = [view.producer(x) for x in node.input if view.read_once(x)]
        for layer in layers:
            given = None if layer is None else _layer(view, layer)
            if given is not None:
                sites.append(Site(tensor, rows, given[1], (given[0],)))
                break
    return sites


def _readers(view: View, tensor: str) -> tuple[tuple[str, int], ...]:
    """Weights of the products that read `tensor`; none where anything else does."""
    found = []
    for node in view.readers(tensor):
        given = attributes_of(node)
        if node.op_type not in _LAYERS or node.input[0] != tensor or given.get("transA", 0):
            return ()
        name = node.input[1]
        if not _private(view, name) or len(view.tensors[name].dims) != 2:
            return ()
        found.append((name, int(given.get("transB", 0))))
    return () if tensor in view.outputs else tuple(found)


def _layer(
    view: View, node: onnx.NodeProto
) -> tuple[tuple[str, int], tuple[str, ...]] | None:
    """((weights, dimension of their columns), (bias,)) of a layer read once; None for others."""
    bias: tuple[str, ...] = ()
    if node.op_type == "Add" and view.read_once(node.input[0]):
        bias, layer = (node.input[1],), view.producer(node.input[0], "MatMul")
    else:
        layer = view.producer(node.output[0], *_LAYERS)
    if layer is None or not _private(view, layer.input[1]):
        return None
    bias += tuple(name for name in layer.input[2:] if name)
    given = attributes_of(layer)
    plain = given.get("alpha", 1.0) == given.get("beta", 1.0) == 1.0
    dims = list(view.tensors[layer.input[1]].dims)
    axis = 0 if given.get("transB", 0) else 1
    if not plain or len(dims) != 2 or not _own(view, bias, node.output[0]):
        return None
    return (layer.input[1], axis), bias


def _private(view: View, name: str) -> bool:
    """A constant that one operand alone reads, and no transposed copy of an embedding's table."""
    return name in view.tensors and view.read_once(name) and not _tied(view, name)


def _tied(view: View, name: str) -> bool:
    dims = list(view.tensors[name].dims)
    for node in view.nodes:
        table = view.tensors.get(node.input[0]) if node.op_type == "Gather" else None
        if table is not None and len(dims) == 2 and list(table.dims) == dims[::-1]:
            values, copy = view.constant(table.name), view.constant(name)
            assert values is not None and copy is not None
            if np.array_equal(values.T, copy):
                return True
    return False


def _own(view: View, names: Iterable[str], tensor: str) -> bool:
    """Whether these are constants of an element per channel of `tensor` that nothing else reads."""
    size = view.shapes[tensor][-1]
    return all(
        _private(view, name) and list(view.tensors[name].dims) == [size] for name in names if name
    )


def _rows(view: View, name: str, axis: int) -> npt.NDArray[np.float32]:
    values = view.constant(name)
    assert values is not None
    return np.moveaxis(values, axis, 0)


def _scale(view: View, name: str, axis: int, by: npt.NDArray[np.floating]) -> None:
    """Multiplies a constant along one dimension."""
    values = view.constant(name)
    assert values is not None
    shape = [-1 if i == axis else 1 for i in range(values.ndim)]
    view.set_constant(name, (values * by.reshape(shape)).astype(np.float32))


def _largest(
    model: onnx.ModelProto, view: View, sites: list[Site], batches: Iterable[Arrays]
) -> Factors:
    """The largest magnitude of each channel of the sites' tensors."""
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    graph = probed.graph
    del graph.output[:]
    for index, site in enumerate(sites):
        axes = f"smooth.{index}.axes"
        others = np.arange(len(view.shapes[site.tensor]) - 1)
        graph.initializer.append(onnx.numpy_helper.from_array(others, axes))
        names = [f"smooth.{index}.{part}" for part in ("magnitude", "largest")]
        graph.node.append(helper.make_node("Abs", [site.tensor], names[:1]))
        graph.node.append(
            helper.make_node("ReduceMax", [names[0], axes], names[1:], keepdims=0))
        graph.output.append(helper.make_empty_tensor_value_info(names[1]))
    session = open_session(probed)
    found: list[npt.NDArray[np.float32]] = []
    for batch in batches:
        read = session.run(None, {v.name: batch[v.name] for v in session.get_inputs()})
        found = [np.maximum(a, b) for a, b in zip(found or read, read, strict=True)]
    return {site.tensor: values for site, values in zip(sites, found, strict=True)}
