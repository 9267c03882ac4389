"""A small network for the tests: two convolutions, a pool, a product, and its profile on nano4."""

from __future__ import annotations

import functools

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from jacquard.compiler.frontend.quantize import quantize_model
from jacquard.compiler.main import CompileOptions, compile_model
from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.arch import Arch, load_config
from jacquard.runtime.device.base import DeviceResult
from jacquard.runtime.device.perf import PerfDevice
from jacquard.runtime.profile.measure import Profile, measure

NAME = "sample"


@functools.cache
def float_model() -> onnx.ModelProto:
    """Weights from a seed."""
    rng = np.random.default_rng(1)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(rng.normal(0, 0.2, shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Conv", ["b", "w2"], ["c"], name="a <second> & last", strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["c"], ["d"], name="pool"),
        helper.make_node("Flatten", ["d"], ["e"], name="flat"),
        helper.make_node("Gemm", ["e", "w3"], ["y"], name="classes"),
    ]
    graph = helper.make_graph(
        nodes,
        NAME,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 100])],
        [weights("w1", 16, 8, 3, 3), weights("w2", 16, 16, 3, 3), weights("w3", 16, 100)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 10
    return onnx.shape_inference.infer_shapes(model)


@functools.cache
def quantized() -> onnx.ModelProto:
    rng = np.random.default_rng(2)
    samples = [{"x": rng.normal(0, 1, (1, 8, 16, 16)).astype(np.float32)} for _ in range(2)]
    return quantize_model(float_model(), samples, "minmax")


def compiled(arch: Arch) -> pb.Program:
    return compile_model(quantized(), arch, CompileOptions(model_name=NAME))


@functools.cache
def timed() -> tuple[pb.Program, DeviceResult]:
    """The program on nano4, and what the cycle model says of it."""
    arch = load_config("nano4")
    program = compiled(arch)
    code = np.frombuffer(program.code, np.uint8)
    return program, PerfDevice(arch).run(code, 0, (0,) * 8, [], None)


def profile() -> Profile:
    program, result = timed()
    return measure(program, load_config("nano4"), "perf", "perf", result)
