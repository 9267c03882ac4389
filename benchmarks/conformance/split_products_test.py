"""Products side by side, each with a norm behind it or none: they leave rows for one another."""

import numpy as np
import pytest

from jacquard.benchmarks.conformance.run import run
from jacquard.benchmarks.conformance.small_model import On, model
from jacquard.compiler.main import CompileOptions, compile_model
from jacquard.proto.lib.arch import load_config
from jacquard.sim.reference.interpreter import run_reference

BYTES = On(0.02, 0, "int8")
WIDE = On(0.06, 0, "int8")
WEIGHTS = On(0.004, 0, "int8")
# Configuration, rows, depth, columns: positions are few array heights, so products are split.
SHAPES = (("nano4", 16, 64, 64), ("edge16", 64, 512, 256), ("edge16", 100, 256, 512),
          ("mobile32", 128, 256, 256), ("server64", 128, 512, 512))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("products", ["Ab", "bA", "AB", "ABc"])
def test_products_beside_each_other(products: str, shape: tuple[str, int, int, int]) -> None:
    """A capital letter's product has a norm behind it."""
    config, rows, depth, columns = shape
    random = np.random.default_rng(1)
    nodes, outputs, grids = [], [], {"x": BYTES}
    constants: dict[str, np.ndarray] = {}
    for p in products:
        nodes.append(("MatMul", f"x w{p}", p, {}))
        grids |= {f"w{p}": WEIGHTS, p: WIDE}
        constants[f"w{p}"] = random.integers(-127, 128, (depth, columns)).astype(np.int8)
    for p in products:
        if p.isupper():
            nodes.append(("LayerNormalization", f"{p} gain{p} bias{p}", f"n{p}", {"axis": -1}))
            grids[f"n{p}"] = BYTES
            constants[f"gain{p}"] = random.normal(1, 0.1, columns).astype(np.float32)
            constants[f"bias{p}"] = random.normal(0, 0.1, columns).astype(np.float32)
        outputs.append(f"n{p}" if p.isupper() else p)
    made = model(nodes, {"x": (rows, depth)}, grids, outputs, constants)
    inputs = {"x": random.normal(size=(rows, depth)).astype(np.float32)}
    arch = load_config(config)
    program = compile_model(made, arch, CompileOptions())
    found = run(program, arch, inputs)
    for name, expected in run_reference(made, inputs).integer_outputs.items():
        np.testing.assert_array_equal(found[name], expected, err_msg=name)
    ranges = [(layer.first_instruction, layer.end_instruction) for layer in program.layers]
    assert all(first < end for first, end in ranges)


def test_a_norm_whose_gains_fill_param() -> None:
    """Its rows cannot wait for the products that read them: those have parameters too."""
    random = np.random.default_rng(1)
    rows, depth, columns = 16, 256, 16
    constants = {
        "gain": random.normal(1, 0.1, depth).astype(np.float32),
        "bias": random.normal(0, 0.1, depth).astype(np.float32),
        "w": random.integers(-127, 128, (depth, columns)).astype(np.int8),
    }
    nodes = [("LayerNormalization", "x gain bias", "n", {"axis": -1}), ("MatMul", "n w", "y", {})]
    grids = {"x": BYTES, "n": BYTES, "w": WEIGHTS, "y": WIDE}
    made = model(nodes, {"x": (rows, depth)}, grids, ["y"], constants)
    inputs = {"x": random.normal(size=(rows, depth)).astype(np.float32)}
    arch = load_config("nano4")
    found = run(compile_model(made, arch, CompileOptions()), arch, inputs)
    for name, expected in run_reference(made, inputs).integer_outputs.items():
        np.testing.assert_array_equal(found[name], expected, err_msg=name)
