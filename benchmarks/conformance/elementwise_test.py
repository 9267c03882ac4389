"""Elementwise operators together: comparisons and choices, constants on grids, clamps between."""

from typing import Any

import numpy as np
import pytest

from jacquard.benchmarks.conformance.run import run
from jacquard.benchmarks.conformance.small_model import On, model
from jacquard.compiler.main import compile_model
from jacquard.proto.lib.arch import load_config
from jacquard.proto.lib.errors import UserError
from jacquard.sim.reference.interpreter import run_reference

RANDOM = np.random.default_rng(11)
WIDE, OTHER = On(1e-3, 0, "int16"), On(2.3e-3, 100, "int16")
BYTE = On(0.03, 5, "int8")
TABLE = RANDOM.integers(-9000, 9000, (1, 9, 20)).astype(np.int16)
BOUND = RANDOM.normal(size=(9, 1)).astype(np.float32)
STEP = np.array(0.25, np.float32)
THIRD = np.array(1 / 3, np.float32)
NodeList = list[tuple[str, str, str, dict[str, Any]]]

# Name -> nodes; x and y of [1, 9, 20], z of [20], u and v of [1, 4, 9, 10] where they are read.
MODELS: dict[str, NodeList] = {
    "select_of_one_grid": [("Greater", "x step", "c", {}), ("Where", "c x y", "r", {})],
    "select_of_two_grids": [("Less", "step x", "c", {}), ("Where", "c y z", "r", {})],
    "select_constant": [("LessOrEqual", "x bound", "c", {}), ("Where", "c third x", "r", {})],
    "select_moved": [
        ("GreaterOrEqual", "x y", "c", {}), ("Transpose", "x", "t", {"perm": [0, 2, 1]}),
        ("Transpose", "t", "s", {"perm": [0, 2, 1]}), ("Where", "c s y", "r", {}),
    ],
    "condition_of_columns": [("Equal", "z zero", "c", {}), ("Where", "c x y", "r", {})],
    "cast": [("Greater", "x y", "c", {}), ("Cast", "c", "r", {"to": 1})],
    "gate": [
        ("Greater", "x step", "c", {}), ("Cast", "c", "g", {"to": 1}), ("Mul", "y g", "r", {}),
    ],
    "table": [("Add", "x table", "r", {})],
    "product_of_table": [("Mul", "table x", "r", {})],
    "difference": [("Sub", "table y", "r", {})],
    "limits": [("Max", "x step", "m", {}), ("Min", "m third", "r", {})],
    "limits_of_tensors": [("Max", "x y table", "r", {})],
    "limits_of_scales": [("Min", "x z b", "m", {}), ("Relu", "m", "r", {})],
    "quotient": [("Div", "x z", "r", {})],
    "quotient_by_table": [("Div", "y table", "r", {})],
    "negated_clip": [("Clip", "x step", "c", {}), ("Neg", "c", "r", {})],
    "absolute_clip": [("Clip", "x step", "c", {}), ("Abs", "c", "r", {})],
    "requantized": [("Pow", "x one", "r", {})],
    "square": [("Pow", "x two", "r", {})],
    "heads": [("MatMul", "u v", "p", {}), ("Add", "p w", "r", {})],
    "gelu_of_product": [("MatMul", "b weights", "p", {}), ("Gelu", "p", "r", {})],
    "clipped_gelu": [
        ("MatMul", "b weights", "p", {}), ("Gelu", "p", "g", {}), ("Clip", "g step", "r", {}),
    ],
    "tanh_of_product": [("MatMul", "b weights", "p", {}), ("Tanh", "p", "r", {})],
    "root_of_product": [
        ("MatMul", "b weights", "p", {}), ("Abs", "p", "w", {}), ("Sqrt", "w", "r", {}),
    ],
    "gated_heads": [("MatMul", "u v", "p", {}), ("Mul", "p k", "r", {})],
}
GRIDS = {
    "x": WIDE, "y": WIDE, "z": OTHER, "b": BYTE, "table": On(0.9e-3, -7, "int16"),
    "u": BYTE, "v": BYTE, "w": OTHER, "p": On(3e-3, 0, "int16"), "k": OTHER,
    "weights": On(0.01, 0, "int8"),
}
INPUTS = {
    "x": (1, 9, 20), "y": (1, 9, 20), "z": (20,), "b": (1, 9, 20), "u": (1, 4, 9, 10),
    "v": (1, 4, 10, 6), "w": (1, 1, 9, 6), "k": (4, 9, 1),
}
CONSTANTS = {
    "weights": RANDOM.integers(-127, 128, (20, 7)).astype(np.int8),
    "table": TABLE, "bound": BOUND, "step": STEP, "third": THIRD, "one": np.array(1, np.float32),
    "two": np.array(2, np.float32), "zero": np.array(0.0, np.float32),
}
RESULTS = {
    "int8": On(0.02, -3, "int8"), "uint8": On(0.02, 120, "uint8"), "int16": On(1.1e-3, 0, "int16"),
    "uint16": On(1.1e-3, 33000, "uint16"), "same": WIDE,
}


def _made(nodes: NodeList, result: On) -> tuple[Any, dict[str, np.ndarray]]:
    read = {name for _, operands, _, _ in nodes for name in operands.split()}
    results = {made for _, _, made, _ in nodes}
    inputs = {name: shape for name, shape in INPUTS.items() if name in read - results}
    constants = {name: value for name, value in CONSTANTS.items() if name in read}
    grids = {n: g for n, g in GRIDS.items() if n in read | results} | {"r": result}
    random = np.random.default_rng(12)
    values = {name: random.normal(size=s).astype(np.float32) for name, s in inputs.items()}
    if "z" in values:
        values["z"][::3] = 0.0
    return model(nodes, inputs, grids, ["r"], constants), values


TABLES = ("gelu_of_product", "clipped_gelu", "tanh_of_product")  # which have no uint16


@pytest.mark.parametrize("config", ["nano4", "edge16"])
@pytest.mark.parametrize(
    ("name", "result"),
    [(name, r) for name in MODELS for r in RESULTS if r != "uint16" or name not in TABLES],
)
def test_equals_the_integer_reference(name: str, result: str, config: str) -> None:
    made, values = _made(MODELS[name], RESULTS[result])
    arch = load_config(config)
    found = run(compile_model(made, arch), arch, values)
    for output, integers in run_reference(made, values).integer_outputs.items():
        assert len(np.unique(integers)) > 1
        np.testing.assert_array_equal(found[output], integers, err_msg=output)


REFUSED: dict[str, tuple[NodeList, str]] = {
    "quotient": ([("Div", "step y", "r", {})], "must divide a quantized tensor"),
    "scales": ([("Greater", "x z", "c", {}), ("Where", "c x y", "r", {})], "one scale"),
    "constants": ([("Greater", "x y", "c", {}), ("Where", "c step third", "r", {})],
                  "must be quantized"),
    "exponents": ([("Pow", "x bound", "r", {})], "one constant number"),
    "condition": ([("Where", "x x y", "r", {})], "come from a comparison"),
    "bounds": ([("Max", "x bound", "r", {})], "one number"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_says_what_it_cannot_do(name: str) -> None:
    nodes, message = REFUSED[name]
    made, _ = _made(nodes, WIDE)
    with pytest.raises(UserError, match=message):
        compile_model(made, load_config("nano4"))
