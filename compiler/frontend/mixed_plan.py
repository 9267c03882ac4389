"""Which tensors of a transformer are quantized, and in how many bits.

Operands of matrix products have 8 bits, what else crosses between operators 16; keys and values
that are outputs have 8, as the next step's product reads them. What lies between two nodes of one
group, and a mask, stays float. The operands of a Concat have its result's grid: past and present keys.
"""

import numpy as np
import onnx

from jacquard.compiler.frontend.patterns.movement import MOVEMENTS
from jacquard.compiler.frontend.patterns.view import View

PRODUCTS = ("MatMul", "Gemm", "Conv")
# Of one activation operand, whose values they do not change.
_CARRIES = (*MOVEMENTS, "Gather", "GatherND", "Slice", "Split", "Expand", "Identity")
NARROW, WIDE = 8, 16
_MASKING = -1e4
Bits = int


def wants_mixed(model: onnx.ModelProto) -> bool:
    """Whether it has what 8 bits throughout do not survive: norms, products of activations."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return any(
        node.op_type in ("LayerNormalization", "RMSNormalization")
        or (node.op_type == "MatMul" and not constants & set(node.input))
        for node in model.graph.node
    )


class Plan:
    """Which tensors are quantized, and to which widths their readers need them."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.kept: set[str] = set()  # float between two nodes of one group, or a mask
        self.needs: dict[str, set[Bits]] = {}
        self._unquantized()
        caches = self._caches()
        for name in view.outputs:  # first: what a Concat's operands need follows from its result
            if self.is_activation(name):
                self.needs.setdefault(name, set()).add(NARROW if name in caches else WIDE)
        for node in reversed(view.nodes):
            for position, name in enumerate(node.input):
                if self.is_activation(name) and name not in self.kept:
                    self.needs.setdefault(name, set()).update(self.bits(node, position))

    def is_activation(self, name: str) -> bool:
        """A float tensor that depends on data; masks made from integers do not count."""
        return (
            bool(name)
            and name not in self.view.tensors
            and self.view.types.get(name) == onnx.TensorProto.FLOAT
        )

    def bits(self, node: onnx.NodeProto, position: int) -> set[Bits]:
        """In which widths `node` may read its operand at `position`."""
        if node.op_type in PRODUCTS:
            return {NARROW}
        if node.op_type in _CARRIES and position == 0:
            widths: set[Bits] = set()
            for name in node.output:
                widths |= self.needs.get(name, set())
            return widths or {WIDE}
        if node.op_type == "Concat":
            return {WIDE if WIDE in self.needs.get(node.output[0], {WIDE}) else NARROW}
        return {WIDE}

    def root(self, name: str) -> str:
        """The tensor whose grid `name` has."""
        joined = self.roots()
        while name not in joined:
            node = self.view.producer(name)
            if node is None or not self.carries(node):
                return name
            name = node.input[0]
        return joined[name]

    def roots(self) -> dict[str, str]:
        """Operands of a Concat, what they are moved from -> its result, whose grid they have."""
        found: dict[str, str] = {}
        for node in reversed(self.view.nodes):
            if node.op_type != "Concat" or not all(map(self.is_activation, node.input)):
                continue
            result = found.get(node.output[0], node.output[0])
            for operand in node.input:
                for name in self._moved_from(operand):
                    found.setdefault(name, result)
        return found

    def _moved_from(self, name: str) -> list[str]:
        """`name`, and the tensors it comes from by movements for it alone."""
        names = [name]
        node = self.view.producer(name, *MOVEMENTS)
        while node is not None and self.view.read_once(node.input[0]):
            names.append(node.input[0])
            node = self.view.producer(node.input[0], *MOVEMENTS)
        return names

    def _caches(self) -> set[str]:
        """Outputs that are keys or values: second operands of products of two activations."""
        read = {
            self._origin(node.input[1])
            for node in self.view.nodes
            if node.op_type == "MatMul" and all(map(self.is_activation, node.input))
        }
        return {name for name in self.view.outputs if self._origin(name) in read}

    def _origin(self, name: str) -> str:
        """The tensor whose elements `name` holds in another order."""
        node = self.view.producer(name, *MOVEMENTS, "Expand")
        while node is not None:
            name = node.input[0]
            node = self.view.producer(name, *MOVEMENTS, "Expand")
        return name

    def carries(self, node: onnx.NodeProto) -> bool:
        return node.op_type in _CARRIES and self.is_activation(node.input[0])

    def _unquantized(self) -> None:
        view = self.view
        data = {name for name in view.inputs if self.is_activation(name)}
        for node in view.nodes:
            table = node.op_type == "Gather" and node.input[0] in view.tensors
            if data & set(node.input) or table:
                data.update(node.output)
            else:
                self.kept.update(n for n in node.output if self.is_activation(n))
        for node in view.nodes:
            result = node.output[0]
            reader = view.readers(result)[0] if view.read_once(result) else None
            if reader is not None and node.op_type in PRODUCTS and self._completes(reader, result):
                self.kept.add(result)
            if node.op_type == "Softmax":
                self._keep_mask_and_guard(node)

    def _completes(self, reader: onnx.NodeProto, result: str) -> bool:
        """Whether `reader` adds a bias to a product, or scales it by a constant."""
        constant = reader.input[1] if len(reader.input) == 2 else ""
        if reader.input[0] != result or constant not in self.view.tensors:
            return False
        size = int(np.prod(self.view.tensors[constant].dims))
        if reader.op_type == "Add":
            return size == self.view.shapes[result][-1]
        return reader.op_type == "Mul" and size == 1

    def _keep_mask_and_guard(self, softmax: onnx.NodeProto) -> None:
        view, logits = self.view, softmax.input[0]
        front = view.producer(logits, "Add", "Where")
        if front is not None and view.read_once(logits):
            operands = front.input if front.op_type == "Add" else front.input[1:]
            masks = [name for name in operands if self._is_mask(name)]
            if masks:
                self.kept.add(logits)
                self.kept.update(name for name in masks if name not in view.tensors)
        result = softmax.output[0]
        readers = view.readers(result)
        if readers and all(reader.op_type in ("IsNaN", "Where") for reader in readers):
            self.kept.add(result)

    def _is_mask(self, name: str) -> bool:
        """Made from integers or constants alone, an input as it is, or a constant that masks."""
        values = self.view.constant(name)
        if values is not None:
            return bool(values.min() <= _MASKING)
        node = self.view.producer(name, *MOVEMENTS)
        source = name if node is None else node.input[0]
        return name in self.kept or source in self.view.inputs

    def logits(self) -> set[str]:
        """Quantized tensors that a Softmax reads, through its mask."""
        found: set[str] = set()
        for node in self.view.nodes:
            if node.op_type == "Softmax":
                name = node.input[0]
                front = self.view.producer(name) if name in self.kept else None
                found.update([name] if front is None else front.input)
        return found
