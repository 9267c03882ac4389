"""The integer reference: a QDQ ONNX graph, interpreted node by node.

It defines what every simulator and the RTL must produce, bit for bit, and shares no code with the
compiler but `proto/lib/fixed_point.py`. Reals between a DequantizeLinear and the next
QuantizeLinear are kept exactly; README.md lists the few rules that are not plain ONNX.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from jacquard.proto.lib.errors import UserError, raise_if_any
from jacquard.sim.reference import (
    elementwise,
    linear,
    logic,
    pooling,
    quantization,
    shape,
    weights,
)
from jacquard.sim.reference.host import evaluate, host_values
from jacquard.sim.reference.node import Node, parse
from jacquard.sim.reference.nonlinear import normalization, unary
from jacquard.sim.reference.nonlinear.functions import FUNCTIONS
from jacquard.sim.reference.nonlinear.softmax import softmax
from jacquard.sim.reference.pending import Pending
from jacquard.sim.reference.value import AnyArray, Operand, Value

Operator = Callable[[Node, list[Operand | None]], list[Operand]]


def _identity(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    assert inputs[0] is not None
    return [inputs[0]]


def _constant(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    for name in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        if name in node.attributes:
            given = np.asarray(node.attributes[name])
            return [given.astype(np.float32) if given.dtype == np.float64 else given]
    raise UserError(f"{node.place}: must hold a tensor or numbers; fold the model")


OPERATORS: dict[str, Operator] = {
    "Abs": unary.abs_,
    "Add": elementwise.add,
    "And": logic.logical,
    "AveragePool": pooling.average_pool,
    "BatchNormalization": elementwise.batch_normalization,
    "Cast": logic.cast,
    "Clip": elementwise.clip,
    "Concat": shape.concat,
    "Constant": _constant,
    "ConstantOfShape": logic.constant_of_shape,
    "Conv": linear.conv,
    "DequantizeLinear": quantization.dequantize,
    "Div": elementwise.div,
    "Dropout": _identity,
    "Equal": logic.compare,
    "Expand": logic.expand,
    "Flatten": shape.flatten,
    "Gather": logic.gather,
    "GatherND": logic.gather_nd,
    "Gemm": linear.gemm,
    "GlobalAveragePool": pooling.global_average_pool,
    "Greater": logic.compare,
    "GreaterOrEqual": logic.compare,
    "Identity": _identity,
    "IsNaN": logic.is_nan,
    "LayerNormalization": normalization.layer_normalization,
    "LeakyRelu": elementwise.leaky_relu,
    "Less": logic.compare,
    "LessOrEqual": logic.compare,
    "MatMul": linear.matmul,
    "Max": logic.extreme,
    "MaxPool": pooling.max_pool,
    "Min": logic.extreme,
    "Mul": elementwise.mul,
    "Neg": unary.neg,
    "Not": logic.logical,
    "Or": logic.logical,
    "Pad": shape.pad,
    "Pow": unary.pow_,
    "QuantizeLinear": quantization.quantize,
    "RMSNormalization": normalization.rms_normalization,
    "Range": logic.range_,
    "ReduceMax": pooling.reduce,
    "ReduceMean": pooling.reduce_mean,
    "ReduceMin": pooling.reduce,
    "ReduceSum": pooling.reduce,
    "Relu": elementwise.relu,
    "Reshape": shape.reshape,
    "Resize": shape.resize,
    "Shape": logic.shape_of,
    "SimplifiedLayerNormalization": normalization.rms_normalization,
    "Slice": shape.slice_,
    "Softmax": softmax,
    "Split": shape.split,
    "Squeeze": shape.squeeze,
    "Sub": elementwise.sub,
    "Transpose": shape.transpose,
    "Trilu": logic.trilu,
    "Unsqueeze": shape.unsqueeze,
    "Where": logic.where,
    "Xor": logic.logical,
    **dict.fromkeys(FUNCTIONS, unary.unary),
}

# Between a nonlinear operator and its QuantizeLinear may lie what moves or clamps its elements.
READ_PENDING = frozenset(
    "Cast Clip Dropout Expand Flatten Gather Identity IsNaN QuantizeLinear Relu Reshape Shape "
    "Slice Split Squeeze Transpose Unsqueeze Where".split()
)


@dataclass(frozen=True)
class Step:
    """One evaluated node: what it read, what it gave.

    Attributes:
      constant: it read constants only.
      weights: it stored a softmax as weights of its rows, or multiplied those (rule 10).
    """

    node: Node
    operands: list[Operand | None]
    results: list[Operand]
    constant: bool
    weights: bool = False


@dataclass(frozen=True)
class ReferenceResult:
    """What a run gives.

    Attributes:
      outputs: graph output name -> float32 array.
      integer_outputs: graph output name -> the integers behind it (absent where the output is not
        dequantized directly, nor quantized itself).
      tensors: output name of each activation QuantizeLinear -> its integers.
      digests: name in `tensors` -> sha256 (hex) of its C-contiguous little-endian bytes.
    """

    outputs: dict[str, AnyArray]
    integer_outputs: dict[str, AnyArray]
    tensors: dict[str, AnyArray]
    digests: dict[str, str]


def digest(array: AnyArray) -> str:
    """sha256 (hex) of an array's C-contiguous little-endian bytes."""
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    return hashlib.sha256(little.tobytes()).hexdigest()


def run_reference(
    model: onnx.ModelProto, inputs: Mapping[str, AnyArray]
) -> ReferenceResult:
    """Runs a QDQ model on one set of inputs.

    Args:
      model: a QDQ graph; opset 9 to 23, initializers in the file.
      inputs: one array per graph input that is not an initializer.

    Raises:
      UserError: unsupported operators (all of them), wrong inputs, or a node whose operands are
        not quantized.
    """
    tensors: dict[str, AnyArray] = {}
    integers: dict[str, AnyArray] = {}
    results: dict[str, Operand] = {}
    wanted = {output.name for output in model.graph.output}
    for step in steps(model, inputs):
        for name, result in zip(step.node.outputs, step.results, strict=False):
            if name in wanted:
                results[name] = result
            if step.node.op == "QuantizeLinear" and not step.constant:
                assert isinstance(result, np.ndarray)
                tensors[name] = integers[name] = result
            elif step.node.op == "DequantizeLinear" and name in wanted:
                source = step.operands[0]
                assert isinstance(source, np.ndarray)
                integers[name] = source
    outputs: dict[str, AnyArray] = {}
    for output in model.graph.output:
        result = results[output.name]
        if isinstance(result, Pending):
            raise UserError(
                f"output {output.name}: must be quantized, got the result of a nonlinear operator; "
                "quantize it"
            )
        outputs[output.name] = (
            result.real().astype(np.float32) if isinstance(result, Value) else result
        )
    return ReferenceResult(
        outputs,
        {name: integers[name] for name in outputs if name in integers},
        tensors,
        {name: digest(tensor) for name, tensor in tensors.items()},
    )


def steps(
    model: onnx.ModelProto,
    inputs: Mapping[str, AnyArray],
    forced: Mapping[str, AnyArray] | None = None,
) -> Iterator[Step]:
    """Evaluates node after node. Where `forced` has a tensor, the nodes after it read that one,
    so that layers can be compared with another implementation one at a time."""
    graph = model.graph
    opset = max((i.version for i in model.opset_import if i.domain in ("", "ai.onnx")), default=0)
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    nodes = [parse(node, opset) for node in graph.node]
    hosted = host_values(graph)
    raise_if_any(
        f"{node.place}: operator must be known to the reference, got {node.op}; one of "
        f"{', '.join(sorted(OPERATORS))}"
        for node in nodes
        if node.op not in OPERATORS and not hosted.intersection(node.outputs)
    )
    environment: dict[str, Operand] = dict(constants)
    environment.update(_checked_inputs(graph, constants, inputs))
    last_use = {name: i for i, node in enumerate(nodes) for name in node.inputs}
    constant = set(constants)
    rule = weights.find(nodes, constants, [output.name for output in graph.output])
    rows: set[str] = set()  # stored as weights of their rows
    for i, node in enumerate(nodes):
        operands = [environment[name] if name else None for name in node.inputs]
        if node.op not in READ_PENDING and any(isinstance(x, Pending) for x in operands):
            raise UserError(
                f"{node.place}: its operand must be quantized, got the result of a nonlinear "
                "operator that no QuantizeLinear has read; quantize that operator too"
            )
        fixed = [name in constant for name in node.inputs]
        special = linear.biased_product(node, operands, fixed) if node.op == "Add" else None
        if node.outputs[0] in rule.quantized:
            special = quantization.quantize_weights(node, operands)
            rows.update(node.outputs if special else ())
        elif rule.products.get(node.outputs[0]) in rows:
            special = linear.weighted_product(node, operands)
        if node.op in OPERATORS:
            results = special or OPERATORS[node.op](node, operands)
        else:
            results = evaluate(graph.node[i], operands, model)
        is_constant = all(name in constant for name in node.inputs if name)
        if is_constant:
            constant.update(node.outputs)
        weighted = node.outputs[0] in rows or rule.products.get(node.outputs[0]) in rows
        yield Step(node, operands, results, is_constant, weighted)
        for name, result in zip(node.outputs, results, strict=False):
            environment[name] = forced[name] if forced and name in forced else result
        for name in node.inputs:
            if last_use.get(name) == i:
                environment.pop(name, None)


def _checked_inputs(
    graph: onnx.GraphProto,
    constants: Mapping[str, AnyArray],
    inputs: Mapping[str, AnyArray],
) -> dict[str, AnyArray]:
    """The graph's inputs, all complaints at once."""
    problems = []
    wanted = {i.name: i.type.tensor_type for i in graph.input if i.name not in constants}
    for name in sorted(set(inputs) - set(wanted)):
        problems.append(f"input {name}: must be one of {', '.join(sorted(wanted))}; rename it")
    checked: dict[str, AnyArray] = {}
    for name, tensor_type in wanted.items():
        if name not in inputs:
            problems.append(f"input {name}: must be given, got none; add it")
            continue
        array = np.asarray(inputs[name])
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor_type.elem_type)
        sizes = [d.dim_value for d in tensor_type.shape.dim]
        if array.dtype != dtype:
            problems.append(f"input {name}: must be {dtype}, got {array.dtype}; convert it")
        elif len(sizes) != array.ndim or any(
            size not in (0, given) for size, given in zip(sizes, array.shape, strict=True)
        ):
            problems.append(
                f"input {name}: must have shape {tuple(sizes)}, got {array.shape}; reshape it"
            )
        checked[name] = array
    raise_if_any(problems)
    return checked
