"""A VMEM that has no room for wide tiles' results gets narrow ones, however large IBUF is."""

import dataclasses

import numpy as np
import pytest

from jacquard.benchmarks.conformance.run import run
from jacquard.benchmarks.conformance.small_model import On, model
from jacquard.compiler.main import CompileOptions, compile_model
from jacquard.proto.lib.arch import load_config
from jacquard.sim.reference.interpreter import run_reference


@pytest.mark.parametrize("vmem_bytes", [16384, 24576, 49152])
def test_a_sum_behind_a_product_of_many_positions(vmem_bytes: int) -> None:
    random = np.random.default_rng(5)
    grids = {name: On(0.02, 0, "int8") for name in "xw"} | {
        "c": On(0.3, 0, "int8"), "other": On(0.02, 3, "int8"), "y": On(0.3, 1, "int8"),
    }
    nodes = [("Conv", "x w", "c", {}), ("Add", "c other", "y", {})]
    weights = random.integers(-127, 128, (64, 64, 1, 1)).astype(np.int8)
    shapes = {"x": (1, 64, 56, 56), "other": (1, 64, 56, 56)}
    made = model(nodes, shapes, grids, ["y"], {"w": weights})
    inputs = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    arch = dataclasses.replace(load_config("edge16"), vmem_bytes=vmem_bytes)
    assert arch.ibuf_rows > 4096  # what is large
    program = compile_model(made, arch, CompileOptions())
    found = run(program, arch, inputs)["y_real"]
    expected = run_reference(made, inputs).integer_outputs["y_real"]
    np.testing.assert_array_equal(found, expected)
    assert len(program.layers) == 1  # the sum is fused
