"""From a file or bytes to a model whose inputs are real and have sizes."""

import pathlib
from collections.abc import Mapping, Sequence

import google.protobuf.message
import onnx

from jacquard.proto.lib.errors import UserError, raise_if_any

# onnx's shape inference and onnxruntime accept initializers outside of the inputs from here on.
IR_VERSION_OF_FREE_INITIALIZERS = 4
_EXPORT_AGAIN = "export the model again"


def read(source: str | pathlib.Path | bytes) -> onnx.ModelProto:
    """Parses a model, external data included.

    Raises:
      UserError: no such file, not ONNX, truncated, or external data missing.
    """
    if isinstance(source, bytes):
        place, data, path = "model", source, None
    else:
        path = pathlib.Path(source)
        place = str(source)
        if not path.is_file():
            raise UserError(f"{place}: must be an ONNX file, got no such file; check the path")
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
            onnx.load_external_data_for_model(model, str(path.parent))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            raise UserError(
                f"{place}: its external data must lie beside it, got: "
                f"{' '.join(str(error).split())}; copy the data file too"
            ) from error
    model.ir_version = max(model.ir_version, IR_VERSION_OF_FREE_INITIALIZERS)
    return model


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
