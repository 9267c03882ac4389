"""Mixed-precision QDQ for transformers, and 8 bits where onnxruntime's quantizer does not serve.

In transformers operands of matrix products have 8 bits; what else crosses between operators
(residual stream, norms, logits, inputs of activation functions) has 16, symmetric. Elsewhere logits
and results of a Softmax have 16, all else 8. Weights have 8 per output channel, biases 32 on the
accumulator's grid, tables of embeddings 16; keys and values are int8 with a scale per head. A mask
is never quantized: it and the Softmax that reads it lie between one DequantizeLinear and one
QuantizeLinear.

onnxruntime's own QDQ quantizer is not used here: it turns biases behind MatMul into 8-bit
activations, quantizes gammas, and puts the mask into a scale.
"""

import pathlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from jacquard.compiler.frontend.mixed_heads import Heads, find_heads, rotated
from jacquard.compiler.frontend.mixed_like import Grid, shared_grids
from jacquard.compiler.frontend.mixed_plan import (
    NARROW,
    PRODUCTS,
    WIDE,
    Bits,
    Plan,
    wants_mixed,
)
from jacquard.compiler.frontend.mixed_ranges import Range, calibrate, head_of
from jacquard.compiler.frontend.patterns.view import View, attributes_of
from jacquard.proto.lib.masks import LEAST_MASK

# 16 bits have room for what calibration has not seen; logits are exponents and need fine steps,
# but clipping them is worse than coarse ones.
_HEADROOM = 1.25
LARGEST_LOGIT_SCALE = 0.01


@dataclass(frozen=True)
class _Parameters:
    """Names of a quantized tensor's scale and zero point."""

    scale: str
    zero_point: str
    axis: int | None = None


def quantize_mixed(
    model: onnx.ModelProto,
    batches: Iterable[Mapping[str, npt.NDArray[np.generic]]],
    method: str,
    directory: pathlib.Path,
    like: onnx.ModelProto | None = None,
    per_head: bool = True,
) -> onnx.ModelProto:
    """The mixed QDQ form of `model`.

    Args:
      model: as `import_model` gives it, float, opset >= 21.
      batches: calibration data.
      method: minmax, entropy or percentile; 16-bit tensors take the whole range in each case.
      directory: for the calibrator's files; the caller's to delete.
      like: a quantized model whose grids are taken for outputs of the same names (a decode step's
        keys and values) and for the operands of layers of the same weights.
      per_head: keys and values have a scale per head, symmetric.
    """
    view = View(model.graph)
    plan = Plan(view, WIDE if wants_mixed(model) else NARROW)
    heads = find_heads(plan) if per_head and plan.usual == WIDE else {}
    ranges = calibrate(model, plan, heads, batches, method, directory)
    writer = _Writer(plan, ranges, {} if like is None else shared_grids(like, plan), heads)
    writer.write()
    read = {name for node in writer.nodes for name in node.input} | view.outputs
    tensors = [t for t in (*model.graph.initializer, *writer.tensors.values()) if t.name in read]
    graph = helper.make_graph(
        writer.nodes, model.graph.name, model.graph.input, model.graph.output, tensors)
    return helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version)


class _Writer:
    """Writes the nodes of a plan with QuantizeLinear and DequantizeLinear between them."""

    def __init__(
        self, plan: Plan, ranges: Mapping[str, Range], grids: Mapping[tuple[str, Bits], Grid],
        heads: Mapping[str, Mapping[str, Heads]],
    ) -> None:
        self._plan, self._view, self._ranges = plan, plan.view, dict(ranges)
        self._grids = grids
        self._logits = plan.logits()
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[str, onnx.TensorProto] = {}
        self._parameters: dict[tuple[str, Bits | Heads], _Parameters] = {}
        self._root = plan.roots()
        self._dequantized: dict[tuple[str, Bits], str] = {}
        self._steps: dict[str, npt.NDArray[np.float64]] = {}
        self._heads = {root: found for root, found in heads.items() if self._by_head(root, found)}
        self._join_compared()
        self._join_rotated()

    def _by_head(self, root: str, family: Mapping[str, Heads]) -> bool:
        """Whether the model that grids are taken from has a scale per head too, or none."""
        given = self._grids.get((root, NARROW))
        return given is None or given.scale.shape == (family[root].count,)

    def _join_rotated(self) -> None:
        """One range for the operands of an Add that gives keys: the sum has a scale per channel,
        and VECTOR one multiplier per channel."""
        for family in self._heads.values():
            for pair in filter(None, (rotated(self._plan, name) for name in family)):
                a, b = map(self._plan.root, pair)
                self._ranges[a] = self._ranges[b] = self._ranges[a].with_(self._ranges[b])

    def _join_compared(self) -> None:
        """One range, so one scale, for tensors that are compared; again where pairs share one."""
        plan = self._plan
        pairs = [(plan.root(a), plan.root(b)) for a, b in plan.compared()]
        pairs = [pair for pair in pairs if all(name in self._ranges for name in pair)]
        for _ in pairs:
            for a, b in pairs:
                joint = self._ranges[a].with_(self._ranges[b])
                self._ranges[a] = self._ranges[b] = joint
                if {a, b} & self._logits:
                    self._logits |= {a, b}

    def write(self) -> None:
        view, plan = self._view, self._plan
        for name in sorted(view.inputs):
            if plan.is_activation(name) and name in plan.needs:
                self._quantize(name, name)
        for original in view.nodes:
            node = onnx.NodeProto()
            node.CopyFrom(original)
            for position, name in enumerate(original.input):
                if plan.is_activation(name) and name not in plan.kept:
                    wanted = plan.bits(original, position)
                    width = WIDE if WIDE in wanted else NARROW
                    node.input[position] = self._dequantized[name, width]
            self._constants(original, node)
            self.nodes.append(node)
            for position, name in enumerate(original.output):
                if not plan.is_activation(name) or name in plan.kept:
                    continue
                if plan.carries(original) and name in plan.needs:
                    self._root[name] = self._root.get(original.input[0], original.input[0])
                produced = name
                if name in view.outputs:
                    produced = node.output[position] = f"{name}_QuantizeLinear_Input"
                self._quantize(name, produced)

    def _quantize(self, name: str, produced: str) -> None:
        needs = self._plan.needs.get(name, set())
        if not needs:
            return
        first = WIDE if WIDE in needs else NARROW
        target = name if name in self._view.outputs else f"{name}_DequantizeLinear_Output"
        self._pair(name, produced, self._of(name, first), target, name)
        self._dequantized[name, first] = target
        if needs == {NARROW, WIDE}:
            narrow = f"{name}.narrow"
            result = f"{narrow}_DequantizeLinear_Output"
            self._pair(narrow, target, self._of(name, NARROW), result, narrow)
            self._dequantized[name, NARROW] = result

    def _pair(self, name: str, source: str, at: _Parameters, target: str, base: str) -> None:
        middle = f"{base}_QuantizeLinear_Output"
        self.nodes.append(helper.make_node(
            "QuantizeLinear", [source, at.scale, at.zero_point], [middle],
            name=f"{name}_QuantizeLinear", axis=at.axis))
        self.nodes.append(helper.make_node(
            "DequantizeLinear", [middle, at.scale, at.zero_point], [target],
            name=f"{name}_DequantizeLinear", axis=at.axis))

    def _of(self, name: str, width: Bits) -> _Parameters:
        """Scale and zero point of `name` in a width; movements share those of what they move."""
        root = self._root.get(name, name)
        if root in self._view.tensors and width == NARROW:
            root = name  # a table has 16 bits alone
        if root in self._heads:
            return self._of_heads(root, self._heads[root][name])
        key = (root, width)
        if key not in self._parameters:
            found = self._ranges[root]
            both = width == NARROW and WIDE in self._plan.needs.get(root, set())
            suffix = ".narrow" if both else ""
            given = self._grids.get(key)
            if given is not None and given.scale.ndim == 0:
                scale, zero_point = float(given.scale), given.zero_point
            elif width == NARROW:
                scale, zero_point = _asymmetric(found.lo, found.hi)
            else:
                scale = self._reach(root, found) / 32767 or 1.0
                zero_point = np.zeros((), np.int16)
            self._parameters[key] = self._store(f"{root}{suffix}", np.float32(scale), zero_point)
        return self._parameters[key]

    def _of_heads(self, root: str, at: Heads) -> _Parameters:
        """The same of keys and values: a scale for each element of the dimension of heads."""
        key = (root, at)
        if key not in self._parameters:
            given = self._grids.get((root, NARROW))
            if given is None:
                ranges = [self._ranges[head_of(root, index)] for index in range(at.count)]
                scale = np.asarray([_symmetric(found.lo, found.hi) for found in ranges])
            else:
                scale = given.scale
            scale = scale[list(at.parts)]
            zeros = np.zeros(scale.shape, np.int8)
            self._parameters[key] = self._store(root, scale, zeros, at.axis)
        return self._parameters[key]

    def _reach(self, root: str, found: Range) -> float:
        """The largest number that a tensor of 16 bits can hold."""
        if root in self._plan.probabilities:
            return 1.0  # calibration may have seen flat rows alone
        lowest = found.lowest
        if root in self._logits and lowest <= LEAST_MASK:  # a mask that came with data
            lowest = max(lowest, -LARGEST_LOGIT_SCALE * 32767 / _HEADROOM)
        depth = self._plan.flat_below(root)
        if depth is not None:
            floor = min(found.highest, 0.0) - depth
            # Only where it takes steps from the rest.
            if lowest < 2 * min(floor, -found.highest):
                lowest = floor
        reach = max(abs(lowest), abs(found.highest)) * _HEADROOM
        limit = self._plan.flat_beyond(root)
        return reach if limit is None or reach < 2 * limit else limit

    def _store(
        self, name: str, scale: npt.ArrayLike, zero_point: npt.NDArray[np.generic],
        axis: int | None = None,
    ) -> _Parameters:
        while f"{name}_scale" in self.tensors or f"{name}_scale" in self._view.tensors:
            name = f"{name}.q"
        names = f"{name}_scale", f"{name}_zero_point"
        for key, value in zip(names, (np.asarray(scale, np.float32), zero_point), strict=True):
            self.tensors[key] = numpy_helper.from_array(value, key)
        return _Parameters(*names, axis)

    def _constants(self, original: onnx.NodeProto, node: onnx.NodeProto) -> None:
        """Replaces the float constants that `node` reads by quantized ones."""
        view, plan, kind = self._view, self._plan, original.op_type
        if kind in PRODUCTS and original.input[1] in view.tensors:
            step = self._weights(original, node)
            if len(original.input) > 2 and original.input[2] and _plain(original):
                node.input[2] = self._bias(original.input[2], step)
            self._steps[original.output[0]] = step
        elif kind == "Gather" and original.input[0] in view.tensors:
            if plan.is_activation(original.output[0]):
                table = original.input[0]
                node.input[0] = self._wide_constant(table)
                self._root[original.output[0]] = table
        elif kind == "Add" and original.input[0] in self._steps and original.input[0] in plan.kept:
            node.input[1] = self._bias(original.input[1], self._steps[original.input[0]])
        elif kind in ("Add", "Sub", "Mul") and (
            original.output[0] not in plan.kept or original.output[0] in plan.clamped
        ):
            for position, name in enumerate(original.input):
                values = view.constant(name)
                # A vector is a gain or an offset of the requantization, exact in float.
                if values is not None and values.size > (1, *values.shape)[-1]:
                    node.input[position] = self._wide_constant(name)

    def _weights(self, original: onnx.NodeProto, node: onnx.NodeProto) -> npt.NDArray[np.float64]:
        """Quantizes a product's weights; the accumulator's step per output channel."""
        name = original.input[1]
        values = self._view.constant(name)
        assert values is not None
        given = attributes_of(original)
        axis = 0 if original.op_type == "Conv" or given.get("transB", 0) else values.ndim - 1
        others = tuple(other for other in range(values.ndim) if other != axis)
        largest = np.abs(values).max(axis=others).astype(np.float64)
        scale = np.where(largest > 0, largest / 127, 1.0).astype(np.float32)
        if f"{name}_quantized" not in self.tensors:
            shape = [1] * values.ndim
            shape[axis] = -1
            steps = np.rint(values / scale.reshape(shape)).clip(-127, 127).astype(np.int8)
            zeros = np.zeros(scale.shape, np.int8)
            self._constant_pair(name, steps, self._store(name, scale, zeros, axis))
        node.input[1] = f"{name}_DequantizeLinear_Output"
        operand = self.tensors[self._of(original.input[0], NARROW).scale]
        return numpy_helper.to_array(operand).astype(np.float64) * scale

    def _bias(self, name: str, step: npt.NDArray[np.float64]) -> str:
        values = self._view.constant(name)
        assert values is not None
        scale = step.astype(np.float32)
        integers = np.rint(values.astype(np.float64).reshape(-1) / scale)
        if np.abs(integers).max(initial=0) >= 2**30:
            return name  # weights near zero: the offset stays a real number
        zeros = np.zeros(scale.shape, np.int32)
        self._constant_pair(name, integers.astype(np.int32), self._store(name, scale, zeros, 0))
        return f"{name}_DequantizeLinear_Output"

    def _wide_constant(self, name: str) -> str:
        values = self._view.constant(name)
        assert values is not None
        if f"{name}_quantized" not in self.tensors:
            scale = np.float32(float(np.abs(values).max(initial=0)) / 32767 or 1.0)
            at = self._store(name, scale, np.zeros((), np.int16))
            self._parameters[name, WIDE] = at
            steps = np.rint(values / scale).clip(-32767, 32767).astype(np.int16)
            self._constant_pair(name, steps, at)
        return f"{name}_DequantizeLinear_Output"

    def _constant_pair(
        self, name: str, integers: npt.NDArray[np.generic], at: _Parameters
    ) -> None:
        quantized = f"{name}_quantized"
        self.tensors[quantized] = numpy_helper.from_array(integers, quantized)
        self.nodes.append(helper.make_node(
            "DequantizeLinear", [quantized, at.scale, at.zero_point],
            [f"{name}_DequantizeLinear_Output"], name=f"{name}_DequantizeLinear", axis=at.axis))


def _plain(node: onnx.NodeProto) -> bool:
    """Whether a Gemm has no factors of its own."""
    given = attributes_of(node)
    return bool(given.get("alpha", 1.0) == 1.0 and given.get("beta", 1.0) == 1.0)


def _asymmetric(lo: float, hi: float) -> tuple[float, npt.NDArray[np.uint8]]:
    """uint8 for a range, zero included."""
    lo, hi = min(lo, 0.0), max(hi, 0.0)
    scale = float(np.float32((hi - lo) / 255)) or 1.0
    return scale, np.asarray(np.rint(-lo / scale).clip(0, 255), np.uint8)


def _symmetric(lo: float, hi: float) -> float:
    """The scale of an int8 for a range."""
    return max(hi / 127, -lo / 128, 0.0) or 1.0
