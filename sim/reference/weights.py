"""Which softmaxes are stored as weights of their rows: README.md, rule 10, on the ONNX graph."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jacquard.sim.reference.node import Node
from jacquard.sim.reference.value import AnyArray

SAME = ("Cast", "Dropout", "Identity")  # hand on the real tensor that they read


@dataclass(frozen=True)
class RowWeights:
    """What the rule says of a graph, as far as shapes and types allow it too.

    Attributes:
      quantized: outputs of QuantizeLinears that store weights, if they store uint8 of zero point 0.
      products: output of each MatMul that reads weights -> the QuantizeLinear's output.
    """

    quantized: frozenset[str]
    products: Mapping[str, str]


def find(
    nodes: Sequence[Node], initializers: Mapping[str, AnyArray], outputs: Collection[str]
) -> RowWeights:
    """The rule for every Softmax of a graph."""
    graph = _Graph(nodes, initializers, outputs)
    quantized: set[str] = set()
    products: dict[str, str] = {}
    for node in graph.nodes:
        if node.op != "Softmax":
            continue
        for quantizer in graph.quantizers(node.outputs[0]):
            found = graph.products(quantizer)
            if found:
                quantized.add(quantizer.outputs[0])
                products |= dict.fromkeys(found, quantizer.outputs[0])
    return RowWeights(frozenset(quantized), products)


class _Graph:
    """Who reads what, of the nodes on which an output depends."""

    def __init__(
        self, nodes: Sequence[Node], initializers: Mapping[str, AnyArray], outputs: Collection[str]
    ) -> None:
        self.outputs = frozenset(outputs)
        self.known = dict(initializers)
        self.nodes: list[Node] = []
        needed = set(outputs)
        for node in reversed(nodes):
            if needed.intersection(node.outputs):
                needed.update(node.inputs)
                self.nodes.append(node)
        self.nodes.reverse()
        self.readers: dict[str, list[Node]] = {}
        constants = set(initializers)
        for node in self.nodes:
            if node.op == "Constant":
                self.known[node.outputs[0]] = np.asarray(next(iter(node.attributes.values())))
            elif node.op == "Identity" and node.inputs[0] in self.known:
                self.known[node.outputs[0]] = self.known[node.inputs[0]]
            if all(name in constants for name in node.inputs if name):
                constants.update(node.outputs)
            for name in dict.fromkeys(node.inputs):
                self.readers.setdefault(name, []).append(node)
        self.constants = frozenset(constants)

    def quantizers(self, softmax: str) -> Iterator[Node]:
        """The QuantizeLinears behind a softmax; a NaN guard may lie between."""
        names, tests = [softmax], set()
        for name in names:
            for node in self.readers.get(name, ()):
                if node.op in SAME:
                    names.append(node.outputs[0])
                elif node.op == "IsNaN":
                    tests.add(node.outputs[0])
                elif node.op == "QuantizeLinear":
                    yield node
            for test in tests:
                for node in self.readers.get(test, ()):
                    if node.op == "Where" and node.inputs[2] in names:
                        if node.outputs[0] not in names:
                            names.append(node.outputs[0])

    def products(self, quantizer: Node) -> list[str]:
        """Outputs of the MatMuls that read what a Q stores; none where the rule fails."""
        grid = self._grid(quantizer)
        stored, found = [quantizer.outputs[0]], []
        for name in stored:
            if grid is None or name in self.outputs:
                return []
            for reader in self.readers.get(name, ()):
                if reader.op != "DequantizeLinear" or self._grid(reader) != grid:
                    return []
                real = [reader.outputs[0]]
                for value in real:
                    if value in self.outputs:
                        return []
                    for node in self.readers.get(value, ()):
                        if node.op in SAME:
                            real.append(node.outputs[0])
                        elif node.op == "QuantizeLinear" and self._grid(node) == grid:
                            stored.append(node.outputs[0])  # the same integers again
                        elif node.op == "MatMul" and self._weighted(node, real):
                            found.append(node.outputs[0])
                        elif node.op != "Shape":
                            return []
        return found

    def _weighted(self, node: Node, weights: Sequence[str]) -> bool:
        """A product with an activation whose result only gains and clamps lead to its Qs."""
        left, right = node.inputs
        if left not in weights or right in weights or right in self.constants:
            return False
        values = [(node.outputs[0], False)]
        for name, clamped in values:
            if name in self.outputs:
                return False
            for reader in self.readers.get(name, ()):
                if reader.op in SAME:
                    values.append((reader.outputs[0], clamped))
                elif reader.op in ("Relu", "Clip"):
                    values.append((reader.outputs[0], True))
                elif not clamped and self._is_gain(reader, name):
                    values.append((reader.outputs[0], False))
                elif reader.op not in ("QuantizeLinear", "Shape"):
                    return False
        return True

    def _is_gain(self, node: Node, name: str) -> bool:
        """Mul or Div by one positive constant."""
        if node.op not in ("Mul", "Div") or (node.op == "Div" and node.inputs[0] != name):
            return False
        other = self.known.get(node.inputs[node.inputs[0] == name])
        return other is not None and other.size == 1 and bool(0 < other.reshape(()) < np.inf)

    def _grid(self, node: Node) -> tuple[float, int, str] | None:
        """(scale, zero point, type) of a Q or DQ per tensor; None where they are not known."""
        scale = self.known.get(node.inputs[1])
        zero: AnyArray | None = np.zeros((), np.uint8)
        if len(node.inputs) > 2 and node.inputs[2]:
            zero = self.known.get(node.inputs[2])
        if scale is None or zero is None or scale.size != 1 or zero.size != 1:
            return None
        return float(scale.reshape(())), int(zero.reshape(())), str(zero.dtype)
