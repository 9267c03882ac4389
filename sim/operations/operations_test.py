"""The catalogue is complete, what is committed is measured today, and errors are small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jacquard.proto import npu_isa as isa
from jacquard.sim.operations import golden, measure, real
from jacquard.sim.operations.operation import Operation, every
from jacquard.sim.operations.real import CURVES, Curve, input_grid, output_grid
from jacquard.sim.operations.sequence import DTYPES, Sequence
from jacquard.sim.reference import one_operator
from jacquard.sim.reference.interpreter import run_reference

_ROOT = Path(__file__).parents[2]
_CATALOGUE = measure.catalogue()
# What VECTOR must be able to do, each by the names of its rows.
CONTRACT = {
    "add": ["add", "add of two scales"], "sub": ["subtract"],
    "mul": ["multiply", "multiply, scaled"],
    "multiply-accumulate": ["multiply-accumulate", "multiply-accumulate along a loop"],
    "div (or reciprocal)": ["divide", "reciprocal"], "min": ["minimum"], "max": ["maximum"],
    "arithmetic and logical shifts": ["shift left", "shift right, arithmetic",
                                      "shift right, logical"],
    "and": ["and"], "or": ["or"], "not": ["not"], "move": ["move"],
    "conditional move": ["conditional move"],
    "the six comparisons": ["equal", "not equal", "less", "less or equal", "greater",
                            "greater or equal"],
    "relu": ["relu"], "leaky relu": ["leaky relu, scaled"], "sigmoid": ["sigmoid"],
    "tanh": ["tanh"], "exp": ["exp"], "ln": ["ln"], "sqrt": ["sqrt"], "1/sqrt": ["1/sqrt"],
    "log2": ["log2"],
    "casts among 4/8/16/32-bit fixed point": [
        *(f"cast to {t}" for t in ("int4", "uint4", "int8", "uint8", "int16", "uint16", "int32")),
        "requantize"],
    "reduction across lanes and along loops": [
        f"{what} {where}" for what in ("sum", "maximum", "minimum")
        for where in ("along loops", "across lanes")],
    "permute/transpose": ["transpose", "permute vectors"],
    "256-entry table look-up": ["256-entry table look-up"],
}  # fmt: skip


@pytest.fixture(scope="module")
def measured() -> dict[str, list[dict[str, Any]]]:
    return golden.measured()


def test_committed_figures_are_those_of_today(measured: dict[str, list[dict[str, Any]]]) -> None:
    way_out = "if the change is meant, run `./bazelw run //sim/operations:update` and commit"
    committed = (_ROOT / golden.TABLE).read_text(encoding="utf-8")
    assert json.loads(committed) == measured, way_out
    assert committed == golden.table_text(measured), way_out
    page = (_ROOT / golden.PAGE).read_text(encoding="utf-8")
    assert golden.with_block(page, golden.page_block(measured)) == page, way_out


def test_the_instruction_page_has_a_row_for_each() -> None:
    page = _ROOT / "proto/npu_isa.md"
    if not page.exists():
        pytest.skip("the page is made by Bazel")
    rows = [line.split(" | ")[:2] for line in page.read_text(encoding="utf-8").splitlines()]
    found = {(row[0].removeprefix("| "), row[1]) for row in rows if len(row) == 2}
    assert {(operation.name, operation.types) for operation in _CATALOGUE} <= found


def test_every_operation_of_the_contract_has_its_rows() -> None:
    found = {operation.name for operation in _CATALOGUE}
    missing = {need: set(rows) - found for need, rows in CONTRACT.items()}
    assert not any(missing.values()), missing


def test_every_vector_op_is_part_of_a_sequence() -> None:
    used = {i.op for operation in _CATALOGUE for i in operation.sequence()[0].instructions}
    assert used == set(isa.VectorOp)


def test_rows_are_told_apart() -> None:
    keys = [(operation.name, operation.types, operation.domain) for operation in _CATALOGUE]
    assert len(set(keys)) == len(keys)


def test_integers_are_exact_and_rounding_is_once(measured: dict[str, list[dict[str, Any]]]) -> None:
    """0.5 steps where the result is rounded, else nothing; near them for tables to 8 bits."""
    rounded = ("requantize", "scale", "divide", "leaky")
    for row in measured["operations"]:
        label = f"{row['name']} {row['types']}"
        assert row["samples"] >= 100, label
        if row["group"] not in real.GROUPS:
            exact = not any(word in row["name"] for word in rounded)
            assert row["max"] == 0 if exact else row["max"] <= 0.502, label
        else:
            bounds = {"int8 -> uint8": 0.5005, "int16 -> uint8": 0.6, "int16 -> int16": 12.0}
            assert row["max"] <= bounds[row["types"]], label


def test_an_error_would_be_seen() -> None:
    add = next(operation for operation in _CATALOGUE if operation.name == "add")

    def wrong(s: Sequence) -> Any:
        result = add.emit(s)
        s.instructions[0] = isa.Vector(**(_fields(s.instructions[0]) | {"imm1": 3}))
        return result

    broken = Operation("broken", "", "", "", wrong, add.samples, add.exact)
    assert measure.row(broken)["max"] >= 3


def _fields(instruction: isa.Vector) -> dict[str, int]:
    return {field.name: getattr(instruction, field.name) for field in instruction.FIELDS[4:]}


_ONNX = {
    "exp": ("Exp", {}), "ln": ("Log", {}), "sqrt": ("Sqrt", {}), "reciprocal": ("Reciprocal", {}),
    "sigmoid": ("Sigmoid", {}), "tanh": ("Tanh", {}), "gelu": ("Gelu", {}),
    "gelu, tanh form": ("Gelu", {"approximate": "tanh"}), "erf": ("Erf", {}),
    "hard sigmoid": ("HardSigmoid", {}), "hard swish": ("HardSwish", {}),
}  # fmt: skip


@pytest.mark.parametrize("curve", [c for c in CURVES if c.name in _ONNX], ids=lambda c: c.name)
@pytest.mark.parametrize("kinds", real.TYPES, ids=lambda k: f"{k[0].name}_{k[1].name}")
def test_sequences_give_the_reference_to_the_bit(curve: Curve, kinds: tuple[Any, Any]) -> None:
    """Over all inputs, those outside the domain too."""
    op, attributes = _ONNX[curve.name]
    operation = real.of_curve(curve, *kinds)
    sequence, result = operation.sequence()
    q = every(kinds[0])
    ours = sequence.runner(result).run((q,)).reshape(-1)
    x, y = input_grid(kinds[0], curve.largest), output_grid(kinds[1], curve.lo, curve.hi)
    grids = [one_operator.Grid(np.dtype(f"{'u' if g.lo == 0 else ''}int{8 * t.itemsize}").name,
                               g.scale, g.zero)
             for g, t in ((x, _dtype(kinds[0])), (y, _dtype(kinds[1])))]
    flat = q.reshape(-1).astype(_dtype(kinds[0]))
    model = one_operator.qdq_model(op, [(flat, grids[0])], grids[1], attributes)
    theirs = run_reference(model, {"q0": flat}).tensors["y"]
    assert np.array_equal(ours, theirs.astype(np.int64))


def test_the_quotient_gives_the_reference_to_the_bit() -> None:
    """A divisor of 0 too."""
    for operation in (o for o in _CATALOGUE if o.name == "divide"):
        sequence, result = operation.sequence()
        samples = operation.samples()
        ours = sequence.runner(result).run(samples).reshape(-1)
        flat = [sample.reshape(-1).astype(np.int16) for sample in samples]
        grid, out = input_grid(isa.Dtype.S16, 10), output_grid(result.dtype, -4, 4)
        grids = [one_operator.Grid(_dtype(g.dtype).name, g.scale) for g in (grid, out)]
        model = one_operator.qdq_model("Div", [(q, grids[0]) for q in flat], grids[1])
        theirs = run_reference(model, {"q0": flat[0], "q1": flat[1]}).tensors["y"]
        assert (flat[1] == 0).any() and np.array_equal(ours, theirs.astype(np.int64))


def _dtype(dtype: isa.Dtype) -> np.dtype[Any]:
    return DTYPES[dtype]


def test_outside_the_domain() -> None:
    """Where there is no number: the lowest, the highest, and half a step for a divisor of 0."""
    for name, below, at in (("ln", 0, 0), ("log2", 0, 0), ("1/sqrt", 255, 255)):
        curve = next(c for c in CURVES if c.name == name)
        sequence, result = real.of_curve(curve, isa.Dtype.S16, isa.Dtype.U8).sequence()
        found = sequence.runner(result).run((every(isa.Dtype.S16),)).reshape(-1)
        assert set(found[:32768].tolist()) == {below} and found[32768] == at
    divide = next(o for o in _CATALOGUE if o.name == "divide" and o.types.endswith("int16"))
    sequence, result = divide.sequence()
    shape = (1, 64, 16)
    p = np.arange(1024).reshape(shape) - 512
    y = sequence.runner(result).run((p, np.zeros(shape))).reshape(-1)
    assert np.abs(y - np.clip(p.reshape(-1) * 2 * 32767 / 4, -32768, 32767)).max() <= 1
