"""Which tensors of a model are quantized, and in how many bits.

In a transformer operands of matrix products have 8 bits, what else crosses between operators 16;
keys and values that are outputs have 8, as the next step's product reads them. Elsewhere all have 8
but the logits and the results of a Softmax. What lies between two nodes of one group, and a mask,
stays float. The operands of a Concat have its result's grid (past and present keys), those of a
comparison one scale.
"""

from collections.abc import Iterable

import numpy as np
import onnx

from jacquard.compiler.frontend.patterns.movement import MOVEMENTS
from jacquard.compiler.frontend.patterns.view import View, attributes_of
from jacquard.proto.lib.masks import LEAST_MASK

PRODUCTS = ("MatMul", "Gemm", "Conv")
# Of one activation operand, whose values they do not change.
_CARRIES = (*MOVEMENTS, "Gather", "GatherND", "Slice", "Split", "Expand", "Identity")
_COMPARISONS = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
_POOLS = ("AveragePool", "MaxPool")  # of 8 bits, to 8 bits
_CLAMPS = ("Clip", "Relu")
_CLAMPED = (*PRODUCTS, "Add", "BatchNormalization", "Mul", "Sub")
# What onnxruntime's quantizer leaves in float, or gives 8 bits where they are too few.
_PLANNED = frozenset({
    "Cast", "Expand", "Gather", "ReduceMax", "ReduceMin", "ReduceSum", "Softmax", "Where",
    *_COMPARISONS,
})
# Functions that are constant there, or as good as: exp(-16) is 1e-7.
_DEPTHS = {"Exp": 16.0, "Gelu": 6.0, "HardSwish": 3.0, "Swish": 16.0}
_SATURATED = {"Erf": 4.0, "Sigmoid": 16.0, "Tanh": 9.0}  # on both sides
NARROW, WIDE = 8, 16
Bits = int


def wants_mixed(model: onnx.ModelProto) -> bool:
    """Whether it has what 8 bits throughout do not survive: norms, products of activations."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return any(
        node.op_type in ("LayerNormalization", "RMSNormalization")
        or (node.op_type == "MatMul" and not constants & set(node.input))
        for node in model.graph.node
    )


def wants_plan(model: onnx.ModelProto) -> bool:
    """Whether it has what onnxruntime's own quantizer does not serve, mixed or in 8 bits."""
    return wants_mixed(model) or any(node.op_type in _PLANNED for node in model.graph.node)


class Plan:
    """Which tensors are quantized, and to which widths their readers need them.

    Attributes:
      kept: float between two nodes of one group, or a mask.
      masked: those of `kept` that are logits with their mask.
      clamped: those of `kept` that a clamp completes.
      needs: the widths in which a tensor is read.
    """

    def __init__(self, view: View, usual: Bits = WIDE) -> None:
        """usual: bits of what neither a product nor a Softmax decides."""
        self.view, self.usual = view, usual
        self.kept: set[str] = set()
        self.masked: set[str] = set()
        self.clamped: set[str] = set()
        self.needs: dict[str, set[Bits]] = {}
        self.probabilities = {n.output[0] for n in view.nodes if n.op_type == "Softmax"}
        self._unquantized()
        caches = self._caches()
        self._narrow, self._wide = self._decided()
        for name in view.outputs:  # first: what a Concat's operands need follows from its result
            if self.is_activation(name):
                width = NARROW if name in caches else self._width([name])
                self.needs.setdefault(name, set()).add(width)
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
        operand = node.input[position]
        if node.op_type in (*PRODUCTS, *_POOLS) or operand in self._narrow:
            return {NARROW}
        if node.op_type in _CARRIES and position == 0:
            widths: set[Bits] = set()
            for name in node.output:
                widths |= self.needs.get(name, set())
            return widths or {self._width([operand])}
        if node.op_type == "Concat":
            return {WIDE if WIDE in self.needs.get(node.output[0], {self.usual}) else NARROW}
        if node.op_type in _COMPARISONS:
            return {self._width(node.input)}
        return {WIDE if node.op_type == "Softmax" else self._width([operand])}

    def _width(self, names: Iterable[str]) -> Bits:
        """Of tensors that are read alike."""
        names = set(names)
        if names & self._narrow:
            return NARROW
        return WIDE if names & self._wide else self.usual

    def _decided(self) -> tuple[set[str], set[str]]:
        """What can have 8 bits alone, because a pool gives it, and what a Softmax gives."""
        narrow: set[str] = set()
        wide: set[str] = set(self.probabilities)
        for node in self.view.nodes:
            moves = node.op_type in _CARRIES or node.op_type == "Concat"
            if node.op_type in _POOLS or (moves and narrow & set(node.input)):
                narrow.update(node.output)
            elif moves and wide & set(node.input):
                wide.update(node.output)
        return narrow, wide

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
        moves = node.op_type in _CARRIES or node.op_type == "MaxPool"
        return moves and self.is_activation(node.input[0])

    def flat_below(self, name: str) -> float | None:
        """How far below 0, and below the largest input, the functions that alone read `name` still
        differ from a constant; None where others read it."""
        readers = self.view.readers(name)
        depths = [_DEPTHS.get(node.op_type) for node in readers]
        if name in self.view.outputs or not readers or None in depths:
            return None
        slopes = [float(attributes_of(n).get("alpha", 1.0)) for n in readers if n.op_type == "Swish"]
        steepness = min([1.0, *slopes])
        if steepness <= 0:
            return None
        return max(depth for depth in depths if depth is not None) / steepness

    def flat_beyond(self, name: str) -> float | None:
        """The same of functions that are constant on both sides."""
        readers = self.view.readers(name)
        depths = [_SATURATED.get(node.op_type) for node in readers]
        if name in self.view.outputs or not readers or None in depths:
            return None
        return max(depth for depth in depths if depth is not None)

    def compared(self) -> list[tuple[str, str]]:
        """Pairs of tensors that a comparison reads."""
        return [
            (node.input[0], node.input[1]) for node in self.view.nodes
            if node.op_type in _COMPARISONS and all(map(self.is_activation, node.input))
        ]

    def _unquantized(self) -> None:
        view = self.view
        data = {name for name in view.inputs if self.is_activation(name)}
        for node in view.nodes:
            table = node.op_type == "Gather" and node.input[0] in view.tensors
            if data & set(node.input) or table:
                data.update(node.output)
            else:
                self.kept.update(n for n in node.output if self.is_activation(n))
        self._hosted = set(self.kept)
        for node in view.nodes:
            result = node.output[0]
            reader = view.readers(result)[0] if view.read_once(result) else None
            if reader is not None and node.op_type in PRODUCTS and self._completes(reader, result):
                self.kept.add(result)
            if reader is not None and node.op_type in _CLAMPED and self._clamps(reader):
                self.kept.add(result)
                self.clamped.add(result)
            if node.op_type == "Softmax":
                self._keep_masks_and_guard(node)

    def _clamps(self, reader: onnx.NodeProto) -> bool:
        """Whether it is a clamp between constants: part of the operator in front of it."""
        bounds = [name for name in reader.input[1:] if name]
        return reader.op_type in _CLAMPS and all(name in self.view.tensors for name in bounds)

    def _completes(self, reader: onnx.NodeProto, result: str) -> bool:
        """Whether `reader` adds a bias to a product, or scales it by a constant."""
        constant = reader.input[1] if len(reader.input) == 2 else ""
        if reader.input[0] != result or constant not in self.view.tensors:
            return False
        size = int(np.prod(self.view.tensors[constant].dims))
        if reader.op_type == "Add":
            return size == self.view.shapes[result][-1]
        return reader.op_type == "Mul" and size == 1

    def _keep_masks_and_guard(self, softmax: onnx.NodeProto) -> None:
        """A mask of the causal order and one of the padding may follow each other."""
        view, logits = self.view, softmax.input[0]
        front = view.producer(logits, "Add", "Where")
        while front is not None and view.read_once(logits):
            operands = list(front.input if front.op_type == "Add" else front.input[1:])
            masks = [name for name in operands if self._is_mask(name)]
            if len(masks) != 1:
                break
            self.kept.update((logits, *(name for name in masks if name not in view.tensors)))
            self.masked.add(logits)
            operands.remove(masks[0])
            logits = operands[0]
            front = view.producer(logits, "Add", "Where")
        result = softmax.output[0]
        readers = view.readers(result)
        if readers and all(reader.op_type in ("IsNaN", "Where") for reader in readers):
            self.kept.add(result)

    def _is_mask(self, name: str) -> bool:
        """Made from integers or constants alone, an input as it is, or a constant that masks."""
        values = self.view.constant(name)
        if values is not None:
            return bool(values.min() <= LEAST_MASK)
        node = self.view.producer(name, *MOVEMENTS)
        source = name if node is None else node.input[0]
        return name in self._hosted or source in self.view.inputs

    def logits(self) -> set[str]:
        """Quantized tensors that a Softmax reads, through its mask."""
        found: set[str] = set()
        for node in self.view.nodes:
            names = [node.input[0]] if node.op_type == "Softmax" else []
            while names:
                name = names.pop()
                front = self.view.producer(name) if name in self.masked else None
                if front is not None:
                    names += front.input
                found.update((name, self.root(name)))
        return found
