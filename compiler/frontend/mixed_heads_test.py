"""Caches of keys and values: one grid throughout, with a scale per head."""

import numpy as np
import onnx
import pytest

from jacquard.benchmarks.models.seeded import calibration_batches, seeded_inputs
from jacquard.compiler.frontend.mixed_test import Reading, distance, normal, parsed, quantized, run
from jacquard.compiler.frontend.quantize import quantize_model

STEP = """(float[1,{n},8] x, float[1,2,4,4] pk, float[1,2,4,4] pv)
=> (float[1,{n},8] y, float[1,2,{t},4] k, float[1,2,{t},4] v) {{
  qm = MatMul(x, wq)  qh = Reshape(qm, heads)  q = Transpose<perm = [0, 2, 1, 3]>(qh)
  km = MatMul(x, wk)  kh = Reshape(km, heads)  kn = Transpose<perm = [0, 2, 1, 3]>(kh)
  vm = MatMul(x, wv)  vh = Reshape(vm, heads)  vn = Transpose<perm = [0, 2, 1, 3]>(vh)
  k = Concat<axis = 2>(pk, kn)  v = Concat<axis = 2>(pv, vn)
  kt = Transpose<perm = [0, 1, 3, 2]>(k)  s = MatMul(q, kt)  p = Softmax(s)
  o = MatMul(p, v)  t = Transpose<perm = [0, 2, 1, 3]>(o)  r = Reshape(t, rows)  y = MatMul(r, wo)
}}"""


CACHE = {"k": ("pk", "kn", "kh", "km"), "v": ("pv", "vn", "vh", "vm")}


def step(positions: int, text: str = STEP, **other: np.ndarray) -> onnx.ModelProto:
    weights = {f"w{n}": normal(8, 8, seed=ord(n)) / 3 for n in "qkvo"}
    return parsed(
        text.format(n=positions, t=4 + positions), heads=np.array([1, positions, 2, 4]),
        rows=np.array([1, positions, 8]), **weights | other)


def test_a_cache_is_bytes_of_one_grid() -> None:
    """Past, present and what joins them; nothing is requantized on the way."""
    model = step(2)
    read = Reading(quantized(model, per_head=False))
    for name, parts in CACHE.items():
        given = read.by_name[f"{name}_QuantizeLinear"].input[1:]
        assert read.dtype(name) == np.uint8
        for part in parts:
            assert read.by_name[f"{part}_QuantizeLinear"].input[1:] == given, part
    assert distance(model, read.model) > 15


def test_a_cache_has_a_scale_per_head() -> None:
    """The same scales in each tensor, along its dimension of heads; those of the heads' ranges."""
    model = step(2)
    read = Reading(quantized(model))
    for name, parts in CACHE.items():
        scales, axes = read.scale(name), {}
        for part in (name, *parts):
            node = read.by_name[f"{part}_QuantizeLinear"]
            (axes[part],) = (attribute.i for attribute in node.attribute)
            assert read.dtype(part) == np.int8 and not read.constants[node.input[2]].any()
            whole = read.constants[node.input[1]]
            np.testing.assert_array_equal(whole, np.repeat(scales, whole.size // 2))
        assert list(axes.values()) == [1, 1, 1, 2, 2]
        found = np.concatenate([
            run(model, batch)["ykv".index(name)] for batch in calibration_batches(model, 0, 4)])
        lowest, highest = found.min(axis=(0, 2, 3)), found.max(axis=(0, 2, 3))
        np.testing.assert_allclose(scales, np.maximum(highest / 127, -lowest / 128), rtol=1e-6)
    assert distance(model, read.model) > 15


def test_a_head_of_small_numbers_keeps_its_steps() -> None:
    """Beside one of numbers 200 times as large."""
    sizes = np.repeat([0.02, 4], 4).astype(np.float32)
    model = step(2, wv=normal(8, 8, seed=ord("v")) / 3 * sizes)
    inputs = seeded_inputs(model, 1)
    inputs["pv"] = inputs["pv"] * np.float32([0.02, 4]).reshape(1, 2, 1, 1)

    def small(of: onnx.ModelProto) -> np.ndarray:
        return run(of, inputs)[2][:, 0]

    data = [inputs]
    one, many = (quantize_model(model, data, per_head=on) for on in (False, True))
    errors = [np.abs(small(found) - small(model)).max() for found in (one, many)]
    assert errors[1] < errors[0] / 20


@pytest.mark.parametrize("reader", ["Relu(k)", "Add(k, k)", "MatMul(k, kt)"])
def test_keys_that_something_else_reads_have_one_scale(reader: str) -> None:
    text = STEP.replace("y = MatMul(r, wo)", f"y = MatMul(r, wo)  more = {reader}")
    size = "{t}" if "kt" in reader else "4"
    text = text.replace("v) {{", f"v, float[1,2,{{t}},{size}] more) {{{{")
    read = Reading(quantized(step(2, text)))
    assert read.scale("k").ndim == 0 and read.scale("v").ndim == 1


def test_an_encoder_has_one_scale() -> None:
    text = STEP.replace(", float[1,2,{t},4] k, float[1,2,{t},4] v", "")
    text = text.replace(", float[1,2,4,4] pk, float[1,2,4,4] pv", "").replace("{t}", "{n}")
    text = text.replace("k = Concat<axis = 2>(pk, kn)", "k = Identity(kn)")
    text = text.replace("v = Concat<axis = 2>(pv, vn)", "v = Identity(vn)")
    model = quantized(step(2, text))
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    assert not any(
        constants[node.input[1]].dims for node in model.graph.node
        if node.op_type == "QuantizeLinear")


@pytest.mark.parametrize("per_head", [False, True])
def test_another_form_of_a_model_takes_its_grids(per_head: bool) -> None:
    first = quantized(step(6), per_head=per_head)
    model = step(1)
    alone = Reading(quantized(model, per_head=per_head))
    with_it = quantize_model(model, calibration_batches(model, 0, 4), like=first)
    given, taken = Reading(first), Reading(with_it)
    for name in ("k", "v", "y", "o"):  # outputs, and what the layer of wo reads
        np.testing.assert_array_equal(taken.scale(name), given.scale(name))
        assert (given.scale(name) != alone.scale(name)).all()
    assert taken.scale("x") == given.scale("x")
    assert taken.scale("s") == alone.scale("s") and distance(model, with_it) > 15
