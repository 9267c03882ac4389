"""From a QDQ ONNX graph to the graph IR.

Walks the nodes once. A real tensor is either stored (behind a DequantizeLinear), constant, of the
host (host_part.py), or pending: computed by a codelet and waiting for the QuantizeLinear that says
on which grid it is to be stored. Relu and Clip add a clamp to what they read; a codelet may absorb
the node behind it. A pending tensor read by anything else is stored on its own grid where it has
one (moves of elements, maxima); else the model must quantize it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from jacquard.compiler.codelets import base
from jacquard.compiler.codelets.registry import codelets
from jacquard.compiler.graph.ir import Graph, Grid, QTensor
from jacquard.compiler.passes.device_part import DROPPED, DevicePart
from jacquard.compiler.passes.head_scales import parts
from jacquard.compiler.passes.host_part import HostBuilder
from jacquard.compiler.passes.values import CONSTANTS, FloatInput, Real, Value, along, attribute
from jacquard.proto.lib.errors import UserError, raise_if_any
from jacquard.proto.lib.fixed_point import MAX_SCALE, MIN_SCALE

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
        self.host = HostBuilder(model)
        self.device = DevicePart(self.host, self.opset)
        self.values: dict[str, Value] = {}
        self.inputs: dict[str, str] = {}
        self.problems: list[str] = []

    def run(self) -> Graph:
        for tensor in self.graph.initializer:
            self.values[tensor.name] = base.Constant(numpy_helper.to_array(tensor))
        for value in self.graph.input:
            if value.name not in self.values:
                self._graph_input(value)
        raise_if_any(self.problems)
        known = {*codelets(), *DROPPED}
        raise_if_any(
            f"node {node.name or node.output[0]} ({node.op_type}): operator is not supported by "
            "the compiler; rewrite the model without it"
            for node in self.graph.node
            if node.op_type not in known and not self._by_host(node)
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
        ops = tuple(self.device.ops)
        host = self.host.finish(dict.fromkeys(name for op in ops for name in op.inputs))
        if host is not None:
            self.inputs |= {name: name for name in host.inputs}
        return Graph(self.name, self.device.tensors, ops, self.inputs, outputs, host)

    def _graph_input(self, value: onnx.ValueInfoProto) -> None:
        dims = value.type.tensor_type.shape.dim
        shape = tuple(int(d.dim_value) for d in dims)
        if any(n <= 0 for n in shape):
            self.problems.append(
                f"input {value.name}: every dimension must have a size, got "
                f"{[d.dim_param or d.dim_value for d in dims]}; give the sizes when importing"
            )
        elif value.name not in self.host.values:
            self.values[value.name] = FloatInput(value.name, shape)

    def _by_host(self, node: onnx.NodeProto) -> bool:
        return any(name in self.host.values for name in node.output)

    def _node(self, proto: onnx.NodeProto) -> None:
        attributes = {a.name: attribute(a) for a in proto.attribute}
        name = proto.name or proto.output[0]
        if self._by_host(proto):
            return  # its type is asked for where the device reads it
        if proto.op_type == "Constant":
            given = next(iter(attributes.values()))
            array = np.asarray(given)
            if array.dtype == np.float64:
                array = array.astype(np.float32)
            self.values[proto.output[0]] = base.Constant(array)
        elif proto.op_type == "QuantizeLinear":
            self._quantize(proto, name, attributes)
        elif proto.op_type == "DequantizeLinear":
            self._dequantize(proto, name, attributes)
        else:
            operands = [self._value(slot) if slot else None for slot in proto.input]
            self.values |= self.device.operator(proto, name, attributes, operands)

    def _value(self, name: str) -> Value:
        if name in self.host.values:
            return self.host.typed(name)
        return self.values[name]

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

    def _grid(
        self, proto: onnx.NodeProto, name: str, attributes: dict[str, Any], shape: tuple[int, ...]
    ) -> tuple[Grid, int]:
        """An activation's grid, and the dimension of its scales (0 where it has one)."""
        scale, zero = self._parameters(proto, name)
        place = f"node {name} ({proto.op_type})"
        axis = int(attributes.get("axis", 1)) % max(len(shape), 1)
        scales = parts(scale.astype(np.float32))
        if scale.size != 1 and (not shape or scale.shape != (shape[axis],)):
            raise UserError(
                f"{place}: scales must be one, or one for each of the {shape[axis:][:1]} elements "
                f"of dimension {axis}, got {scale.shape}; correct the model"
            )
        if (zero != zero.reshape(-1)[:1]).any():
            raise UserError(
                f"{place}: activations must have one zero point, got {np.unique(zero).size}; "
                "quantize them symmetrically, or per tensor"
            )
        if str(zero.dtype) not in base.DTYPES:
            raise UserError(
                f"{place}: activations must be {', '.join(base.DTYPES)}, got {zero.dtype}; "
                "requantize them"
            )
        for real in scales:
            if not MIN_SCALE <= real <= MAX_SCALE:
                raise UserError(
                    f"{place}: an activation's scale must lie in [{MIN_SCALE:g}, {MAX_SCALE:g}], "
                    f"got {real:g}; calibrate with data in its normal range, or keep a mask's "
                    "constant out of the quantized part"
                )
        grid = Grid(max(scales), int(zero.reshape(-1)[0]), str(zero.dtype))
        if len(scales) == 1:
            return grid, 0
        return dataclasses.replace(grid, scales=scales), axis

    def _quantize(self, proto: onnx.NodeProto, name: str, attributes: dict[str, Any]) -> None:
        value, output = self._value(proto.input[0]), proto.output[0]
        if isinstance(value, CONSTANTS):
            real = value.value if isinstance(value, base.Constant) else value.real
            scale, zero = self._parameters(proto, name)
            axis = int(attributes.get("axis", 1))
            scale, zero = (along(array, axis, real.ndim) for array in (scale, zero))
            limits = np.iinfo(zero.dtype)
            steps = np.rint(real / scale).astype(np.float64) + zero
            q = np.clip(steps, limits.min, limits.max).astype(zero.dtype)
            self.values[output] = base.Constant(q)
            return
        grid, axis = self._grid(proto, name, attributes, getattr(value, "shape", ()))
        if isinstance(value, FloatInput):
            tensor = QTensor(output, value.shape, grid, axis=axis)
            if value.name in self.inputs:
                first = self.device.tensors[self.inputs[value.name]]
                if (first.grid, first.axis) != (grid, axis):
                    raise UserError(
                        f"input {value.name}: must be quantized in one way, got {first.grid} and "
                        f"{grid}; quantize it once"
                    )
                self.values[output] = first
                return
            self.inputs[value.name] = output
            self.device.tensors[output] = tensor
            self.values[output] = tensor
            return
        if isinstance(value, base.Host):
            raise UserError(
                f"node {name} (QuantizeLinear): must not read what the host computes, got "
                f"{value.name}, made of {self.host.sources(value.name)} alone; leave a mask in float "
                "up to its Softmax (keep its nodes out of quantization), quantize data at its input"
            )
        if not isinstance(value, Real):
            raise UserError(
                f"node {name} (QuantizeLinear): its input must be real; correct the model"
            )
        self.values[output] = self.device.store(value, grid, output, name, axis)

    def _dequantize(self, proto: onnx.NodeProto, name: str, attributes: dict[str, Any]) -> None:
        value, output = self._value(proto.input[0]), proto.output[0]
        if isinstance(value, base.Constant):
            scale, zero = self._parameters(proto, name)
            axis = int(attributes.get("axis", 1))
            q = value.value
            self.values[output] = base.QuantizedConstant(
                proto.input[0],
                q,
                along(scale.astype(np.float32), axis, q.ndim).astype(np.float64),
                along(zero, axis, q.ndim).astype(np.int64),
            )
            return
        grid, axis = self._grid(proto, name, attributes, getattr(value, "shape", ()))
        if isinstance(value, FloatInput):  # an integer graph input
            tensor = QTensor(value.name, value.shape, grid, axis=axis)
            self.inputs[value.name] = value.name
            self.device.tensors[value.name] = tensor
            self.values[value.name] = tensor
            value = tensor
        if not isinstance(value, QTensor):
            raise UserError(
                f"node {name} (DequantizeLinear): its input must be integers; correct the model"
            )
        if (value.grid, value.axis) != (grid, axis):
            raise UserError(
                f"node {name} (DequantizeLinear): must read tensor {value.name} with the grid it "
                f"was written with, {value.grid}, got {grid}; correct the model"
            )
        self.values[output] = Real(value.shape, tensor=value)

    def _output(self, name: str) -> str:
        value = self.values.get(name)
        if name in self.host.values:
            raise UserError(
                f"output {name}: must come from the device, got what the host computes of "
                f"{self.host.sources(name)}, which no QuantizeLinear reads; quantize the operators "
                "behind it, or compute the output outside of the model"
            )
        if isinstance(value, QTensor):
            return value.name
        if isinstance(value, Real) and value.tensor is not None and not value.clamped:
            return value.tensor.name
        raise UserError(
            f"output {name}: must be quantized (a DequantizeLinear last); quantize it too"
        )
