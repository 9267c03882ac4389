"""A graph with states, from lowering to the Program: what that says, and tokens it cannot lose."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest

from jacquard.compiler.checker import check
from jacquard.compiler.graph.ir import Graph, Grid, Op, QTensor, State
from jacquard.compiler.passes import link, lower, order, tokens
from jacquard.compiler.tile.ir import CACHE_ARG, POSITION_ARG
from jacquard.proto import npu_isa as isa
from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.arch import Arch, load_config

ROWS, HEADS, GRID, WIDE = 7, 24, Grid(0.5, 3, "uint8"), Grid(0.25, 3, "uint8")
STATES = {"past.0.key": "keys", "past.0.value": "values"}


def _graph() -> Graph:
    """Each cache is read whole before this step's row is written into it, and after.

    Unlike the graphs of passes/kv_cache.py, which read a state only behind its row.
    """
    tensors, ops, outputs = {}, [], {}

    def tensor(name: str, rows: int, grid: Grid = GRID) -> str:
        tensors[name] = QTensor(name, (1, rows, HEADS), grid)
        return name

    def copy(state: str, when: str) -> None:
        name = tensor(f"{state}_{when}", ROWS, WIDE)
        ops.append(Op(f"copy_{name}", "QuantizeLinear", (state,), (name,), {}))
        outputs[name] = name

    for state in STATES.values():
        row = tensor(f"{state}_row", 1)
        tensor(state, ROWS)
        copy(state, "before")
        append = Op(f"append_{state}", "CacheAppend", (row,), (state,),
                    {"first_column": 0, "appends": True})
        ops.append(append)
        copy(state, "after")
    inputs = {f"{name}_row": f"{name}_row" for name in STATES.values()}
    state = State("position", ROWS, STATES, ())
    return Graph("step", tensors, tuple(ops), inputs, outputs, state=state)


def _program(arch: Arch) -> pb.Program:
    graph = _graph()
    tiles = lower.lower(graph, arch, {}, arch.rows, {})
    tiles, found = order.order(tiles, tokens.dependencies(tiles, arch), arch)
    return link.link(graph, tokens.insert(tiles, found), arch, "step", hashlib.sha256().digest())


@pytest.mark.parametrize("config", ["nano4", "edge16"])
def test_what_the_program_says(config: str) -> None:
    arch = load_config(config)
    program = _program(arch)
    assert check.check(program, arch) == []
    [segment] = (s for s in program.segments if s.kind == pb.Segment.STATE)
    [argument] = program.arguments
    assert (argument.name, argument.segment, argument.count) == ("position", segment.name, ROWS)
    width = -(-HEADS // arch.rows) * arch.rows
    row = -(-2 * width // 64) * 64
    assert argument.step_bytes == row and segment.size_bytes == ROWS * row
    assert argument.arg not in {s.arg for s in program.segments}
    assert [t.name for t in program.states] == list(STATES)
    for place, t in enumerate(program.states):
        assert (t.segment, list(t.shape), t.scale) == (segment.name, [1, ROWS, HEADS], GRID.scale)
        assert (t.layout.kind, t.layout.row_bytes) == (pb.Layout.ROWS, row)
        assert (t.offset_bytes, t.size_bytes) == (place * width, ROWS * width)
    assert {t.segment for t in (*program.inputs, *program.outputs)}.isdisjoint({segment.name})


def test_a_token_from_a_row_to_its_cache_is_needed() -> None:
    """Rows are stored through the argument's register, caches loaded through their segment's."""
    arch = load_config("nano4")
    program = _program(arch)
    code = isa.decode_program(program.code)
    through = {
        arg: {i.NAME for i in code if getattr(i, "arg", 0) == arg}
        for arg in (POSITION_ARG, CACHE_ARG)
    }
    assert through == {POSITION_ARG: {"store"}, CACHE_ARG: {"load"}}
    load, store = (1 << e for e in (isa.Engine.LOAD, isa.Engine.STORE))
    pushes = [k for k, i in enumerate(code) if i.NAME == "store" and i.push & load]
    pops = [k for k, i in enumerate(code) if i.NAME == "load" and i.pop & store]
    raced = 0
    for push, pop in zip(pushes, pops, strict=True):
        mutant = list(code)
        mutant[push] = dataclasses.replace(code[push], push=code[push].push & ~load)
        mutant[pop] = dataclasses.replace(code[pop], pop=code[pop].pop & ~store)
        program.code = isa.encode_program(mutant)
        lines = check.check(program, arch)
        assert lines, (push, pop)
        raced += f"DRAM segment of arg {CACHE_ARG} with no order" in lines[0]
    assert raced == len(STATES)  # one for each cache that is read behind its row


@pytest.mark.parametrize("change", [{"count": ROWS + 1}, {"step_bytes": 8}, {"step_bytes": 2}])
def test_a_wrong_argument_is_found(change: dict[str, int]) -> None:
    arch = load_config("nano4")
    program = _program(arch)
    for field, value in change.items():
        setattr(program.arguments[0], field, value)
    assert any("argument position: " in line for line in check.check(program, arch))


@pytest.mark.parametrize(
    ("at", "change", "said"),
    [
        (1, {"offset_bytes": 8}, "past.0.value: must not overlap state past.0.key, got offset 8"),
        (1, {"offset_bytes": 60}, "past.0.value: must lie in a row of 64 bytes, got its end at 84"),
        (0, {"row_bytes": 128}, "the same for all states of its segment, and not 0, got 64, 128"),
        (0, {"kind": pb.Layout.BLOCKED}, "row_bytes must be the same for all states"),
        (1, {"width": ROWS - 1}, "keep it in the 6 positions of state past.0.value, got 7 steps"),
        (1, {"width": ROWS + 1}, "past.0.value: must lie in its segment 'cache' of 448 bytes"),
    ],
)
def test_wrong_rows_are_found(at: int, change: dict[str, int], said: str) -> None:
    """nano4: rows of 64 bytes, 24 of keys and 24 of values."""
    arch = load_config("nano4")
    program = _program(arch)
    assert [t.offset_bytes for t in program.states] == [0, 24]
    state = program.states[at]
    for field, value in change.items():
        if field == "width":
            state.size_bytes = 24 * value
        setattr(state if field == "offset_bytes" else state.layout, field, value)
    assert any(said in line for line in check.check(program, arch))
