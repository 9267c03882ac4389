"""Every operator against onnxruntime on the same QDQ graph, graph optimisation off."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from jacquard.benchmarks.models.seeded import SeededStream, calibration_batches, seeded_inputs
from jacquard.compiler.frontend.import_model import import_model
from jacquard.compiler.frontend.quantize import quantize_model
from jacquard.sim.reference.against_ort import compare

I64 = np.int64


@dataclass(frozen=True)
class Case:
    """A float model of one operator: input shapes, constants by input position, attributes."""

    name: str
    op: str
    shapes: tuple[tuple[int, ...], ...]
    constants: dict[int, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    opset: int = 18


def normal(*shape: int, seed: int = 3) -> np.ndarray:
    return SeededStream(seed).normal(shape)


def ints(*values: int) -> np.ndarray:
    return np.asarray(values, I64)


def conv(name: str, shape: tuple[int, ...], weight: tuple[int, ...], **attributes: Any) -> Case:
    gains = np.linspace(0.2, 2, weight[0], dtype=np.float32).reshape(-1, 1, 1, 1)
    constants = {1: normal(*weight) * gains, 2: normal(weight[0], seed=4)}
    return Case(f"conv_{name}", "Conv", (shape,), constants, attributes)


IMAGE = (1, 8, 18, 20)
CASES = [
    conv("1x1", IMAGE, (16, 8, 1, 1)),
    conv("3x3_same", IMAGE, (16, 8, 3, 3), pads=[1, 1, 1, 1]),
    conv("7x7_stride2", (1, 3, 40, 40), (16, 3, 7, 7), pads=[3, 3, 3, 3], strides=[2, 2]),
    conv("uneven", IMAGE, (16, 8, 3, 2), pads=[2, 0, 1, 1], strides=[1, 2]),
    conv("dilated", IMAGE, (16, 8, 3, 3), dilations=[2, 3], pads=[2, 3, 2, 3]),
    conv("depthwise", IMAGE, (8, 1, 3, 3), group=8, pads=[1, 1, 1, 1]),
    conv("depthwise_multiplier", IMAGE, (16, 1, 3, 3), group=8, strides=[2, 2]),
    conv("groups", IMAGE, (12, 2, 3, 3), group=4),
    conv("same_upper", IMAGE, (8, 8, 4, 3), auto_pad="SAME_UPPER", strides=[2, 3]),
    conv("same_lower", IMAGE, (8, 8, 4, 3), auto_pad="SAME_LOWER", strides=[2, 3]),
    Case("conv_no_bias", "Conv", (IMAGE,), {1: normal(16, 8, 3, 3)}),
    Case("conv_1d", "Conv", ((1, 8, 300),), {1: normal(16, 8, 5)}, {"pads": [2, 2]}),
    Case("gemm", "Gemm", ((32, 40),), {1: normal(40, 64), 2: normal(64, seed=9)}),
    Case("gemm_trans_b", "Gemm", ((32, 40),), {1: normal(64, 40), 2: normal(64, seed=9)},
         {"transB": 1}),
    Case("gemm_no_bias", "Gemm", ((32, 40),), {1: normal(40, 64)}),
    Case("matmul_weights", "MatMul", ((2, 16, 40),), {1: normal(40, 64)}),
    Case("matmul_activations", "MatMul", ((2, 3, 16, 40), (2, 3, 40, 24))),
    Case("matmul_broadcast", "MatMul", ((4, 16, 40), (40, 24))),
    Case("add", "Add", (IMAGE, IMAGE)),
    Case("add_broadcast", "Add", (IMAGE, (8, 1, 1))),
    Case("add_constant", "Add", (IMAGE,), {1: normal(8, 1, 1)}),
    Case("sub", "Sub", (IMAGE, IMAGE)),
    Case("mul", "Mul", (IMAGE, IMAGE)),
    Case("mul_gate", "Mul", (IMAGE, (1, 8, 1, 1))),
    Case("mul_constant", "Mul", (IMAGE,), {1: normal(8, 1, 1)}),
    Case("relu", "Relu", (IMAGE,)),
    Case("leaky_relu", "LeakyRelu", (IMAGE,), {}, {"alpha": 0.1}),
    Case("leaky_relu_negative_alpha", "LeakyRelu", (IMAGE,), {}, {"alpha": -0.3}),
    Case("clip", "Clip", (IMAGE,), {1: np.float32(-0.7), 2: np.float32(1.3)}),
    Case("clip_min_only", "Clip", (IMAGE,), {1: np.float32(-0.5)}),
    Case("max_pool", "MaxPool", (IMAGE,), {}, {"kernel_shape": [3, 3], "strides": [2, 2],
                                               "pads": [1, 1, 1, 1]}),
    Case("max_pool_ceil", "MaxPool", (IMAGE,), {}, {"kernel_shape": [3, 2], "strides": [2, 3],
                                                    "ceil_mode": 1}),
    Case("max_pool_dilated", "MaxPool", (IMAGE,), {}, {"kernel_shape": [2, 3],
                                                       "dilations": [2, 2]}),
    Case("average_pool", "AveragePool", (IMAGE,), {}, {"kernel_shape": [2, 2],
                                                       "strides": [2, 2]}),
    Case("average_pool_exclude_pad", "AveragePool", (IMAGE,), {},
         {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    Case("average_pool_include_pad", "AveragePool", (IMAGE,), {},
         {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    Case("average_pool_ceil", "AveragePool", (IMAGE,), {},
         {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    Case("global_average_pool", "GlobalAveragePool", ((2, 512, 7, 7),)),
    Case("reduce_mean", "ReduceMean", ((2, 512, 7, 7),), {1: ints(2, 3)}, {"keepdims": 0}),
    Case("reduce_mean_last", "ReduceMean", ((2, 500, 9),), {1: ints(-1)}, {"keepdims": 1}),
    Case("batch_normalization", "BatchNormalization", (IMAGE,),
         {1: normal(8), 2: normal(8, seed=5), 3: normal(8, seed=6),
          4: np.abs(normal(8, seed=7)) + np.float32(0.1)}),
    Case("concat", "Concat", (IMAGE, (1, 4, 18, 20), (1, 1, 18, 20)), {}, {"axis": 1}),
    Case("split", "Split", (IMAGE,), {1: ints(3, 5)}, {"axis": 1}, outputs=2),
    Case("slice", "Slice", (IMAGE,), {1: ints(1, -3), 2: ints(100, -18), 3: ints(2, 3),
                                      4: ints(2, -3)}),
    Case("pad", "Pad", (IMAGE,), {1: ints(0, 0, 1, 2, 0, 1, 3, 0)}),
    Case("pad_constant", "Pad", (IMAGE,), {1: ints(0, 0, 1, 2, 0, 0, 3, 0), 2: np.float32(0.6)}),
    Case("pad_reflect", "Pad", (IMAGE,), {1: ints(0, 0, 1, 2, 0, 0, 3, 1)}, {"mode": "reflect"}),
    Case("transpose", "Transpose", (IMAGE,), {}, {"perm": [0, 2, 3, 1]}),
    Case("reshape", "Reshape", (IMAGE,), {1: ints(0, -1, 40)}),
    Case("flatten", "Flatten", (IMAGE,), {}, {"axis": 2}),
    Case("squeeze", "Squeeze", ((1, 8, 1, 300),), {1: ints(0, -2)}),
    Case("unsqueeze", "Unsqueeze", ((8, 300),), {1: ints(0, -1)}),
    Case("resize_asymmetric", "Resize", (IMAGE,), {2: np.asarray([1, 1, 2, 2], np.float32)},
         {"mode": "nearest", "coordinate_transformation_mode": "asymmetric",
          "nearest_mode": "floor"}),
    Case("resize_half_pixel", "Resize", (IMAGE,), {3: ints(1, 8, 27, 13)}, {"mode": "nearest"}),
]


def float_model(case: Case) -> onnx.ModelProto:
    """The case's one node between float inputs and outputs."""
    count = max([len(case.shapes) - 1, *case.constants]) + 1
    free = iter(range(len(case.shapes)))
    names, inputs, tensors = [], [], []
    for index in range(count):
        if index in case.constants:
            names.append(f"c{index}")
            tensors.append(numpy_helper.from_array(np.asarray(case.constants[index]), f"c{index}"))
        elif (position := next(free, None)) is not None:
            names.append(f"x{position}")
            inputs.append(helper.make_tensor_value_info(
                f"x{position}", onnx.TensorProto.FLOAT, case.shapes[position]))
        else:
            names.append("")
    results = [f"y{i}" for i in range(case.outputs)]
    node = helper.make_node(case.op, names, results, name=case.name, **case.attributes)
    outputs = [helper.make_tensor_value_info(r, onnx.TensorProto.FLOAT, None) for r in results]
    graph = helper.make_graph([node], case.name, inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", case.opset)],
                             ir_version=9)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_operator(case: Case) -> None:
    model = import_model(float_model(case).SerializeToString())
    quantized = quantize_model(model, calibration_batches(model, 0, 2))
    result = compare(quantized, seeded_inputs(model, 1))
    print(f"{case.name}: {result}")
    assert result.compared > 300
    assert result.accepted, result
