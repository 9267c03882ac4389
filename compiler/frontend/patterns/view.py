"""What the rewrites read and change: a graph with producers, readers, constants and shapes.

`View` holds the nodes in a list of its own; `commit` puts them back. Names of tensors that a
rewrite keeps stay, so that outputs, overrides and reports find them.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from jacquard.compiler.frontend.fold import shapes_of

AnyArray = npt.NDArray[Any]
_OWN_DOMAINS = ("", "ai.onnx")


class View:
    """A graph under rewriting.

    Attributes:
      nodes: in topological order.
      shapes: of every tensor whose dimensions were known when the view was made.
      types: elem_type of the same.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self.nodes: list[onnx.NodeProto] = list(graph.node)
        self.shapes = shapes_of(graph)
        self.types = {tensor.name: tensor.data_type for tensor in graph.initializer}
        for value in (*graph.input, *graph.value_info, *graph.output):
            self.types[value.name] = value.type.tensor_type.elem_type
        self.tensors = {tensor.name: tensor for tensor in graph.initializer}
        self.outputs = {value.name for value in graph.output}
        self.inputs = {value.name for value in graph.input}
        self._arrays: dict[str, AnyArray] = {}
        self.sweep()

    def sweep(self) -> None:
        """Removes nodes that nothing needs and counts readers anew."""
        needed = set(self.outputs)
        kept = []
        for node in reversed(self.nodes):
            if needed & set(node.output):
                kept.append(node)
                needed.update(node.input)
        self.nodes = kept[::-1]
        self._producers = {name: node for node in self.nodes for name in node.output if name}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def commit(self) -> None:
        """Puts the nodes back; unread initializers go."""
        self.sweep()
        nodes = []
        for node in self.nodes:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            nodes.append(copy)
        del self._graph.node[:]
        self._graph.node.extend(nodes)
        for index in reversed(range(len(self._graph.initializer))):
            name = self._graph.initializer[index].name
            if name not in self._readers and name not in self.outputs:
                del self._graph.initializer[index]

    def producer(self, name: str, *operators: str) -> onnx.NodeProto | None:
        """The node that gives `name`, where it is one of `operators` (any, if none are named)."""
        node = self._producers.get(name)
        if node is None or node.domain not in _OWN_DOMAINS:
            return None
        return node if not operators or node.op_type in operators else None

    def readers(self, name: str) -> list[onnx.NodeProto]:
        """Nodes that read `name`; one that reads it twice is listed twice."""
        return self._readers.get(name, [])

    def read_once(self, name: str) -> bool:
        """Whether one operand alone depends on `name`."""
        return len(self.readers(name)) == 1 and name not in self.outputs

    def constant(self, name: str) -> AnyArray | None:
        """The values of an initializer."""
        if name not in self.tensors:
            return None
        if name not in self._arrays:
            self._arrays[name] = numpy_helper.to_array(self.tensors[name])
        return self._arrays[name]

    def scalar(self, name: str) -> float | None:
        """The value of a floating-point initializer of one element."""
        tensor = self.tensors.get(name)
        if tensor is None or int(np.prod(tensor.dims)) != 1:
            return None
        value = self.constant(name)
        assert value is not None
        return float(value.reshape(())) if value.dtype.kind == "f" else None

    def is_scalar(self, name: str, value: float, tolerance: float = 1e-4) -> bool:
        """Whether `name` is a constant of about `value`; exporters round to 4 to 9 digits."""
        found = self.scalar(name)
        return found is not None and abs(found - value) <= tolerance * max(1.0, abs(value))

    def add_constant(self, hint: str, value: AnyArray) -> str:
        """A new initializer; its name."""
        name, count = hint, 0
        while name in self.tensors or name in self._producers or name in self.inputs:
            count += 1
            name = f"{hint}.{count}"
        self._graph.initializer.append(numpy_helper.from_array(value, name))
        self.tensors[name] = self._graph.initializer[-1]
        self.shapes[name] = value.shape
        self.types[name] = self.tensors[name].data_type
        return name

    def set_constant(self, name: str, value: AnyArray) -> None:
        """Other values of the same shape and type."""
        self.tensors[name].CopyFrom(numpy_helper.from_array(value, name))
        self._arrays.pop(name, None)

    def replace(self, node: onnx.NodeProto, nodes: Sequence[onnx.NodeProto]) -> None:
        """Puts `nodes`, which give all of its outputs, in the place of `node`."""
        place = next(i for i, other in enumerate(self.nodes) if other is node)
        self.nodes[place : place + 1] = nodes
        self.sweep()

    def bypass(self, node: onnx.NodeProto, source: str) -> bool:
        """Lets the readers of `node` read `source` instead; False where a name is in the way."""
        target = node.output[0]
        if target in self.outputs:
            if source in self.outputs or source not in self._producers:
                return False
            self._rename(source, target)
            self.nodes = [other for other in self.nodes if other is not node]
        else:
            for reader in self.readers(target):
                reader.input[:] = [source if name == target else name for name in reader.input]
        self.sweep()
        return True

    def _rename(self, old: str, new: str) -> None:
        for node in self.nodes:
            node.input[:] = [new if name == old else name for name in node.input]
            if new not in node.output:
                node.output[:] = [new if name == old else name for name in node.output]

    def make(
        self, operator: str, inputs: Iterable[str], output: str, name: str, **attributes: Any
    ) -> onnx.NodeProto:
        """A node of one output."""
        return helper.make_node(operator, list(inputs), [output], name=name, **attributes)


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Attribute name -> Python value."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def axes_of(view: View, node: onnx.NodeProto) -> list[int] | None:
    """The axes of a reduction, from the attribute (old opsets) or the operand."""
    given = attributes_of(node).get("axes")
    if given is None and len(node.input) > 1 and node.input[1]:
        constant = view.constant(node.input[1])
        given = None if constant is None else constant.reshape(-1).tolist()
    return None if given is None else [int(axis) for axis in given]
