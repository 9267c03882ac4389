"""Nodes in front of the device: ids and masks, made of inputs that nothing quantizes.

They are plain ONNX. Operators that this reference does not write down itself are run by
onnx.reference, on arrays of the graph's own types.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from jacquard.proto.lib.errors import UserError
from jacquard.sim.reference.value import AnyArray, Operand

_QDQ = ("QuantizeLinear", "DequantizeLinear")


def host_values(graph: onnx.GraphProto) -> set[str]:
    """Tensors that depend on constants and on inputs that no QuantizeLinear reads, and on nothing
    else; constants alone are not among them."""
    constants = {tensor.name for tensor in graph.initializer}
    found = {value.name for value in graph.input} - constants
    found -= {node.input[0] for node in graph.node if node.op_type in _QDQ}
    for node in graph.node:
        operands = {name for name in node.input if name}
        if node.op_type in _QDQ:
            continue  # rows of a quantized table are the device's
        if operands <= constants:
            constants.update(node.output)
        elif operands <= constants | found:
            found.update(name for name in node.output if name)
    return found


def evaluate(
    node: onnx.NodeProto, operands: Sequence[Operand | None], model: onnx.ModelProto
) -> list[Operand]:
    """The results of one node, in the order of its outputs.

    Raises:
      UserError: onnx.reference cannot run it.
    """
    feeds: dict[str, AnyArray] = {
        name: np.asarray(value)
        for name, value in zip(node.input, operands, strict=True)
        if name and value is not None
    }
    names = [name for name in node.output if name]
    graph = helper.make_graph(
        [node], "host",
        [helper.make_empty_tensor_value_info(name) for name in feeds],
        [helper.make_empty_tensor_value_info(name) for name in names],
    )
    try:
        alone = helper.make_model(graph, opset_imports=model.opset_import)
        found = dict(zip(names, ReferenceEvaluator(alone).run(None, feeds), strict=True))
    except Exception as error:  # its errors are of every kind
        said = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise UserError(
            f"node {node.name} ({node.op_type}): must be computable in front of the device, got: "
            f"{said}; correct the model or its inputs"
        ) from error
    return [np.asarray(found[name]) if name else np.empty(0) for name in node.output]
