"""Each vector_op, reduction and type of VECTOR on numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import load_config
from jacquard.sim.func.machine import Machine

_B, _D, _OP, _S = isa.Buffer, isa.Dtype, isa.VectorOp, isa.ScaleMode
_LOW, _HIGH = -(2**31), 2**31 - 1
_LANES = 4
# (src1, src2, result) of each of four lanes.
_CASES: dict[isa.VectorOp, list[tuple[int, int, int]]] = {
    _OP.MOVE: [(5, 9, 5), (-5, 0, -5), (_LOW, 1, _LOW), (_HIGH, 1, _HIGH)],
    _OP.ADD: [(5, 9, 14), (-5, 3, -2), (_LOW, -1, _LOW), (_HIGH, 1, _HIGH)],
    _OP.SUB: [(5, 9, -4), (-5, -3, -2), (_LOW, 1, _LOW), (0, _LOW, _HIGH)],
    _OP.MUL: [(5, 9, 45), (-46341, 46341, _LOW), (46340, 46340, 2147395600), (_LOW, _LOW, _HIGH)],
    _OP.MIN: [(5, 9, 5), (-5, -3, -5), (_LOW, _HIGH, _LOW), (7, 7, 7)],
    _OP.MAX: [(5, 9, 9), (-5, -3, -3), (_LOW, _HIGH, _HIGH), (7, 7, 7)],
    _OP.SHL: [(5, 2, 20), (-1, 31, _LOW), (3, 30, -(2**30)), (5, 33, 10)],
    _OP.SHR: [(-5, 1, -3), (_LOW, 31, -1), (_HIGH, 30, 1), (-64, 37, -2)],
    _OP.SHRL: [(-5, 1, 2147483645), (_LOW, 31, 1), (_HIGH, 30, 1), (-1, 32, -1)],
    _OP.AND: [(12, 10, 8), (-1, 77, 77), (_LOW, _HIGH, 0), (-4, -6, -8)],
    _OP.OR: [(12, 10, 14), (-1, 77, -1), (_LOW, _HIGH, -1), (-4, -6, -2)],
    _OP.XOR: [(12, 10, 6), (-1, 77, -78), (_LOW, _HIGH, -1), (-4, -6, 6)],
    _OP.NOT: [(12, 10, -13), (-1, 77, 0), (_LOW, 0, _HIGH), (0, 0, -1)],
    _OP.EQ: [(5, 5, 1), (5, 6, 0), (_LOW, _HIGH, 0), (-1, -1, 1)],
    _OP.NE: [(5, 5, 0), (5, 6, 1), (_LOW, _HIGH, 1), (-1, -1, 0)],
    _OP.LT: [(5, 5, 0), (5, 6, 1), (_LOW, _HIGH, 1), (1, -1, 0)],
    _OP.LE: [(5, 5, 1), (5, 6, 1), (_HIGH, _LOW, 0), (1, -1, 0)],
    _OP.GT: [(5, 5, 0), (5, 6, 0), (_HIGH, _LOW, 1), (1, -1, 1)],
    _OP.GE: [(5, 5, 1), (5, 6, 0), (_LOW, _HIGH, 0), (1, -1, 1)],
    _OP.RELU: [(5, 0, 5), (-5, 0, 0), (_LOW, 0, 0), (_HIGH, 0, _HIGH)],
    _OP.SELECT: [(5, 1, 5), (-5, 0, 77), (_LOW, _LOW, _LOW), (_HIGH, -1, _HIGH)],
    # (3 a - 2 b) / 2 rounded half to even; then a times 3/2, or times -2/2 where negative.
    _OP.SADD: [(5, 3, 4), (5, 2, 6), (-5, 0, -8), (-7, 1, -12)],
    _OP.LEAKY: [(5, 0, 8), (3, 0, 4), (-5, 0, 5), (0, 0, 0)],
    _OP.TRANSPOSE: [(1, 0, 1), (2, 0, 1), (3, 0, 1), (4, 0, 1)],  # of four equal rows: see below
    _OP.EXPONENT: [(1, 0, 0), (16383, 0, 12), (_HIGH, 0, 30), (-4, 0, 0)],
    _OP.NORM: [(1, 0, 2**28), (12, 0, 3 * 2**28), (_HIGH, 0, 2**29 - 1), (-4, 0, 0)],
}
_TWO = {"scale": int(_S.IMM), "mult1": 3, "mult2": -2, "shift": 1}


def test_every_operation_is_here() -> None:
    assert set(_CASES) == set(_OP)


def _machine(src1: list[int], src2: list[int]) -> Machine:
    machine = Machine(load_config("nano4"), np.zeros(16, np.uint8))
    vmem = machine.memories.buffer(_B.VMEM)[:4096].view("<i4")
    vmem[:_LANES], vmem[16 : 16 + _LANES], vmem[32:36] = src1, src2, 77
    return machine


def _run(machine: Machine, **fields: int) -> list[int]:
    """One vector: src1 at 0, src2 at 64, the result at 128, all int32."""
    values = {
        "n0": 1, "n1": 1, "n2": 1, "n3": 1, "dst_buffer": int(_B.VMEM), "dst_base": 128,
        "src1_buffer": int(_B.VMEM), "src2_buffer": int(_B.VMEM), "src2_base": 64,
        "dst_dtype": int(_D.S32), "src1_dtype": int(_D.S32), "src2_dtype": int(_D.S32),
    }  # fmt: skip
    code = isa.encode_program([isa.Vector(**(values | fields)), isa.End()])
    assert machine.run(code).status == isa.Error.OK
    result: list[int] = machine.memories.buffer(_B.VMEM).view("<i4")[32:36].tolist()
    return result


@pytest.mark.parametrize("op", _CASES, ids=lambda op: op.name)
def test_operation(op: isa.VectorOp) -> None:
    src1, src2, expected = (list(column) for column in zip(*_CASES[op], strict=True))
    fields = dict(_TWO) if op in (_OP.SADD, _OP.LEAKY) else {}
    if op == _OP.TRANSPOSE:  # the same vector four times: the first column is its first element
        fields = {"n0": _LANES, "dst_stride0": 16, "src2_buffer": 0}
    assert _run(_machine(src1, src2), op=int(op), **fields) == expected


def test_the_constants_are_added_first_and_wrap() -> None:
    machine = _machine([_HIGH, 1, 2, 3], [10, 20, 30, 40])
    found = _run(machine, op=int(_OP.ADD), imm1=1, imm2=-5)
    assert found == [_LOW + 5, 17, 28, 39]
    alone = {"src1_buffer": 0, "src2_buffer": 0, "imm1": -7, "imm2": 3}
    assert _run(machine, op=int(_OP.MUL), **alone) == [-21] * 4


@pytest.mark.parametrize(
    ("reduce", "columns", "lanes"),
    [
        ("SUM", [12, 5, 7, 0], 24),
        ("MAXIMUM", [9, 4, 5, 6], 9),
        ("MINIMUM", [3, 1, 2, -6], -6),
    ],
)
def test_reductions(reduce: str, columns: list[int], lanes: int) -> None:
    """Of src1 and src2, two vectors one behind the other; then of all their lanes."""
    machine = _machine([9, 1, 5, -6], [3, 4, 2, 6])
    fields = {"op": int(_OP.MOVE), "n0": 2, "reduce_loops": 1, "src1_stride0": 64,
              "src2_buffer": 0, "reduce": int(isa.ReduceOp[reduce])}  # fmt: skip
    assert _run(machine, **fields) == columns
    assert _run(machine, **fields, lane_reduce=1) == [lanes] * 4


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("S8", [127, -128, 100, -1]),
        ("U8", [255, 0, 100, 0]),
        ("S16", [300, -32768, 100, -1]),
        ("U16", [300, 0, 100, 0]),
        ("S32", [300, -40000, 100, -1]),
    ],
)
def test_a_store_saturates_and_a_read_extends(dtype: str, expected: list[int]) -> None:
    machine = _machine([300, -40000, 100, -1], [0] * 4)
    narrow = {"dst_dtype": int(_D[dtype]), "dst_base": 256}
    _run(machine, op=int(_OP.MOVE), src2_buffer=0, **narrow)
    back = {"src1_dtype": int(_D[dtype]), "src1_base": 256, "src2_buffer": 0}
    assert _run(machine, op=int(_OP.MOVE), **back) == expected
