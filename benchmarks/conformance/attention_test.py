"""Attention fused and in parts, of every shape of heads: the integer reference's integers."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from jacquard.benchmarks.conformance.qdq_builder import Builder
from jacquard.compiler.main import CompileOptions, compile_model
from jacquard.proto.lib.arch import load_config
from jacquard.runtime.api.session import Session
from jacquard.runtime.device.open_device import open_device
from jacquard.sim.reference.interpreter import run_reference


@dataclasses.dataclass(frozen=True)
class Shape:
    """rows of queries, keys, heads of queries and of keys, depth of a head.

    mask: none, one row (host, constant) or all.

    rounded: probabilities are int8, so that they are rounded instead of weights of their rows.
    by_head: keys and values have a scale per head.
    """

    rows: int
    keys: int
    heads: int
    key_heads: int
    depth: int
    mask: str = "none"
    asymmetric: bool = False
    rounded: bool = False
    by_head: bool = False

    @property
    def mask_shape(self) -> list[int]:
        """Of a mask that is an input."""
        return [1, 1, self.rows if self.mask == "rows" else 1, self.keys]

    def __str__(self) -> str:
        return "-".join(map(str, dataclasses.astuple(self)))


def attention_model(shape: Shape) -> onnx.ModelProto:
    """Three projections in, contexts side by side out, in the form that exporters give."""
    b = Builder()
    zero = np.uint8(121) if shape.asymmetric else np.uint8(128)
    sizes = {"q": (shape.rows, shape.heads), "k": (shape.keys, shape.key_heads),
             "v": (shape.keys, shape.key_heads)}
    heads = {}

    def moved(name: str, real: str, scales: np.ndarray, axis: int) -> str:
        """Q and DQ behind a movement of a projection."""
        if len(scales) > 1:
            return b.stored(real, scales, zero, axis=axis)
        return b.stored(real, 0, zero, name)

    for name, (rows, count) in sizes.items():
        scales = np.array([0.021 + 0.003 * len(heads)])
        if shape.by_head and name != "q":
            scales = scales * (1 + 0.7 * np.arange(count))
        whole = np.repeat(scales, shape.depth) if len(scales) > 1 else scales[0]
        real = b.stored(name, whole, zero, axis=2)
        split = b.constant(f"{name}_split", np.array([1, rows, count, shape.depth], np.int64))
        real = moved(name, b.node("Reshape", f"{name}_heads", real, split), scales, 2)
        if shape.key_heads < shape.heads and name != "q":
            group = shape.heads // shape.key_heads
            order = np.repeat(np.arange(count), group).astype(np.int64)
            scales = np.repeat(scales, group) if len(scales) > 1 else scales
            all_heads = b.constant(f"{name}_order", order)
            real = moved(
                name, b.node("Gather", f"{name}_all", real, all_heads, axis=2), scales, 2)
        order = [0, 2, 3, 1] if name == "k" else [0, 2, 1, 3]
        heads[name] = moved(name, b.node("Transpose", f"{name}_t", real, perm=order), scales, 1)
    logits = b.stored(b.node("MatMul", "logits", heads["q"], heads["k"]), 1.3e-3, np.int16(0))
    if shape.mask in ("host", "rows"):
        b.node("Cast", "kept", "mask", to=TensorProto.BOOL)
        b.node("Where", "added", "kept", b.constant("nothing", np.array(0, np.float32)),
               b.constant("least", np.array(-3.4e38, np.float32)))
        logits = b.node("Add", "masked", logits, "added")
    elif shape.mask == "causal":
        hidden = np.triu(np.ones((shape.rows, shape.keys), np.float32), 1 + shape.keys - shape.rows)
        added = b.constant("added", np.where(hidden > 0, -np.inf, 0).astype(np.float32))
        logits = b.node("Add", "masked", logits, added)
    elif shape.mask == "constant":
        row = np.zeros((1, 1, 1, shape.keys), np.float32)
        row[..., shape.keys // 2 :: 3] = -1e9
        logits = b.node("Add", "masked", logits, b.constant("added", row))
    p = b.stored(b.node("Softmax", "p", logits, axis=-1), 1 / 255,
                 np.int8(-128) if shape.rounded else np.uint8(0))
    y = b.stored(b.node("MatMul", "context", p, heads["v"]), 0.017, zero)
    y = b.stored(b.node("Transpose", "context_t", y, perm=[0, 2, 1, 3]), 0, zero, "context")
    joined = b.constant("joined", np.array([1, shape.rows, shape.heads * shape.depth], np.int64))
    y = b.stored(b.node("Reshape", "y", y, joined), 0, zero, "context")
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, rows, count * shape.depth])
        for name, (rows, count) in sizes.items()
    ]
    if shape.mask in ("host", "rows"):
        inputs.append(
            helper.make_tensor_value_info("mask", TensorProto.INT64, shape.mask_shape))
    width = shape.heads * shape.depth
    output = helper.make_tensor_value_info(y, TensorProto.FLOAT, [1, shape.rows, width])
    graph = helper.make_graph(b.nodes, "attention", inputs, [output], b.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def inputs_of(shape: Shape, seed: int) -> dict[str, np.ndarray]:
    """Seeded projections; a mask that leaves a head part of the keys."""
    random = np.random.default_rng(seed)
    found = {
        name: random.normal(size=(1, rows, count * shape.depth)).astype(np.float32)
        for name, rows, count in (("q", shape.rows, shape.heads),
                                  ("k", shape.keys, shape.key_heads),
                                  ("v", shape.keys, shape.key_heads))
    }
    if shape.mask in ("host", "rows"):
        kept = (random.random(shape.mask_shape) < 0.6).astype(np.int64)
        kept[..., 0] = 1
        found["mask"] = kept
    return found


SHAPES = [
    Shape(16, 16, 1, 1, 16),
    Shape(32, 32, 2, 2, 32, "host"),
    Shape(20, 37, 3, 3, 16, "host", asymmetric=True),
    Shape(7, 21, 4, 2, 16, "constant"),
    Shape(24, 16, 4, 1, 32),
    Shape(24, 30, 3, 1, 16, "causal"),
    Shape(40, 40, 2, 2, 16, "rows", asymmetric=True),
    Shape(1, 45, 2, 2, 16, "host"),
    Shape(9, 21, 2, 1, 16, "host", rounded=True),
    Shape(18, 33, 2, 2, 16, "causal", rounded=True),
    Shape(20, 37, 3, 3, 16, "host", by_head=True),
    Shape(24, 30, 4, 2, 16, "causal", asymmetric=True, by_head=True),
    Shape(9, 21, 2, 2, 16, "rows", rounded=True, by_head=True),
]


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("config", ["nano4", "edge16"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_integer_reference(shape: Shape, config: str, fuse: bool) -> None:
    model, arch, inputs = attention_model(shape), load_config(config), inputs_of(shape, 7)
    program = compile_model(model, arch, CompileOptions(fuse=fuse))
    fused = fuse and not shape.rounded  # only weights of rows are
    assert [layer.op for layer in program.layers].count("Attention") == int(fused)
    session = Session(program, open_device("func", arch), arch)
    session.run(inputs)
    expected = run_reference(model, inputs).integer_outputs
    for name, value in session.last.integers.items():
        np.testing.assert_array_equal(value, expected[name])
