"""From a QDQ ONNX graph to the graph IR.

Walks the nodes once. A real tensor is either stored (behind a DequantizeLinear), constant, or
pending: computed by a codelet and waiting for the QuantizeLinear that says on which grid it is to
be stored. Relu and Clip add a clamp to what they read. A pending tensor read by anything else is
stored on its own grid where it has one (moves of elements, maxima); else the model must quantize
it.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from jacquard.compiler.codelets import base
from jacquard.compiler.codelets.registry import codelets
from jacquard.compiler.graph.ir import Graph, Grid, Op, QTensor
from jacquard.proto.lib.errors import UserError, raise_if_any

DTYPES = ("int8", "uint8")


@dataclasses.dataclass(frozen=True)
class _Real:
    """A real tensor on the device: stored, or pending where `parsed` is set; clamped."""

    shape: tuple[int, ...]
    tensor: QTensor | None = None
    parsed: base.Parsed | None = None
    node: base.Node | None = None
    index: int = 0
    nodes: tuple[str, ...] = ()
    lo: float = -math.inf
    hi: float = math.inf

    @property
    def clamped(self) -> bool:
        return not (math.isinf(self.lo) and math.isinf(self.hi))


@dataclasses.dataclass(frozen=True)
class _FloatInput:
    """A graph input that nothing has quantized yet."""

    name: str
    shape: tuple[int, ...]


_Value = _Real | _FloatInput | QTensor | base.Constant | base.QuantizedConstant


def import_qdq(model: onnx.ModelProto, name: str) -> Graph:
    """The graph IR of a QDQ model. UserError with every node that cannot be compiled."""
    return _Importer(model, name).run()


class _Importer:
    def __init__(self, model: onnx.ModelProto, name: str) -> None:
        self.graph = model.graph
        self.name = name or model.graph.name
        self.opset = max(
            (i.version for i in model.opset_import if i.domain in ("", "ai.onnx")), default=0
        )
        self.values: dict[str, _Value] = {}
        self.tensors: dict[str, QTensor] = {}
        self.ops: list[Op] = []
        self.inputs: dict[str, str] = {}
        self.problems: list[str] = []

    def run(self) -> Graph:
        for tensor in self.graph.initializer:
            self.values[tensor.name] = base.Constant(numpy_helper.to_array(tensor))
        for value in self.graph.input:
            if value.name not in self.values:
                self._graph_input(value)
        raise_if_any(self.problems)
        known = set(codelets()) | {"QuantizeLinear", "DequantizeLinear", "Constant", "Identity",
                                   "Dropout"}
        raise_if_any(
            f"node {node.name or node.output[0]} ({node.op_type}): operator is not supported by "
            "the compiler; rewrite the model without it"
            for node in self.graph.node
            if node.op_type not in known
        )
        failed: set[str] = set()
        for proto in self.graph.node:
            if any(name in failed for name in proto.input):
                failed.update(proto.output)
                continue
            try:
                self._node(proto)
            except UserError as error:
                self.problems += error.lines
                failed.update(proto.output)
        outputs = {}
        for value in self.graph.output:
            if value.name in failed:
                continue
            try:
                outputs[value.name] = self._output(value.name)
            except UserError as error:
                self.problems += error.lines
        raise_if_any(self.problems)
        return Graph(self.name, self.tensors, tuple(self.ops), self.inputs, outputs)

    def _graph_input(self, value: onnx.ValueInfoProto) -> None:
        dims = value.type.tensor_type.shape.dim
        shape = tuple(int(d.dim_value) for d in dims)
        if any(n <= 0 for n in shape):
            self.problems.append(
                f"input {value.name}: every dimension must have a size, got "
                f"{[d.dim_param or d.dim_value for d in dims]}; give the sizes when importing"
            )
        self.values[value.name] = _FloatInput(value.name, shape)

    def _node(self, proto: onnx.NodeProto) -> None:
        attributes = {a.name: _attribute(a) for a in proto.attribute}
        name = proto.name or proto.output[0]
        if proto.op_type == "Constant":
            given = next(iter(attributes.values()))
            array = np.asarray(given)
            if array.dtype == np.float64:
                array = array.astype(np.float32)
            self.values[proto.output[0]] = base.Constant(array)
        elif proto.op_type in ("Identity", "Dropout"):
            self.values[proto.output[0]] = self.values[proto.input[0]]
        elif proto.op_type == "QuantizeLinear":
            self._quantize(proto, name, attributes)
        elif proto.op_type == "DequantizeLinear":
            self._dequantize(proto, name, attributes)
        else:
            self._operator(proto, name, attributes)

    # --- quantization -----------------------------------------------------------------------------

    def _parameters(self, proto: onnx.NodeProto, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(scale, zero point) constants of a Q or DQ node."""
        place = f"node {name} ({proto.op_type})"
        found = []
        for slot in proto.input[1:3]:
            value = self.values.get(slot)
            if not isinstance(value, base.Constant):
                raise UserError(f"{place}: scale and zero point must be constants; fold the model")
            found.append(value.value)
        scale = found[0]
        zero = found[1] if len(found) > 1 else np.zeros((), np.uint8)
        if not (np.isfinite(scale) & (scale > 0)).all():
            raise UserError(
                f"{place}: scales must be finite and positive, got {scale.reshape(-1)[:4]}; "
                "recalibrate the model"
            )
        return scale, zero

    def _grid(self, proto: onnx.NodeProto, name: str) -> Grid:
        scale, zero = self._parameters(proto, name)
        place = f"node {name} ({proto.op_type})"
        if scale.size != 1 or zero.size != 1:
            raise UserError(
                f"{place}: activations must have one scale and zero point, got {scale.size}; "
                "quantize them per tensor"
            )
        if str(zero.dtype) not in DTYPES:
            raise UserError(
                f"{place}: activations must be int8 or uint8, got {zero.dtype}; requantize them"
            )
        real = float(np.float32(scale.reshape(-1)[0]))
        return Grid(real, int(zero.reshape(-1)[0]), str(zero.dtype))

    def _quantize(self, proto: onnx.NodeProto, name: str, attributes: dict[str, Any]) -> None:
        value, output = self.values[proto.input[0]], proto.output[0]
        if isinstance(value, (base.Constant, base.QuantizedConstant)):
            real = value.value if isinstance(value, base.Constant) else value.real
            scale, zero = self._parameters(proto, name)
            axis = int(attributes.get("axis", 1))
            scale, zero = (_along(array, axis, real.ndim) for array in (scale, zero))
            limits = np.iinfo(zero.dtype)
            steps = np.rint(real / scale).astype(np.float64) + zero
            q = np.clip(steps, limits.min, limits.max).astype(zero.dtype)
            self.values[output] = base.Constant(q)
            return
        grid = self._grid(proto, name)
        if isinstance(value, _FloatInput):
            tensor = QTensor(output, value.shape, grid)
            if value.name in self.inputs:
                first = self.tensors[self.inputs[value.name]]
                if first.grid != grid:
                    raise UserError(
                        f"input {value.name}: must be quantized in one way, got {first.grid} and "
                        f"{grid}; quantize it once"
                    )
                self.values[output] = first
                return
            self.inputs[value.name] = output
            self.tensors[output] = tensor
            self.values[output] = tensor
            return
        if isinstance(value, QTensor):
            raise UserError(
                f"node {name} (QuantizeLinear): its input must be real; correct the model"
            )
        self.values[output] = self._store(value, grid, output, name)

    def _dequantize(self, proto: onnx.NodeProto, name: str, attributes: dict[str, Any]) -> None:
        value, output = self.values[proto.input[0]], proto.output[0]
        if isinstance(value, base.Constant):
            scale, zero = self._parameters(proto, name)
            axis = int(attributes.get("axis", 1))
            q = value.value
            self.values[output] = base.QuantizedConstant(
                proto.input[0],
                q,
                _along(scale.astype(np.float32), axis, q.ndim).astype(np.float64),
                _along(zero, axis, q.ndim).astype(np.int64),
            )
            return
        grid = self._grid(proto, name)
        if isinstance(value, _FloatInput):  # an integer graph input
            tensor = QTensor(value.name, value.shape, grid)
            self.inputs[value.name] = value.name
            self.tensors[value.name] = tensor
            self.values[value.name] = tensor
            value = tensor
        if not isinstance(value, QTensor):
            raise UserError(
                f"node {name} (DequantizeLinear): its input must be integers; correct the model"
            )
        if value.grid != grid:
            raise UserError(
                f"node {name} (DequantizeLinear): must read tensor {value.name} with the grid it "
                f"was written with, {value.grid}, got {grid}; correct the model"
            )
        self.values[output] = _Real(value.shape, tensor=value)

    # --- operators --------------------------------------------------------------------------------

    def _operator(self, proto: onnx.NodeProto, name: str, attributes: dict[str, Any]) -> None:
        codelet = codelets()[proto.op_type]
        operands = tuple(self.values[slot] if slot else None for slot in proto.input)
        if operands and all(
            isinstance(x, (base.Constant, base.QuantizedConstant)) or x is None for x in operands
        ):
            raise UserError(
                f"node {name} ({proto.op_type}): all its inputs are constants; fold the model"
            )
        if codelet.clamp is not None:
            constants = tuple(
                x if isinstance(x, (base.Constant, base.QuantizedConstant)) else None
                for x in operands
            )
            node = base.Node(proto.op_type, name, attributes, constants, self.opset)
            lo, hi = codelet.clamp(node)
            value = operands[0]
            if not isinstance(value, _Real):
                raise UserError(self._not_real(node, value))
            self.values[proto.output[0]] = dataclasses.replace(
                value,
                lo=min(max(value.lo, lo), hi),
                hi=min(max(value.hi, lo), hi),
                nodes=(*value.nodes, name),
            )
            return
        resolved = tuple(self._operand(value, proto, name) for value in operands)
        node = base.Node(proto.op_type, name, attributes, resolved, self.opset, len(proto.output))
        assert codelet.parse is not None
        parsed = codelet.parse(node)
        for index, output in enumerate(proto.output):
            if output:
                self.values[output] = _Real(
                    parsed.shapes[index], None, parsed, node, index, (name,)
                )

    def _operand(self, value: _Value | None, proto: onnx.NodeProto, name: str) -> base.Operand:
        if value is None or isinstance(value, (base.Constant, base.QuantizedConstant)):
            return value
        if isinstance(value, _Real):
            if value.tensor is not None and not value.clamped:
                return base.Activation(value.tensor)
            if value.tensor is not None:
                grid: Grid | None = value.tensor.grid
            else:
                assert value.parsed is not None
                grid = value.parsed.grid
            if grid is None:
                assert value.node is not None
                raise UserError(
                    f"{value.node.place}: its result must be quantized before node {name} "
                    f"({proto.op_type}) reads it; quantize this operator too"
                )
            stored = self._store(value, grid, f"{name}.operand{len(self.ops)}", name)
            return base.Activation(stored)
        raise UserError(
            self._not_real(base.Node(proto.op_type, name, {}, (), self.opset), value)
        )

    def _not_real(self, node: base.Node, value: object) -> str:
        what = f"float graph input {value.name}" if isinstance(value, _FloatInput) else "integers"
        return f"{node.place}: its input must come from a DequantizeLinear, got {what}; quantize it"

    def _store(self, value: _Real, grid: Grid, output: str, name: str) -> QTensor:
        """The tensor that holds a real value on a grid; adds the op that computes it."""
        if value.tensor is not None and value.tensor.grid == grid and not value.clamped:
            return value.tensor
        tensor = QTensor(output, value.shape, grid)
        if value.tensor is not None:
            nodes = value.nodes or (name,)
            op = Op(nodes[-1], "QuantizeLinear", (value.tensor.name,), (output,), {},
                    value.lo, value.hi, nodes)
        else:
            assert value.parsed is not None and value.node is not None
            parsed = value.parsed
            for operand in parsed.inputs:
                self.tensors.setdefault(operand.name, operand)
            attrs = dict(parsed.attrs)
            if len(parsed.shapes) > 1:
                attrs["output_index"] = value.index
            op = Op(value.node.name, value.node.op, tuple(t.name for t in parsed.inputs), (output,),
                    attrs, value.lo, value.hi, value.nodes)
        self.tensors[output] = tensor
        self.ops.append(op)
        return tensor

    def _output(self, name: str) -> str:
        value = self.values.get(name)
        if isinstance(value, QTensor):
            return value.name
        if isinstance(value, _Real) and value.tensor is not None and not value.clamped:
            return value.tensor.name
        raise UserError(
            f"output {name}: must be quantized (a DequantizeLinear last); quantize it too"
        )


def _attribute(attribute: onnx.AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, bytes):
        return value.decode()
    return value


def _along(array: np.ndarray, axis: int, rank: int) -> np.ndarray:
    """A scale or zero point, 0-d or broadcastable along `axis` of a tensor of that rank."""
    if array.size == 1:
        return array.reshape(())
    return array.reshape(tuple(-1 if i == axis % rank else 1 for i in range(rank)))
