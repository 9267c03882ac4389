"""Operators over rows on values that random data does not reach, whole in VMEM and in chunks."""

import numpy as np
import pytest

from jacquard.benchmarks.conformance.run import run
from jacquard.benchmarks.conformance.small_model import On, model
from jacquard.compiler.main import CompileOptions, compile_model
from jacquard.compiler.passes import pipeline
from jacquard.compiler.passes.import_qdq import import_qdq
from jacquard.proto.lib.arch import load_config
from jacquard.sim.reference.interpreter import run_reference

RANDOM = np.random.default_rng(13)
CONFIGS = ("nano4", "edge16")
# On nano4 the second does not fit VMEM, on edge16 the third.
LENGTHS = (37, 1003, 13001)


def extremes(length: int, dtype: str) -> np.ndarray:
    """Rows of int64 at the ends of a type: what sums, squares and tables have to bear."""
    limits = np.iinfo(dtype)
    lo, hi = limits.min, limits.max
    middle = (lo + hi + 1) // 2
    half = np.arange(length) < length // 2
    rows = [
        np.full(length, lo), np.full(length, hi), np.full(length, middle),
        np.where(half, lo, hi), np.where(half, hi, lo),
        np.where(np.arange(length) % 2, lo, hi),
        np.where(np.arange(length) == length - 1, hi, lo),
        np.where(np.arange(length) == 0, lo, middle),
        np.where(np.arange(length) == length // 3, middle + 1, middle),
        middle + RANDOM.integers(-2, 3, length),
        RANDOM.integers(lo, hi + 1, length),
    ]
    return np.array(rows, np.int64)


def same(nodes: list, x: On, y: On, q: np.ndarray, config: str, **constants: np.ndarray) -> None:
    """Compiles and runs nodes from x to y; every integer must be the reference's."""
    made = model(nodes, {"x": q.shape}, {"x": x, "y": y}, ["y"], constants)
    arch, inputs = load_config(config), {"x": x.reals(q)}
    found = run(compile_model(made, arch), arch, inputs)["y_real"]
    expected = run_reference(made, inputs).integer_outputs["y_real"]
    np.testing.assert_array_equal(found, expected)
    assert np.unique(expected).size > 1


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
@pytest.mark.parametrize("op", ["LayerNormalization", "RMSNormalization"])
def test_normalizations(op: str, dtype: str, length: int, config: str) -> None:
    limits = np.iinfo(dtype)
    x = On(0.013 if limits.bits == 8 else 7e-4, (limits.min + limits.max + 1) // 2, dtype)
    names = ("gamma", "beta") if op == "LayerNormalization" else ("gamma",)
    gains = {name: RANDOM.normal(size=length).astype(np.float32) for name in names}
    nodes = [(op, " ".join(("x", *names)), "y", {"epsilon": 1e-12})]
    same(nodes, x, On(4e-3, 0, "int16"), extremes(length, dtype), config, **gains)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
@pytest.mark.parametrize("scale", [0.02, 0.5])
def test_softmax(scale: float, dtype: str, length: int, config: str) -> None:
    q = extremes(length, dtype)
    y = On(3 / (length * 255), 0, "uint8")
    same([("Softmax", "x", "y", {})], On(scale, 3, dtype), y, q, config)
    mask = np.where(RANDOM.random(q.shape) < 0.5, np.float32(-np.inf), np.float32(0))
    mask[:, length // 2] = 0
    nodes = [("Add", "x mask", "masked", {}), ("Softmax", "masked", "y", {})]
    same(nodes, On(scale, 3, dtype), y, q, config, mask=mask)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"])
@pytest.mark.parametrize("keep", [0, 1])
def test_reductions(keep: int, op: str, length: int, config: str) -> None:
    q = extremes(length, "int16")
    y = On(1e-3 * (length if op == "ReduceSum" else 1), -5, "int16")
    nodes = [(op, "x axes", "y", {"keepdims": keep})]
    same(nodes, On(1e-3, 0, "int16"), y, q, config, axes=np.array([-1]))


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("op", ["LayerNormalization", "RMSNormalization"])
def test_a_second_output_is_made_on_chip(op: str, length: int, config: str) -> None:
    names = ("gamma", "beta") if op == "LayerNormalization" else ("gamma",)
    gains = {name: RANDOM.normal(size=length).astype(np.float32) for name in names}
    q = RANDOM.integers(-9000, 9000, (5, length))
    grids = {"x": On(1e-3, 0, "int16"), "wide": On(4e-4, 0, "int16"),
             "narrow": On(0.021, 131, "uint8")}
    nodes = [(op, " ".join(("x", *names)), "wide", {}), ("Identity", "wide", "narrow", {})]
    made = model(nodes, {"x": q.shape}, grids, ["wide", "narrow"], gains)
    arch, inputs = load_config(config), {"x": grids["x"].reals(q)}
    found = run(compile_model(made, arch), arch, inputs)
    for name, expected in run_reference(made, inputs).integer_outputs.items():
        np.testing.assert_array_equal(found[name], expected, err_msg=name)
    graph = import_qdq(made, "small")
    for _, graph_pass, _ in pipeline.GRAPH_PASSES:
        graph = graph_pass(graph, CompileOptions(), arch)
    assert [len(o.outputs) for o in graph.ops] == [2]
