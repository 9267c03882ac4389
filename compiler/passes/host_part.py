"""The nodes that the host computes: ids and masks, made of graph inputs that nothing quantizes.

They may be any ONNX operators. What device operators read of them is cut out as a model of its own,
with the nodes that masks need beside the graph's.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import helper, numpy_helper

from jacquard.compiler.codelets import base
from jacquard.compiler.graph.host import Bound, HostNode, HostPart
from jacquard.compiler.graph.ir import Grid, QTensor
from jacquard.proto.lib.errors import UserError

_QDQ = ("QuantizeLinear", "DequantizeLinear")


def host_values(graph: onnx.GraphProto) -> set[str]:
    """Names of what depends on inputs that nothing quantizes, and on nothing else but constants.

    What reads a dequantized constant (a table of embeddings) belongs to the device.
    """
    constants = {tensor.name for tensor in graph.initializer}
    found = {value.name for value in graph.input} - constants
    found -= {node.input[0] for node in graph.node if node.op_type in _QDQ}
    for node in graph.node:
        operands = [name for name in node.input if name]
        if node.op_type in _QDQ:
            continue
        if all(name in constants for name in operands):
            constants.update(node.output)
        elif (
            all(name in constants or name in found for name in operands)
            # A body reads outer names that are not among the node's inputs.
            and not any(a.HasField("g") or a.graphs for a in node.attribute)
        ):
            found.update(name for name in node.output if name)
    return found


class HostBuilder:
    """Collects what the device needs of the host while the graph is imported."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.values = host_values(model.graph)
        self._nodes = list(model.graph.node)
        self._initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self._inputs = {
            value.name: value
            for value in model.graph.input
            if value.name not in self._initializers
        }
        self._known: dict[str, base.Host] = {}
        self._bounds: dict[str, Bound] = {}
        self._used = {name for node in self._nodes for name in (*node.input, *node.output)}

    def typed(self, name: str) -> base.Host:
        """One of `values`, or of what was added, with shape and type. UserError if unknown."""
        if name not in self._known:
            output = self._inputs.get(name)
            if output is None:
                inferred = onnx.shape_inference.infer_shapes(self._cut([name]), data_prop=True)
                output = inferred.graph.output[0]
            kind = output.type.tensor_type
            shape = tuple(int(dim.dim_value) for dim in kind.shape.dim)
            if not kind.HasField("shape") or any(n <= 0 for n in shape) or not kind.elem_type:
                raise UserError(
                    f"tensor {name}: what the host computes must have a known shape, got "
                    f"{list(shape) or 'none'}; give the inputs' sizes when importing"
                )
            dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
            self._known[name] = base.Host(name, shape, str(dtype))
        return self._known[name]

    def sources(self, name: str) -> str:
        """The graph inputs that one of `values` is made of, to be named in a message."""
        needed = {name}
        for node in reversed(self._nodes):
            if needed & set(node.output):
                needed.update(node.input)
        return ", ".join(name for name in self._inputs if name in needed)

    # --- nodes beside the graph's -----------------------------------------------------------------

    def choice(
        self, name: str, condition: base.Host, low: np.ndarray, low_first: bool
    ) -> base.Host:
        """The mask of a Where: `low` float where the condition (or its opposite) holds, else 0."""
        zero = self._constant(f"{name}.zero", np.zeros((), np.float32))
        other = self._constant(f"{name}.low", low.astype(np.float32))
        branches = [other, zero] if low_first else [zero, other]
        return self._add("Where", [condition.name, *branches], f"{name}.mask")

    def total(self, name: str, a: base.Host, b: base.Host | base.Constant) -> base.Host:
        """Two masks added up. Both float32."""
        if isinstance(b, base.Constant):
            other = self._constant(f"{name}.fixed", b.value.astype(np.float32))
        else:
            other = b.name
        return self._add("Add", [a.name, other], f"{name}.mask")

    def _constant(self, name: str, value: np.ndarray) -> str:
        name = self._unused(name)
        self._initializers[name] = numpy_helper.from_array(value, name)
        return name

    def _add(self, op: str, operands: list[str], name: str) -> base.Host:
        name = self._unused(name)
        self._nodes.append(helper.make_node(op, operands, [name], name=name))
        return self.typed(name)

    def _unused(self, name: str) -> str:
        while name in self._used:
            name += "_"
        self._used.add(name)
        return name

    # --- what the device reads --------------------------------------------------------------------

    def bind_index(self, tensor: QTensor, limit: int) -> None:
        """An input of indices below `limit` (of several tables: below the smallest limit)."""
        known = self._bounds.get(tensor.name)
        limit = min(limit, known.limit) if known else limit
        self._bounds[tensor.name] = Bound("index", limit, self.sources(tensor.name))

    def bind_mask(self, host: base.Host) -> QTensor:
        """A float mask as the device reads it."""
        self._bounds[host.name] = Bound("mask")
        return QTensor(host.name, host.shape, Grid(1.0, 0, "int32"))

    def finish(self, needed: Iterable[str]) -> HostPart | None:
        """The part in front of the device; `needed`: those bound inputs that ops still read."""
        bounds = {name: self._bounds[name] for name in needed if name in self._bounds}
        if not bounds:
            return None
        computed = [name for name in bounds if name not in self._inputs]
        if not computed:
            return HostPart(b"", (), bounds)
        model = self._cut(computed)
        del model.graph.output[:]
        for name in computed:
            host = self.typed(name)
            kind = helper.np_dtype_to_tensor_dtype(np.dtype(host.dtype))
            model.graph.output.append(helper.make_tensor_value_info(name, kind, host.shape))
        reason = (
            f"made of {', '.join(value.name for value in model.graph.input)} alone, which nothing "
            "quantizes: runs before the device"
        )
        nodes = tuple(
            HostNode(node.name or node.output[0], node.op_type, reason)
            for node in model.graph.node
            if node.op_type != "Constant"
        )
        return HostPart(model.SerializeToString(deterministic=True), nodes, bounds)

    def _cut(self, names: list[str]) -> onnx.ModelProto:
        """The model of these values, its outputs without types."""
        needed, kept = set(names), []
        for node in reversed(self._nodes):
            if any(name in needed for name in node.output):
                kept.append(node)
                needed.update(node.input)
        graph = helper.make_graph(
            kept[::-1], "host",
            [value for name, value in self._inputs.items() if name in needed],
            [onnx.ValueInfoProto(name=name) for name in names],
            [tensor for name, tensor in self._initializers.items() if name in needed],
        )
        return helper.make_model(graph, opset_imports=self.model.opset_import,
                                 ir_version=self.model.ir_version, producer_name="jacquard")
