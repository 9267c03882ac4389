"""Random networks: compiled, run on sim/func, equal to the integer reference bit for bit."""

import numpy as np
import pytest

from jacquard.benchmarks.conformance.random_networks import network
from jacquard.benchmarks.conformance.run import run
from jacquard.compiler.main import CompileOptions, compile_model
from jacquard.proto.lib.arch import load_config
from jacquard.sim.reference.interpreter import run_reference

SEEDS = 30


@pytest.mark.parametrize("config", ["nano4", "edge16"])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_equals_the_integer_reference(seed: int, config: str) -> None:
    made, arch = network(seed), load_config(config)
    # Every third without fusions: the same integers, other instructions.
    program = compile_model(made.model, arch, CompileOptions(fuse=seed % 3 != 2))
    found = run(program, arch, {"x": made.x})
    expected = run_reference(made.model, {"x": made.x}).integer_outputs
    assert set(found) == set(expected)
    for name, integers in expected.items():
        np.testing.assert_array_equal(found[name], integers, err_msg=f"{made.operators} {name}")
