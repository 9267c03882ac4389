"""Operators between quantized tensors while the graph is imported: nodes in, Ops out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from onnx import helper

from jacquard.compiler.codelets import base
from jacquard.compiler.codelets.registry import codelets
from jacquard.compiler.graph.ir import Grid, Op, QTensor
from jacquard.compiler.passes.head_scales import check
from jacquard.compiler.passes.host_part import HostBuilder
from jacquard.compiler.passes.masks import Masks, unguarded
from jacquard.compiler.passes.values import CONSTANTS, FloatInput, NanTest, Real, Value
from jacquard.proto.lib.errors import UserError

# What the import itself takes out; everything else needs a codelet, or runs on the host.
DROPPED = ("Cast", "Constant", "DequantizeLinear", "Dropout", "Identity", "IsNaN",
           "QuantizeLinear", "Where")


class DevicePart:
    """The ops so far, and the tensors that they read and write."""

    def __init__(self, host: HostBuilder, opset: int) -> None:
        self.host, self.opset = host, opset
        self.tensors: dict[str, QTensor] = {}
        self.ops: list[Op] = []
        self._masks = Masks(host)
        self._names: set[str] = set()

    def operator(
        self, proto: onnx.NodeProto, name: str, attributes: Mapping[str, Any],
        operands: Sequence[Value | None],
    ) -> dict[str, Value]:
        """The values of a node's outputs. UserError for what cannot be compiled."""
        place = f"node {name} ({proto.op_type})"
        if operands and all(isinstance(x, CONSTANTS) or x is None for x in operands):
            raise UserError(f"{place}: all its inputs are constants; fold the model")
        dropped = _dropped(proto, place, attributes, operands)
        if dropped is not None:
            if isinstance(dropped, Real):
                dropped = dataclasses.replace(dropped, nodes=(*dropped.nodes, name))
            return {proto.output[0]: dropped}
        codelet = codelets().get(proto.op_type)
        if codelet is not None and codelet.clamp is not None:
            return {proto.output[0]: self._clamped(codelet, proto, name, attributes, operands)}
        absorbed = self._absorbed(proto, name, attributes, operands)
        if absorbed is not None:
            return {proto.output[0]: absorbed}
        masked = self._masks.found(proto.op_type, name, operands)
        if masked is not None:
            nodes = (*(n for x in operands if isinstance(x, Real) for n in x.nodes), name)
            value = Real(masked.tensor.shape, nodes=nodes, masked=masked)
            return {proto.output[0]: self._plain(proto, name, attributes, operands, value)}
        if codelet is None:
            raise UserError(
                f"{place}: operator is not supported by the compiler here; only a mask in front of "
                "Softmax may be: a choice between the quantized logits and at most -1e4"
            )
        assert codelet.parse is not None, proto.op_type
        resolved, nodes = self._operands(codelet, proto, name, operands)
        node = base.Node(proto.op_type, name, attributes, resolved, self.opset, len(proto.output))
        parsed = codelet.parse(node)
        return {
            output: Real(parsed.shapes[index], None, parsed, node, index, (*nodes, name))
            for index, output in enumerate(proto.output)
            if output
        }

    def _plain(
        self, proto: onnx.NodeProto, name: str, attributes: Mapping[str, Any],
        operands: Sequence[Value | None], value: Real,
    ) -> Real:
        """Masked logits as readers see them that take no mask: an Add or Where like any other."""
        assert value.masked is not None
        codelet = codelets().get(proto.op_type)
        try:
            if isinstance(value.masked.mask, base.Host) or codelet is None:
                raise UserError(
                    f"node {name} ({proto.op_type}): must be a mask directly in front of a "
                    "Softmax, got another reader; quantize its operands"
                )
            assert codelet.parse is not None
            resolved, _ = self._operands(codelet, proto, name, operands)
            node = base.Node(proto.op_type, name, attributes, resolved, self.opset)
            return dataclasses.replace(value, parsed=codelet.parse(node), node=node)
        except UserError as error:
            refused = dataclasses.replace(value.masked, refusal=error.lines)
            return dataclasses.replace(value, masked=refused)

    def _clamped(
        self, codelet: base.Codelet, proto: onnx.NodeProto, name: str,
        attributes: Mapping[str, Any], operands: Sequence[Value | None],
    ) -> Real:
        constants = tuple(x if isinstance(x, CONSTANTS) else None for x in operands)
        node = base.Node(proto.op_type, name, attributes, constants, self.opset)
        assert codelet.clamp is not None
        lo, hi = codelet.clamp(node)
        value = operands[0]
        if not isinstance(value, Real):
            raise UserError(_not_real(node.place, value))
        if value.tensor is None:
            _parsed(value)
        return dataclasses.replace(
            value, lo=min(max(value.lo, lo), hi), hi=min(max(value.hi, lo), hi),
            nodes=(*value.nodes, name), masked=None,
        )

    def _absorbed(
        self, proto: onnx.NodeProto, name: str, attributes: Mapping[str, Any],
        operands: Sequence[Value | None],
    ) -> Real | None:
        """The pending result that this node joins, with the node in it."""
        for index, value in enumerate(operands):
            if not isinstance(value, Real) or value.parsed is None or value.node is None:
                continue
            absorb = codelets()[value.node.op].absorb
            if absorb is None or value.clamped or value.index:
                continue
            others = [None if i == index else x for i, x in enumerate(operands)]
            constants = [x for x in others if x is None or isinstance(x, CONSTANTS)]
            if len(constants) != len(others):
                continue
            resolved: list[base.Operand] = list(constants)
            resolved[index] = base.Result(value.shape)
            node = base.Node(proto.op_type, name, attributes, tuple(resolved), self.opset)
            parsed = absorb(value.parsed, node)
            if parsed is not None:
                return dataclasses.replace(value, parsed=parsed, nodes=(*value.nodes, name))
        return None

    # --- operands ---------------------------------------------------------------------------------

    def _operands(
        self, codelet: base.Codelet, proto: onnx.NodeProto, name: str,
        operands: Sequence[Value | None],
    ) -> tuple[tuple[base.Operand, ...], tuple[str, ...]]:
        """What a codelet's parse reads, and the names of nodes that join it."""
        first = operands[0] if operands else None
        place = f"node {name} ({proto.op_type})"
        if codelet.masked and isinstance(first, Real) and first.masked and not first.clamped:
            found: list[base.Operand] = [base.Activation(first.masked.tensor)]
            mask = self._masks.tensor(name, place, first.masked)
            if mask is not None:
                found.append(base.Activation(mask))
            return tuple(found), first.nodes
        return tuple(
            x if isinstance(x, base.Host) and index in codelet.host
            else self._operand(x, proto, name)
            for index, x in enumerate(operands)
        ), ()

    def _operand(self, value: Value | None, proto: onnx.NodeProto, name: str) -> base.Operand:
        if value is None or isinstance(value, CONSTANTS):
            return value
        place = f"node {name} ({proto.op_type})"
        if not isinstance(value, Real):
            raise UserError(_not_real(place, value))
        if value.tensor is not None and not value.clamped:
            return base.Activation(value.tensor)
        if value.tensor is not None:
            grid: Grid | None = value.tensor.grid
        else:
            grid = _parsed(value).grid
        if grid is None:
            assert value.node is not None
            raise UserError(
                f"{value.node.place}: its result must be quantized before node {name} "
                f"({proto.op_type}) reads it; quantize this operator too"
            )
        stored = self.store(value, grid, f"{name}.operand{len(self.ops)}", name)
        return base.Activation(stored)

    def store(
        self, value: Real, grid: Grid, output: str, name: str, axis: int | None = None
    ) -> QTensor:
        """The tensor that holds a real value on a grid; adds the op that computes it.

        axis: of the grid's scales; None where nothing but the operator itself says it.
        """
        held = value.tensor
        if held is not None and held.grid == grid and not value.clamped:
            if axis in (None, held.axis):
                return held
        tensor = QTensor(output, value.shape, grid)
        if held is not None and (held.grid.scales or grid.scales):
            raise UserError(
                f"node {name} (QuantizeLinear): must not requantize to or from a scale per head, "
                f"got {held.name} with {len(held.grid.scales) or 1} scales to "
                f"{len(grid.scales) or 1}; quantize it once, or per tensor"
            )
        if value.tensor is not None:
            nodes = value.nodes or (name,)
            op = Op(self._unused(nodes[-1]), "QuantizeLinear", (value.tensor.name,), (output,), {},
                    value.lo, value.hi, nodes)
        else:
            parsed = _parsed(value)
            assert value.node is not None
            _check_types(value.node, parsed, grid)
            found = check(value.node, parsed, grid, axis, value.index, value.clamped)
            tensor = dataclasses.replace(tensor, axis=found)
            for operand in parsed.inputs:
                self.tensors.setdefault(operand.name, operand)
                if operand.name in parsed.limits:
                    self.host.bind_index(operand, parsed.limits[operand.name])
            attrs = dict(parsed.attrs)
            if len(parsed.shapes) > 1:
                attrs["output_index"] = value.index
            op = Op(self._unused(value.node.name), value.node.op,
                    tuple(t.name for t in parsed.inputs), (output,), attrs, value.lo, value.hi,
                    value.nodes)
        self.tensors[output] = tensor
        self.ops.append(op)
        return tensor

    def _unused(self, name: str) -> str:
        """A name for an op: the node's; numbered where its result is quantized more than once."""
        found, count = name, 1
        while found in self._names:
            count += 1
            found = f"{name}.{count}"
        self._names.add(found)
        return found


def _parsed(value: Real) -> base.Parsed:
    """Of a value that is not stored. UserError where only a Softmax could read it."""
    if value.parsed is None:
        assert value.masked is not None
        raise UserError(value.masked.refusal)
    return value.parsed


def _check_types(node: base.Node, parsed: base.Parsed, grid: Grid) -> None:
    """UserError unless the operator can be lowered for these integers."""
    codelet = codelets()[node.op]
    for operand in parsed.inputs:
        if operand.grid.dtype in base.DTYPES and operand.grid.dtype not in codelet.reads:
            raise UserError(
                f"{node.place}: its operands must be {' or '.join(codelet.reads)}, got "
                f"{operand.grid.dtype}; quantize them to {codelet.reads[-1]} in front of it"
            )
    if grid.dtype not in codelet.writes:
        raise UserError(
            f"{node.place}: its result must be {' or '.join(codelet.writes)}, got {grid.dtype}; "
            f"quantize it to {codelet.writes[-1]}"
        )


def _dropped(
    proto: onnx.NodeProto, place: str, attributes: Mapping[str, Any],
    operands: Sequence[Value | None],
) -> Value | None:
    """What a node stands for that computes nothing on the device; None where it does."""
    value = operands[0] if operands else None
    if proto.op_type in ("Identity", "Dropout"):
        return value
    if proto.op_type == "Cast" and isinstance(value, Real):
        kind = helper.tensor_dtype_to_np_dtype(int(attributes["to"]))
        if kind.kind != "f":
            raise UserError(
                f"{place}: a quantized tensor must stay a float, got {kind}; take the Cast out"
            )
        return value
    if proto.op_type == "IsNaN" and isinstance(value, Real):
        return NanTest(value)
    return unguarded(place, operands) if proto.op_type == "Where" else None


def _not_real(place: str, value: object) -> str:
    if isinstance(value, base.Host):
        return (
            f"{place}: must not mix activations with what the host computes, got {value.name}, "
            "made of inputs that nothing quantizes; quantize those inputs, or let them mask the "
            "logits in front of a Softmax"
        )
    what = "integers"
    if isinstance(value, FloatInput):
        what = f"float graph input {value.name}"
    elif isinstance(value, NanTest):
        what = "booleans"
    return f"{place}: its input must come from a DequantizeLinear, got {what}; quantize it"


