"""From an exported graph to the one that is committed: without weights, with names of its own."""

from collections.abc import Collection, Mapping

import onnx


def strip(model: onnx.ModelProto, kept: Collection[str] = ()) -> None:
    """Drops metadata, inferred shapes and the data of all float tensors but scalars and `kept`."""
    for proto in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output,
                  *model.graph.initializer):
        proto.ClearField("doc_string")
        proto.ClearField("metadata_props")
    del model.graph.value_info[:]
    for tensor in model.graph.initializer:
        weights = tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 0
        if weights and tensor.name not in kept:
            for field in ("raw_data", "float_data", "external_data", "data_location"):
                tensor.ClearField(field)


def apply_names(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Renames tensors wherever they stand; those that `names` does not have stay."""
    for node in graph.node:
        for field in (node.input, node.output):
            field[:] = [names.get(name, name) for name in field]
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
