"""A codelet's Case as a QDQ model with one operator, for tests.

Ranges come from running the float operator with onnx's own reference evaluator on seeded data, so
that no part of the compiler has a say in what it is tested with.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from jacquard.compiler.codelets.base import Array, Case

OPSET, IR_VERSION = 21, 10  # the first with 16-bit QuantizeLinear
NEWER = {"RMSNormalization": (23, 11), "Swish": (24, 11)}
SEED = 20


def inputs_of(case: Case, seed: int = SEED) -> dict[str, Array]:
    """Seeded float32 inputs of a case, each with a spread of its own."""
    random = np.random.default_rng(seed)
    found = {}
    for i, (name, shape) in enumerate(case.inputs.items()):
        value = (random.normal(size=shape) * (1 + 0.4 * i) + 0.3) * case.spread
        found[name] = (np.abs(value) if case.positive else value).astype(np.float32)
    return found


def model_of(op: str, case: Case) -> onnx.ModelProto:
    """The QDQ model: Q, DQ per input, the operator (and a Relu), Q, DQ per output."""
    outputs = [f"y{i}" for i in range(case.outputs)]
    reals = [f"r{i}" for i in range(case.outputs)]
    names = list(case.order) or [*case.inputs, *case.constants]
    node = helper.make_node(op, names, reals, name=f"{op}_{case.name}", **case.attributes)
    tail = [
        helper.make_node("Relu" if case.relu else "Identity", [r], [y], name=f"{y}_act")
        for r, y in zip(reals, outputs, strict=True)
    ]
    head = []
    if case.mask is not None:
        head = [helper.make_node("Add", [names[0], "mask"], ["masked"], name="mask_add")]
        node.input[0] = "masked"
    values = inputs_of(case)
    constants = _plain_constants(case)
    declared = _declared(case)
    unknown = [helper.make_tensor_value_info(y, TensorProto.FLOAT, None) for y in outputs]
    graph = helper.make_graph([*head, node, *tail], "float", declared, unknown, constants)
    opset, _ = NEWER.get(op, (OPSET, IR_VERSION))
    floats = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    with np.errstate(all="ignore"):  # of operands where the function has no value
        results = [np.asarray(v) for v in ReferenceEvaluator(floats).run(outputs, values)]
    return _quantized(op, case, [*head, node], tail, values,
                      dict(zip(outputs, results, strict=True)))


def _plain_constants(case: Case) -> list[onnx.TensorProto]:
    """All constants as they are, the mask among them."""
    mask = {} if case.mask is None else {"mask": case.mask}
    return [numpy_helper.from_array(v, n) for n, v in (*case.constants.items(), *mask.items()) if n]


def _quantized(
    op: str,
    case: Case,
    body: list[onnx.NodeProto],
    tail: list[onnx.NodeProto],
    values: dict[str, Array],
    results: dict[str, Array],
) -> onnx.ModelProto:
    nodes: list[onnx.NodeProto] = []
    constants = [c for c in _plain_constants(case) if c.name not in case.weights]
    renamed: dict[str, str] = {}
    usual = "uint8" if case.unsigned else "int8"
    grids = {name: _grid(value, case.input_dtype or usual) for name, value in values.items()}
    for name, grid in grids.items():
        nodes += _pair(name, name, f"{name}_real", grid, constants)
        renamed[name] = f"{name}_real"
    for name, value in case.constants.items():
        if name in case.weights:
            axis = _output_axis(op, case)
            scale = _weight_scale(value, axis)
            q = np.clip(np.rint(value / _along(scale, axis, value.ndim)), -127, 127).astype(np.int8)
            constants += [
                numpy_helper.from_array(q, f"{name}_q"),
                numpy_helper.from_array(scale, f"{name}_s"),
                numpy_helper.from_array(np.zeros(scale.shape, np.int8), f"{name}_z"),
            ]
            nodes.append(helper.make_node(
                "DequantizeLinear", [f"{name}_q", f"{name}_s", f"{name}_z"], [f"{name}_real"],
                name=f"{name}_dq", axis=axis))
            renamed[name] = f"{name}_real"
    for node in body:
        inner = onnx.NodeProto()
        inner.CopyFrom(node)
        inner.input[:] = [renamed.get(n, n) for n in node.input]
        nodes.append(inner)
    nodes += tail
    infos = []
    for name, value in results.items():
        grid = _grid(np.asarray(value), case.output_dtype or usual)
        nodes += _pair(name, name, f"{name}_out", grid, constants)
        infos.append(helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT,
                                                   np.asarray(value).shape))
    declared = _declared(case)
    graph = helper.make_graph(nodes, f"{op}_{case.name}", declared, infos, constants)
    opset, ir_version = NEWER.get(op, (OPSET, IR_VERSION))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)],
                              ir_version=ir_version)
    onnx.checker.check_model(model)
    return model


def _declared(case: Case) -> list[onnx.ValueInfoProto]:
    """The float inputs."""
    return [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in case.inputs.items()
    ]


def _grid(value: Array, dtype: str) -> tuple[Array, Array]:
    """(scale, zero point) covering the numbers and zero; of 16 bits symmetric about it."""
    limits = np.iinfo(dtype)
    value = value[np.isfinite(value)]
    if limits.bits == 16:
        scale = np.float32(max(float(np.abs(value).max()), 1e-3) / 32767)
        return np.array(scale), np.array((limits.min + limits.max + 1) // 2, dtype)
    lo, hi = min(float(value.min()), 0.0), max(float(value.max()), 0.0)
    scale = np.float32(max(hi - lo, 1e-3) / 255)
    zero = int(np.rint(-lo / scale)) + limits.min
    return np.array(scale), np.array(min(max(zero, limits.min), limits.max), dtype)


def _pair(
    name: str,
    source: str,
    target: str,
    grid: tuple[Array, Array],
    constants: list[onnx.TensorProto],
) -> list[onnx.NodeProto]:
    """Q and DQ nodes from `source` to `target`."""
    constants += [numpy_helper.from_array(grid[0], f"{name}_scale"),
                  numpy_helper.from_array(grid[1], f"{name}_zero")]
    parameters = [f"{name}_scale", f"{name}_zero"]
    return [
        helper.make_node("QuantizeLinear", [source, *parameters], [f"{name}_int"],
                         name=f"{name}_q"),
        helper.make_node("DequantizeLinear", [f"{name}_int", *parameters], [target],
                         name=f"{name}_dq"),
    ]


def _output_axis(op: str, case: Case) -> int:
    """The axis of the weights that makes outputs."""
    return 0 if op == "Conv" or case.attributes.get("transB") else 1


def _weight_scale(value: Array, axis: int) -> Array:
    others = tuple(i for i in range(value.ndim) if i != axis)
    return np.asarray(np.abs(value).max(axis=others) / 127, np.float32)


def _along(scale: Array, axis: int, rank: int) -> Array:
    return scale.reshape(tuple(-1 if i == axis else 1 for i in range(rank)))
