"""Caches in place: steps at several positions equal the graph that appends, and the rows stay."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from jacquard.benchmarks.conformance.qdq_builder import Builder
from jacquard.compiler.main import CompileOptions, compile_model
from jacquard.proto.lib.arch import load_config
from jacquard.proto.lib.errors import UserError
from jacquard.runtime.api.session import Session
from jacquard.runtime.device.open_device import open_device
from jacquard.sim.reference.interpreter import run_reference

ROWS, DEPTH = 20, 16
ZERO = np.uint8(126)


def decode_model(
    heads: int, key_heads: int, masked: bool = True, by_head: bool = False
) -> onnx.ModelProto:
    """One attention over past rows and this step's own, which it appends.

    by_head: keys and values have a scale per head.
    """
    b = Builder()

    def kept(name: str, real: str, axis: int, repeats: int = 1) -> str:
        """Q and DQ of a tensor of keys or values."""
        if by_head:
            scales = np.repeat(0.025 * (1 + 0.6 * np.arange(key_heads)), repeats)
            return b.stored(real, scales, ZERO, axis=axis)
        return b.stored(real, 0.025, ZERO, "" if real == name else name)

    inputs = [helper.make_tensor_value_info("q", TensorProto.FLOAT, [1, 1, heads * DEPTH])]
    q = b.stored("q", 0.02, ZERO)
    q = b.stored(b.node("Reshape", "q_heads", q, b.constant(
        "q_split", np.array([1, 1, heads, DEPTH], np.int64))), 0, ZERO, "q")
    q = b.stored(b.node("Transpose", "q_t", q, perm=[0, 2, 1, 3]), 0, ZERO, "q")
    outputs, whole = [], {}
    for name in ("k", "v"):
        inputs += [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, key_heads * DEPTH]),
            helper.make_tensor_value_info(f"past.{name}", TensorProto.FLOAT,
                                          [1, key_heads, ROWS, DEPTH]),
        ]
        new = kept(name, name, 2, DEPTH)
        split = b.constant(f"{name}_split", np.array([1, 1, key_heads, DEPTH], np.int64))
        new = kept(name, b.node("Reshape", f"{name}_heads", new, split), 2)
        new = kept(name, b.node("Transpose", f"{name}_t", new, perm=[0, 2, 1, 3]), 1)
        past = kept(name, f"past.{name}", 1)
        both = kept(name, b.node("Concat", f"present.{name}", past, new, axis=2), 1)
        outputs.append(helper.make_tensor_value_info(
            both, TensorProto.FLOAT, [1, key_heads, ROWS + 1, DEPTH]))
        if heads > key_heads:
            order = b.constant(f"{name}_order", np.repeat(np.arange(key_heads), heads // key_heads))
            both = kept(name, b.node("Gather", f"{name}_all", both, order, axis=1), 1,
                        heads // key_heads)
        whole[name] = both
    k = kept("k", b.node("Transpose", "k_all_t", whole["k"], perm=[0, 1, 3, 2]), 1,
             heads // key_heads)
    logits = b.stored(b.node("MatMul", "logits", q, k), 1.1e-3, np.int16(0))
    if masked:
        inputs.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 1, 1, ROWS + 1]))
        logits = b.node("Add", "masked", logits, "mask")
    p = b.stored(b.node("Softmax", "p", logits, axis=-1), 1 / 255, np.uint8(0))
    y = b.stored(b.node("MatMul", "context", p, whole["v"]), 0.018, ZERO)
    y = b.stored(b.node("Transpose", "context_t", y, perm=[0, 2, 1, 3]), 0, ZERO, "context")
    joined = b.constant("joined", np.array([1, 1, heads * DEPTH], np.int64))
    y = b.stored(b.node("Reshape", "y", y, joined), 0, ZERO, "context")
    outputs.append(helper.make_tensor_value_info(y, TensorProto.FLOAT, [1, 1, heads * DEPTH]))
    graph = helper.make_graph(b.nodes, "decode", inputs, outputs, b.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    return model


@pytest.mark.parametrize("by_head", [False, True])
@pytest.mark.parametrize("heads, key_heads", [(2, 2), (4, 2)])
@pytest.mark.parametrize("config", ["nano4", "edge16"])
def test_steps_equal_the_graph_that_appends(
    config: str, heads: int, key_heads: int, by_head: bool
) -> None:
    model = decode_model(heads, key_heads, by_head=by_head)
    arch = load_config(config)
    program = compile_model(model, arch, CompileOptions(kv_cache=True))
    assert [layer.op for layer in program.layers] == ["CacheAppend", "CacheAppend", "Attention"]
    session = Session(program, open_device("func", arch), arch)
    random = np.random.default_rng(3)
    past = {name: np.zeros((1, key_heads, ROWS, DEPTH), np.float32) for name in ("k", "v")}
    filled: list[int] = []
    for position in (0, 1, 7, 1, ROWS - 1):
        feed = {
            name: random.normal(size=(1, 1, n * DEPTH)).astype(np.float32)
            for name, n in (("q", heads), ("k", key_heads), ("v", key_heads))
        }
        mask = np.full((1, 1, 1, ROWS + 1), -np.inf, np.float32)
        mask[..., [*(row for row in filled if row != position), ROWS]] = 0
        session.run({**feed, "mask": mask}, arguments={"position": position})
        appended = {f"past.{name}": rows for name, rows in past.items()}
        expected = run_reference(model, {**feed, **appended, "mask": mask})
        (name,) = session.last.integers
        np.testing.assert_array_equal(session.last.integers[name], expected.integer_outputs[name])
        for part in past:
            past[part][:, :, position] = expected.outputs[f"present.{part}_dq"][:, :, -1]
        filled.append(position)


@pytest.mark.parametrize("position", [-1, ROWS])
def test_a_position_past_the_rows_is_refused(position: int) -> None:
    arch = load_config("nano4")
    program = compile_model(decode_model(2, 2), arch, CompileOptions(kv_cache=True))
    session = Session(program, open_device("func", arch), arch)
    with pytest.raises(UserError, match="position"):
        session.run({}, arguments={"position": position})


def test_a_graph_without_a_mask_is_refused() -> None:
    with pytest.raises(UserError, match="past.k.*mask per key"):
        compile_model(decode_model(2, 2, masked=False), load_config("edge16"),
                      CompileOptions(kv_cache=True))


def prefill_model(heads: int, mixed: bool = False, wide: bool = False) -> onnx.ModelProto:
    """An attention over keys and values that it gives: the first ones come as an input does.

    mixed: heads of the keys given are in another order than rows have them. wide: 16 bits.
    """
    b = Builder()
    shape = [1, ROWS, heads * DEPTH]
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("q", "k", "v")]
    split = b.constant("split", np.array([1, ROWS, heads, DEPTH], np.int64))
    outputs, apart = [], {}
    for name in ("q", "k", "v"):
        x = b.stored(name, 0.025, ZERO)
        x = b.stored(b.node("Reshape", f"{name}_heads", x, split), 0, ZERO, name)
        x = b.node("Transpose", f"{name}_t", x, perm=[0, 2, 1, 3])
        apart[name] = b.stored(x, 0, ZERO, name)
    for name, part in (("k", "key"), ("v", "value")):
        given, scale, zero = apart[name], 0.025, ZERO
        if mixed:
            order = b.constant(f"{name}_order", np.arange(heads)[::-1].copy())
            given = b.node("Gather", f"{name}_mixed", given, order, axis=1)
        if wide:
            scale, zero = 0.001, np.int16(0)
        given = b.node("Identity", f"{name}_given", given)
        b.stored(given, scale, zero)
        outputs.append(f"present.0.{part}")
        b.nodes[-1].output[0] = outputs[-1]
    k = b.stored(b.node("Transpose", "k_all_t", apart["k"], perm=[0, 1, 3, 2]), 0, ZERO, "k")
    logits = b.stored(b.node("MatMul", "logits", apart["q"], k), 1.1e-3, np.int16(0))
    p = b.stored(b.node("Softmax", "p", logits, axis=-1), 1 / 255, np.uint8(0))
    y = b.stored(b.node("MatMul", "context", p, apart["v"]), 0.018, ZERO)
    y = b.stored(b.node("Transpose", "context_t", y, perm=[0, 2, 1, 3]), 0, ZERO, "context")
    joined = b.constant("joined", np.array(shape, np.int64))
    y = b.stored(b.node("Reshape", "y", y, joined), 0, ZERO, "context")
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, heads, ROWS, DEPTH])
             for n in outputs]
    infos.append(helper.make_tensor_value_info(y, TensorProto.FLOAT, shape))
    graph = helper.make_graph(b.nodes, "prefill", inputs, infos, b.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    return model


@pytest.mark.parametrize("config", ["nano4", "edge16"])
def test_a_prefill_copies_what_no_product_makes(config: str) -> None:
    """Keys and values are inputs: rows of states are copies of them."""
    model, arch = prefill_model(2), load_config(config)
    program = compile_model(model, arch, CompileOptions(kv_cache=True))
    assert sorted(layer.op for layer in program.layers) == [
        "Attention", "CacheAppend", "CacheAppend"]
    session = Session(program, open_device("func", arch), arch)
    random = np.random.default_rng(5)
    feed = {n: random.normal(size=(1, ROWS, 2 * DEPTH)).astype(np.float32) for n in ("q", "k", "v")}
    session.run(feed)
    expected = run_reference(model, feed)
    for part in ("key", "value"):
        rows = expected.integer_outputs[f"present.0.{part}"].transpose(0, 2, 1, 3)
        np.testing.assert_array_equal(session.read_state(f"past.0.{part}"),
                                      rows.reshape(1, ROWS, 2 * DEPTH))


@pytest.mark.parametrize("how", [{"mixed": True}, {"wide": True}])
def test_outputs_that_are_no_rows_of_a_cache_are_refused(how: dict[str, bool]) -> None:
    with pytest.raises(UserError) as error:
        compile_model(prefill_model(2, **how), load_config("nano4"), CompileOptions(kv_cache=True))
    assert [line.split(":")[0] for line in error.value.lines] == [
        "output present.0.key", "output present.0.value"]
    assert "heads of 8 bits that lie side by side in the rows of one" in error.value.lines[0]
