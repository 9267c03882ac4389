"""From a file or bytes to a model whose inputs are real and have sizes."""

import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import google.protobuf.message
import onnx
from onnx import external_data_helper, helper

from jacquard.proto.lib.errors import UserError, raise_if_any

# onnx's shape inference and onnxruntime accept initializers outside of the inputs from here on.
IR_VERSION_OF_FREE_INITIALIZERS = 4
_EXPORT_AGAIN = "export the model again"
_SHOWN = 8  # names of a cycle in a message


def read(source: str | pathlib.Path | bytes) -> onnx.ModelProto:
    """Parses a model, external data included.

    Raises:
      UserError: no such file, not ONNX, truncated, or external data missing or truncated.
    """
    if isinstance(source, bytes):
        place, data, path = "model", source, None
    else:
        path = pathlib.Path(source)
        place = str(source)
        if not path.is_file():
            got = "a folder" if path.is_dir() else "no such file"
            raise UserError(f"{place}: must be an ONNX file, got {got}; check the path")
        data = path.read_bytes()
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except google.protobuf.message.DecodeError as error:
        raise UserError(
            f"{place}: must be an ONNX file, got {len(data)} bytes that are not one or are "
            f"truncated; {_EXPORT_AGAIN}"
        ) from error
    if not model.graph.node or not model.opset_import:
        missing = "no nodes" if not model.graph.node else "no opset"
        raise UserError(
            f"{place}: must be a whole ONNX file, got a file with {missing}; {_EXPORT_AGAIN}"
        )
    external = [
        tensor
        for tensor in model.graph.initializer
        if tensor.data_location == onnx.TensorProto.EXTERNAL
    ]
    if external and path is None:
        raise UserError(
            f"{place}: weights must lie in the bytes given, got {len(external)} tensors with "
            "external data; give the file's path"
        )
    if external and path is not None:
        try:
            raise_if_any(_truncated(external, path.parent))
            onnx.load_external_data_for_model(model, str(path.parent))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            raise UserError(
                f"{place}: its external data must lie beside it, got: "
                f"{' '.join(str(error).split())}; copy the data file too"
            ) from error
    model.ir_version = max(model.ir_version, IR_VERSION_OF_FREE_INITIALIZERS)
    return model


def _truncated(tensors: Iterable[onnx.TensorProto], folder: pathlib.Path) -> list[str]:
    """A line per external data file that ends before its tensors do."""
    needed: dict[str, int] = {}
    for tensor in tensors:
        info = external_data_helper.ExternalDataInfo(tensor)
        size = info.length
        if size is None:  # up to the file's end; types from INT4 on share bytes, STRING has no size
            if tensor.data_type > onnx.TensorProto.DOUBLE or (
                tensor.data_type == onnx.TensorProto.STRING
            ):
                continue
            size = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
            size *= math.prod(tensor.dims)
        end = (info.offset or 0) + size
        needed[info.location] = max(needed.get(info.location, 0), end)
    lines = []
    for location, end in sorted(needed.items()):
        file = folder / location
        if file.is_file() and file.stat().st_size < end:
            lines.append(
                f"{file}: must hold {end} bytes of weights, got {file.stat().st_size}: it is "
                "truncated; copy the data file again"
            )
    return lines


def check_edges(graph: onnx.GraphProto) -> None:
    """Tensors that nothing produces, and cycles; shape inference would blame other nodes.

    Raises:
      UserError: every input that is produced by nobody, and one cycle.
    """
    producers = {name: node for node in graph.node for name in node.output if name}
    known = {value.name for value in graph.input} | {t.name for t in graph.initializer}
    known |= {tensor.values.name for tensor in graph.sparse_initializer}
    problems = [
        f"node {node.name} ({node.op_type}): input {name} must be a graph input, a weight or "
        f"another node's output, got a tensor that nothing produces; {_EXPORT_AGAIN}"
        for node in graph.node
        for name in dict.fromkeys(node.input)
        if name and name not in known and name not in producers
    ]
    before = {
        node.name: list(dict.fromkeys(producers[i].name for i in node.input if i in producers))
        for node in graph.node
    }
    cycle = _cycle(before)
    if cycle:
        shown = cycle if len(cycle) <= _SHOWN else [*cycle[: _SHOWN - 1], "...", cycle[-1]]
        problems.append(
            f"node {cycle[0]}: must not depend on its own result, got the cycle "
            f"{' -> '.join(shown)}; {_EXPORT_AGAIN}"
        )
    raise_if_any(problems)


def _cycle(before: Mapping[str, Sequence[str]]) -> list[str]:
    """Names along one cycle, the first again at its end; [] if there is none."""
    readers: dict[str, list[str]] = {name: [] for name in before}
    for name, sources in before.items():
        for source in sources:
            readers[source].append(name)
    waits = {name: len(sources) for name, sources in before.items()}
    ready = [name for name, count in waits.items() if count == 0]
    while ready:
        for reader in readers[ready.pop()]:
            waits[reader] -= 1
            if waits[reader] == 0:
                ready.append(reader)
    walk = [name for name, count in waits.items() if count][:1]
    while walk:  # what waits has a source that waits
        source = next(name for name in before[walk[-1]] if waits[name])
        if source in walk:
            return [source, *reversed(walk[walk.index(source):])]
        walk.append(source)
    return []


def keep_real_inputs(graph: onnx.GraphProto) -> None:
    """Old exporters list every initializer as an input; those are no inputs."""
    constants = {tensor.name for tensor in graph.initializer}
    real = [value for value in graph.input if value.name not in constants]
    del graph.input[:]
    graph.input.extend(real)


def set_shapes(graph: onnx.GraphProto, shapes: Mapping[str, Sequence[int]]) -> None:
    """Gives the inputs their sizes, and forgets the shapes that were inferred without them.

    Args:
      shapes: input name -> sizes; needed for every input with a dynamic dimension.

    Raises:
      UserError: every input that has no size, or another one than given.
    """
    problems = []
    names = [value.name for value in graph.input]
    for name in sorted(set(shapes) - set(names)):
        problems.append(f"shape of {name}: must name an input, got no such name; the inputs "
                        f"are {', '.join(names)}")
    for value in graph.input:
        tensor_type = value.type.tensor_type
        given = shapes.get(value.name)
        dims = tensor_type.shape.dim
        if given is not None:
            fits = not tensor_type.HasField("shape") or (
                len(dims) == len(given)
                and all(
                    dim.dim_value in (0, size) for dim, size in zip(dims, given, strict=True)
                )
            )
            if not fits or any(size < 1 for size in given):
                known = [dim.dim_value or dim.dim_param or "?" for dim in dims]
                problems.append(
                    f"input {value.name}: must have shape {known}, got {list(given)}; "
                    "correct the shape"
                )
                continue
            del dims[:]
            for size in given:
                dims.add().dim_value = size
        elif not tensor_type.HasField("shape"):
            problems.append(
                f"input {value.name}: must have a shape, got none; give "
                f"--shape {value.name}=SIZES"
            )
        else:
            for axis, dim in enumerate(dims):
                if dim.dim_value < 1:
                    problems.append(
                        f"input {value.name}: dimension {axis} must have a size, got "
                        f"{dim.dim_param or 'nothing'!r}; give --shape {value.name}=SIZES"
                    )
    raise_if_any(problems)
    del graph.value_info[:]
    for value in graph.output:
        if any(dim.dim_value < 1 for dim in value.type.tensor_type.shape.dim):
            value.type.tensor_type.ClearField("shape")


def name_nodes(graph: onnx.GraphProto) -> None:
    """Every node gets a name of its own: messages, reports and overrides use it."""
    used: set[str] = set()
    for index, node in enumerate(graph.node):
        name = node.name or f"{node.op_type}_{index}"
        while name in used:
            name = f"{name}_{index}"
        node.name = name
        used.add(name)
