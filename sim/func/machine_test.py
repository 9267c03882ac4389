"""The functional simulator on small programs whose results are written out by hand."""

from __future__ import annotations

import dataclasses
import time
from fractions import Fraction

import numpy as np
import pytest

from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import load_config
from jacquard.sim.func.machine import Machine, RunResult
from jacquard.sim.func.vector import rounding_shift

_NANO4 = load_config("nano4")
_B, _E = isa.Buffer, isa.Engine
_ONCE = {"n1": 1, "n2": 1, "n3": 1}


def _run(machine: Machine, *program: isa.Instruction, **options: object) -> RunResult:
    code = isa.encode_program([*program, isa.End()])
    return machine.run(code, (0,) * 8, **options)  # type: ignore[arg-type]


def _machine(dram: bytes = bytes(range(256))) -> Machine:
    return Machine(_NANO4, np.frombuffer(dram, np.uint8).copy())


def _bytes(machine: Machine, buffer: int, start: int, count: int) -> list[int]:
    values: list[int] = machine.memories.buffer(buffer)[start : start + count].tolist()
    return values


def _put(machine: Machine, buffer: int, start: int, values: list[int], dtype: str) -> None:
    raw = np.array(values, dtype).view(np.uint8)
    machine.memories.buffer(buffer)[start : start + raw.size] = raw


def test_load_pads_a_picture_on_all_sides() -> None:
    machine = _machine()
    load = isa.Load(
        buffer=_B.IBUF, dram=10, dst=0, n0=5, n1=4, n2=1, n3=1, d1=5, s1=16,
        before0=1, after0=2, before1=1, after1=1, fill=99,
    )  # fmt: skip
    assert _run(machine, load).status == isa.Error.OK
    assert np.array(_bytes(machine, _B.IBUF, 0, 20)).reshape(4, 5).tolist() == [
        [99, 99, 99, 99, 99],
        [99, 10, 11, 99, 99],
        [99, 26, 27, 99, 99],
        [99, 99, 99, 99, 99],
    ]


def test_load_takes_overlapping_columns_apart_and_adds_its_argument() -> None:
    machine = _machine()
    load = isa.Load(
        buffer=_B.VMEM, arg=3, dram=4, dst=8, n0=3, n1=3, n2=1, n3=1, d1=4, s1=1
    )
    code = isa.encode_program([load, isa.End()])
    assert machine.run(code, (0, 0, 0, 2**64 - 2, 0, 0, 0, 0)).status == isa.Error.OK
    assert _bytes(machine, _B.VMEM, 8, 12) == [2, 3, 4, 0, 3, 4, 5, 0, 4, 5, 6, 0]


def test_gather_takes_rows_in_the_order_of_its_list() -> None:
    indices = np.array([3, 0, 3, 2], "<u4")
    dram = bytes(range(40)) + bytes(8) + indices.tobytes()
    gather = isa.Load(
        buffer=_B.VMEM, dram=5, dst=9, n0=3, n1=4, n2=1, n3=1, d1=4, s1=7,
        gather=1, index_dram=48, index_limit=4,
    )  # fmt: skip
    machine = _machine(dram)
    assert _run(machine, gather).status == isa.Error.OK
    assert _bytes(machine, _B.VMEM, 8, 17) == [
        0, 26, 27, 28, 0, 5, 6, 7, 0, 26, 27, 28, 0, 19, 20, 21, 0,
    ]  # fmt: skip
    backwards = dataclasses.replace(gather, dram=26, s1=-7)
    assert _run(machine, backwards).status == isa.Error.OK
    assert _bytes(machine, _B.VMEM, 8, 8) == [0, 5, 6, 7, 0, 26, 27, 28]


@pytest.mark.parametrize(
    ("indices", "error", "rows"),
    [
        ([1, 0, 4, 1], "INDEX", 2),
        ([1, 0, 0, 2**32 - 1], "INDEX", 3),
        ([4, 3, 0, 0], "INDEX", 0),
        ([0, 3, 4, 0], "DRAM_READ", 1),  # row 3 is past the end
        ([0, 4, 3, 0], "INDEX", 1),
        ([0, 1, 2], "DRAM_READ", 3),  # so is the fourth index
    ],
)
def test_gather_stops_at_the_first_run_that_is_no_good(
    indices: list[int], error: str, rows: int
) -> None:
    machine = _machine(bytes(48) + np.array(indices, "<u4").tobytes())
    machine.dram[:48] = 7
    gather = isa.Load(
        buffer=_B.VMEM, n0=16, n1=4, n2=1, n3=1, d1=16, s1=20, gather=1, index_dram=48,
        index_limit=4,
    )  # fmt: skip
    result = _run(machine, gather)
    assert (result.status.name, result.error_index) == (error, 0)
    done = _bytes(machine, _B.VMEM, 16 * rows, 16 * (4 - rows))
    assert not any(done)  # nothing of this run or those behind it


def test_store_goes_backwards_when_its_stride_does() -> None:
    machine = _machine(bytes(64))
    _put(machine, _B.VMEM, 0, [1, 2, 3, 4, 5, 6], "u1")
    store = isa.Store(buffer=_B.VMEM, dram=40, n0=2, n1=3, n2=1, n3=1, l1=2, s1=-10)
    assert _run(machine, store).status == isa.Error.OK
    assert [machine.dram[at : at + 2].tolist() for at in (40, 30, 20)] == [[1, 2], [3, 4], [5, 6]]
    assert int(machine.dram.sum()) == 21


def test_matrix_is_a_product_less_zero_points_and_accumulates() -> None:
    machine = _machine()
    acts = np.array([[1, 2, 3, 4], [250, 6, 7, 8]])
    weights = np.arange(16).reshape(4, 4) - 8
    _put(machine, _B.IBUF, 4, acts.reshape(-1).tolist(), "u1")
    _put(machine, _B.WBUF, 8, weights.reshape(-1).tolist(), "i1")
    matrix = isa.Matrix(
        ibuf=1, wbuf=2, obuf=3, n_x=2, n_y=1, n_kx=1, n_ky=1, n_c=1, s_x=1,
        act_unsigned=1, act_zero=3, weight_zero=-2,
    )  # fmt: skip
    expected = (acts - 3) @ (weights + 2)
    assert _run(machine, matrix).status == isa.Error.OK
    sums = machine.memories.buffer(_B.OBUF).view(np.int32).reshape(-1, 4)
    assert sums[3:5].tolist() == expected.tolist()
    assert _run(machine, dataclasses.replace(matrix, accumulate=1)).status == isa.Error.OK
    assert sums[3:5].tolist() == (2 * expected).tolist()
    assert not sums[:3].any() and not sums[5:].any()


def test_sums_wrap_at_32_bits() -> None:
    machine = _machine()
    _put(machine, _B.OBUF, 0, [2**31 - 1] * 4, "i4")
    _put(machine, _B.IBUF, 0, [1, 0, 0, 0], "i1")
    _put(machine, _B.WBUF, 0, [1, 2, 0, -1], "i1")
    matrix = isa.Matrix(n_x=1, n_y=1, n_kx=1, n_ky=1, n_c=1, accumulate=1)
    assert _run(machine, matrix).status == isa.Error.OK
    sums = machine.memories.buffer(_B.OBUF).view(np.int32)[:4].tolist()
    assert sums == [-(2**31), -(2**31) + 1, 2**31 - 1, 2**31 - 2]


def test_the_deepest_sums_are_exact() -> None:
    machine = _machine()
    _put(machine, _B.IBUF, 0, [255] * 799 + [254], "u1")
    _put(machine, _B.WBUF, 0, [255] * 3196 + [255, 0, 1, 254], "u1")
    matrix = isa.Matrix(
        n_x=1, n_y=1, n_kx=1, n_ky=1, n_c=200, s_c=1, act_unsigned=1, weight_unsigned=1
    )
    assert _run(machine, matrix).status == isa.Error.OK
    sums = machine.memories.buffer(_B.OBUF).view(np.int32)[:4].tolist()
    # Past 2**24 and odd: a single float32 sum could not hold them.
    assert sums == [799 * 255 * 255 + 254 * last for last in (255, 0, 1, 254)]


def test_a_product_stays_in_its_thread() -> None:
    """BLAS would spread it over several, which wait for each other longer than they compute."""
    machine = Machine(load_config("edge16"), np.zeros(16, np.uint8))
    product = isa.Matrix(n_x=1024, n_y=1, n_kx=1, n_ky=1, n_c=8, s_x=1, s_c=1024)
    code = isa.encode_program([product] * 200 + [isa.End()])
    everywhere, here = time.process_time(), time.thread_time()
    assert machine.run(code).status == isa.Error.OK
    everywhere, here = time.process_time() - everywhere, time.thread_time() - here
    assert everywhere < 1.3 * here


@pytest.mark.parametrize("shift", [1, 2, 31, 32, 61, 62, 63])
def test_rounding_shift_is_half_to_even(shift: int) -> None:
    half = 1 << (shift - 1)
    candidates = [n * half + d for n in range(-5, 6) for d in (-1, 0, 1)]
    values = [v for v in [*candidates, 2**63 - 1, -(2**63)] if -(2**63) <= v < 2**63]
    found = rounding_shift(np.array(values, np.int64), shift).tolist()
    assert found == [round(Fraction(value, 1 << shift)) for value in values]


def test_requantize_adds_the_bias_rounds_and_saturates() -> None:
    machine = _machine()
    _put(machine, _B.OBUF, 0, [10, -10, 1000, -5], "i4")
    _put(machine, _B.PARAM, 0, [1, 0, 0, 0, 1, 3, 1, 1], "i4")  # biases, then multipliers
    vector = isa.Vector(
        op=isa.VectorOp.MOVE, scale=isa.ScaleMode.PER_LANE, shift=1, zero_point=-1,
        n0=1, **_ONCE,
        src1_buffer=_B.OBUF, src1_dtype=isa.Dtype.S32, dst_buffer=_B.IBUF, dst_dtype=isa.Dtype.S8,
        dst2_buffer=_B.VMEM, dst2_dtype=isa.Dtype.U16,
    )  # fmt: skip
    assert _run(machine, vector).status == isa.Error.OK
    # 11/2 = 5.5 -> 6; -30/2 = -15; 1000/2 = 500; -5/2 = -2.5 -> -2; then the zero point.
    assert machine.memories.buffer(_B.IBUF)[:4].view(np.int8).tolist() == [5, -16, 127, -3]
    assert machine.memories.buffer(_B.VMEM)[:8].view(np.uint16).tolist() == [5, 0, 499, 0]


def test_a_table_interpolates_between_its_entries() -> None:
    machine = _machine()
    table = [0] * 512
    table[2 * 128 : 2 * 128 + 2] = [10, 100]  # t in 0 .. 255
    table[2 * 127 : 2 * 127 + 2] = [-7, -32768]  # t in -256 .. -1
    table[2 * 255 : 2 * 255 + 2] = [20000, 3]
    table[0:2] = [-20000, 3]
    _put(machine, _B.TABLE, 0, table, "i2")
    _put(machine, _B.VMEM, 0, [64, -1, 2**31 - 1, -40000], "i4")
    vector = isa.Vector(
        n0=1, **_ONCE, table=1, table_shift=7, src1_buffer=_B.VMEM, src1_dtype=isa.Dtype.S32,
        dst_buffer=_B.VMEM, dst_base=16, dst_dtype=isa.Dtype.S32,
        dst2_buffer=_B.IBUF, dst2_dtype=isa.Dtype.U8,
    )  # fmt: skip
    assert _run(machine, vector).status == isa.Error.OK
    # (2560 + 6400) / 128 = 70; (-1792 - 8355840) / 128 = -65294; at both ends t saturates:
    # (5120000 + 765) / 128 = 40005.98; -5120000 / 128.
    found = machine.memories.buffer(_B.VMEM)[16:32].view(np.int32).tolist()
    assert found == [70, -65294, 40006, -40000]
    assert _bytes(machine, _B.IBUF, 0, 4) == [70, 0, 255, 0]
    second = dataclasses.replace(vector, table_index=1)  # nano4 has one
    assert _run(machine, second).status == isa.Error.LOCAL_RANGE
    unused = dataclasses.replace(second, table=0)
    assert _run(machine, unused).status == isa.Error.OK


def test_exponent_and_norm() -> None:
    machine = _machine()
    values = [1, 3, 4, 2**15, 2**16 - 1, 2**30 - 1, 2**30, 2**31 - 1, 0, -1, -(2**31), 5]
    _put(machine, _B.VMEM, 0, values, "i4")
    vector = isa.Vector(
        op=isa.VectorOp.EXPONENT, n0=3, **_ONCE, src1_buffer=_B.VMEM, src1_stride0=16,
        src1_dtype=isa.Dtype.S32, dst_buffer=_B.VMEM, dst_base=64, dst_stride0=16,
        dst_dtype=isa.Dtype.S32,
    )  # fmt: skip
    results = machine.memories.buffer(_B.VMEM)[64:112].view(np.int32)
    assert _run(machine, vector).status == isa.Error.OK
    assert results.tolist() == [0, 0, 2, 14, 14, 28, 30, 30, 0, 0, 0, 2]
    assert _run(machine, dataclasses.replace(vector, op=isa.VectorOp.NORM)).status == isa.Error.OK
    assert results.tolist() == [
        2**28, 3 * 2**28, 2**28, 2**29, 2**30 - 2**14, 2**30 - 1, 2**28, 2**29 - 1,
        0, 0, 0, 5 * 2**26,
    ]  # fmt: skip


def test_transposed_weights() -> None:
    machine = _machine()
    acts, weights = np.arange(8).reshape(1, 8) - 3, np.arange(32).reshape(8, 4) - 11
    _put(machine, _B.IBUF, 0, acts.reshape(-1).tolist(), "i1")
    _put(machine, _B.WBUF, 4, weights.reshape(-1).tolist(), "i1")
    matrix = isa.Matrix(
        wbuf=1, n_x=1, n_y=1, n_kx=1, n_ky=1, n_c=2, s_c=1, weight_transposed=1, weight_zero=5
    )
    assert _run(machine, matrix).status == isa.Error.OK
    expected = acts[:, :4] @ (weights[:4].T - 5) + acts[:, 4:] @ (weights[4:].T - 5)
    sums = machine.memories.buffer(_B.OBUF).view(np.int32)[:4].tolist()
    assert sums == expected[0].tolist()
    rectangle = Machine(dataclasses.replace(_NANO4, rows=8), machine.dram)
    assert _run(rectangle, matrix).status == isa.Error.ILLEGAL


def test_scaled_add_rounds_once() -> None:
    machine = _machine()
    _put(machine, _B.VMEM, 0, [1, 1, 3, -1], "i1")
    _put(machine, _B.VMEM, 4, [1, 2, 1, -2], "i1")
    vector = isa.Vector(
        op=isa.VectorOp.SADD, scale=isa.ScaleMode.IMM, mult1=1, mult2=1, shift=1, n0=1, **_ONCE,
        src1_buffer=_B.VMEM, src2_buffer=_B.VMEM, src2_base=4, dst_buffer=_B.IBUF,
    )  # fmt: skip
    assert _run(machine, vector).status == isa.Error.OK
    # 2/2, 3/2 -> 2, 4/2, -3/2 -> -2; rounding each operand first would give 0 + 1 for the second.
    assert machine.memories.buffer(_B.IBUF)[:4].view(np.int8).tolist() == [1, 2, 2, -2]


def test_a_pool_reduces_its_window_and_the_tail_is_left_out() -> None:
    machine = _machine()
    _put(machine, _B.VMEM, 0, [5, 9, -7, 100, 6, 1, -8, 100], "i1")
    pool = isa.Vector(
        op=isa.VectorOp.MOVE, reduce=isa.ReduceOp.MAXIMUM, reduce_loops=1, n0=2, **_ONCE,
        src1_buffer=_B.VMEM, src1_stride0=4, dst_buffer=_B.IBUF,
    )  # fmt: skip
    assert _run(machine, pool).status == isa.Error.OK
    assert machine.memories.buffer(_B.IBUF)[:4].view(np.int8).tolist() == [6, 9, -7, 100]
    total = dataclasses.replace(
        pool, reduce=isa.ReduceOp.SUM, lane_reduce=1, tail_lanes=3, dst_dtype=isa.Dtype.S8
    )
    assert _run(machine, total).status == isa.Error.OK
    # 5 + 9 - 7 + 100 and, in the last iteration, 6 + 1 - 8: to all lanes.
    assert machine.memories.buffer(_B.IBUF)[:4].view(np.int8).tolist() == [106] * 4


def test_transpose_and_select() -> None:
    machine = _machine()
    _put(machine, _B.VMEM, 0, list(range(16)), "i1")
    fields = {"src1_buffer": _B.VMEM, "src1_stride0": 4, "dst_buffer": _B.IBUF, "dst_stride0": 4}
    transpose = isa.Vector(op=isa.VectorOp.TRANSPOSE, n0=4, **_ONCE, **fields)
    assert _run(machine, transpose).status == isa.Error.OK
    expected = np.arange(16).reshape(4, 4).T
    assert _bytes(machine, _B.IBUF, 0, 16) == expected.reshape(-1).tolist()
    select = isa.Vector(
        op=isa.VectorOp.SELECT, n0=4, **_ONCE, imm1=50, tail_lanes=2,
        src2_buffer=_B.VMEM, src2_stride0=4, imm2=-5, **fields,
    )  # fmt: skip
    before = _bytes(machine, _B.IBUF, 0, 16)
    assert _run(machine, select).status == isa.Error.OK
    written = [value + 50 for value in range(16)]
    for kept in (5, 14, 15):  # where src2 - 5 is zero, and past the tail
        written[kept] = before[kept]
    assert _bytes(machine, _B.IBUF, 0, 16) == written


_GOOD_LOAD = {"buffer": _B.IBUF, "n0": 4, "n1": 1, "n2": 1, "n3": 1}
_GATHER = _GOOD_LOAD | {"gather": 1, "s1": 1}
_GOOD_VECTOR = {"dst_buffer": _B.VMEM, "n0": 1, "n1": 1, "n2": 1, "n3": 1}


@pytest.mark.parametrize(
    ("instruction", "error"),
    [
        (isa.Load(**(_GOOD_LOAD | {"n2": 0})), "ILLEGAL"),
        (isa.Load(**_GOOD_LOAD, before0=3, after0=2), "ILLEGAL"),
        (isa.Load(**(_GOOD_LOAD | {"buffer": _B.OBUF})), "LOCAL_RANGE"),
        (isa.Load(**_GOOD_LOAD, dst=_NANO4.ibuf_bytes - 3), "LOCAL_RANGE"),
        (isa.Load(**(_GOOD_LOAD | {"n1": 2}), d1=-1), "LOCAL_RANGE"),
        (isa.Load(**_GOOD_LOAD, dram=253), "DRAM_READ"),
        (isa.Load(**(_GATHER | {"n2": 2})), "ILLEGAL"),
        (isa.Load(**(_GATHER | {"n3": 2})), "ILLEGAL"),
        (isa.Load(**_GATHER, before0=1), "ILLEGAL"),
        (isa.Load(**_GATHER, after0=1), "ILLEGAL"),
        (isa.Load(**_GATHER, before1=1), "ILLEGAL"),
        (isa.Load(**_GATHER, after1=1), "ILLEGAL"),
        (isa.Load(**_GATHER, index_dram=2), "ILLEGAL"),
        (isa.Load(**_GATHER, index_limit=0x03020100), "INDEX"),
        (isa.Load(**_GATHER, index_limit=0x03020101), "DRAM_READ"),
        (isa.Load(**_GATHER, index_dram=256), "DRAM_READ"),
        (isa.Load(**_GATHER, dst=_NANO4.ibuf_bytes - 3), "LOCAL_RANGE"),
        (isa.Load(**_GOOD_LOAD, push=1 << _E.LOAD), "ILLEGAL"),
        (isa.Load(**_GOOD_LOAD, pop=1 << _E.STORE), "WATCHDOG"),
        (isa.Store(**(_GOOD_LOAD | {"buffer": _B.WBUF})), "LOCAL_RANGE"),
        (isa.Store(**_GOOD_LOAD, dram=255), "DRAM_WRITE"),
        (isa.Matrix(n_x=1, n_y=1, n_kx=1, n_ky=1), "ILLEGAL"),
        (isa.Matrix(n_x=1, n_y=1, n_kx=1, n_ky=1, n_c=2, s_c=-1), "LOCAL_RANGE"),
        (isa.Matrix(n_x=257, n_y=1, n_kx=1, n_ky=1, n_c=1), "LOCAL_RANGE"),
        (isa.Vector(**_GOOD_VECTOR, op=len(isa.VectorOp)), "ILLEGAL"),
        (isa.Vector(**(_GOOD_VECTOR | {"dst_buffer": 0})), "ILLEGAL"),
        (isa.Vector(**(_GOOD_VECTOR | {"dst_buffer": _B.OBUF})), "LOCAL_RANGE"),
        (isa.Vector(**(_GOOD_VECTOR | {"dst_buffer": _B.IBUF}), dst_dtype=2), "LOCAL_RANGE"),
        (isa.Vector(**_GOOD_VECTOR, dst_base=2), "ALIGNMENT"),
        (isa.Vector(**_GOOD_VECTOR, op=isa.VectorOp.SADD), "ILLEGAL"),
        (isa.Vector(**_GOOD_VECTOR, op=isa.VectorOp.TRANSPOSE), "ILLEGAL"),
        (isa.Vector(**_GOOD_VECTOR, scale=isa.ScaleMode.PER_LANE, param=64), "LOCAL_RANGE"),
    ],
)
def test_errors_name_their_instruction(instruction: isa.Instruction, error: str) -> None:
    machine = _machine()
    good = isa.Load(**_GOOD_LOAD)
    result = _run(machine, good, instruction, good)
    assert (result.status.name, result.error_index, result.instructions) == (error, 1, 1)


def test_unused_strides_may_be_anything() -> None:
    machine = _machine()
    load = isa.Load(**_GOOD_LOAD, d1=2**23 - 1, d3=-(2**23), s2=-(2**31), index_dram=3)
    vector = isa.Vector(**_GOOD_VECTOR, dst_stride0=3, src1_buffer=_B.IBUF, src1_stride2=-77)
    assert _run(machine, load, vector).status == isa.Error.OK


def test_tokens_pass_from_engine_to_engine_and_leftovers_are_reported() -> None:
    machine = _machine()
    store = isa.Store(**_GOOD_LOAD, pop=1 << _E.LOAD, push=1 << _E.LOAD)
    load = isa.Load(**_GOOD_LOAD, push=1 << _E.STORE)
    result = _run(machine, load, store, dataclasses.replace(load, pop=1 << _E.STORE))
    assert result.status == isa.Error.OK
    assert result.tokens[_E.LOAD][_E.STORE] == 1
    assert sum(map(sum, result.tokens)) == 1


@dataclasses.dataclass(frozen=True)
class _Point:
    instruction: int
    address: int
    size: int


def test_checkpoints_show_memory_when_their_instruction_has_finished() -> None:
    machine = _machine(bytes(range(16)) + bytes(16))
    load = isa.Load(**_GOOD_LOAD)
    stores = [isa.Store(**_GOOD_LOAD, dram=16), isa.Store(**_GOOD_LOAD, dram=20)]
    points = [_Point(2, 16, 8), _Point(1, 16, 8), _Point(9, 0, 4)]
    result = _run(machine, load, *stores, checkpoints=points)
    assert [s.tolist() for s in result.snapshots] == [
        [0, 1, 2, 3, 0, 1, 2, 3], [0, 1, 2, 3, 0, 0, 0, 0], [],
    ]  # fmt: skip


def test_programs_run_from_dram_and_must_end() -> None:
    code = isa.encode_program([isa.Load(**_GOOD_LOAD), isa.End()])
    image = bytes(32) + code
    machine = _machine(image)
    assert machine.run(32).status == isa.Error.OK
    cut = _machine(image[:-16])
    assert (cut.run(32).status, cut.run(32).error_index) == (isa.Error.DRAM_READ, 1)
    with pytest.raises(ValueError, match="multiple of 16"):
        machine.run(8)


@pytest.mark.parametrize("head", [bytes((0, 1)), bytes((16, 0)), bytes((16, 8)), bytes((255, 1))])
def test_what_is_no_instruction_is_illegal_when_it_is_reached(head: bytes) -> None:
    code = isa.Load(**_GOOD_LOAD).encode() + head.ljust(128, b"\0")
    result = _machine().run(code)
    assert (result.status, result.error_index) == (isa.Error.ILLEGAL, 1)


def test_words_left_out_or_too_many_decode_to_the_same() -> None:
    short = isa.Load(**_GOOD_LOAD).encode()
    assert short[1] & 15 == 2
    long = bytes((short[0], short[1] & 0xF0 | 7)) + short[2:] + bytes(5 * 16)
    machine = _machine()
    machine.run(long + isa.End().encode())
    assert _bytes(machine, _B.IBUF, 0, 5) == [0, 1, 2, 3, 0]


def test_progress_is_called_with_the_index_that_comes_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jacquard.sim.func.machine._PROGRESS_SECONDS", 0.0)
    seen: list[int] = []
    result = _run(_machine(), *[isa.Load(**_GOOD_LOAD)] * 130, progress=seen.append)
    assert result.status == isa.Error.OK
    assert seen == [0, 64, 128]
