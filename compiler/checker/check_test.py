"""Lines of the checker, one case per rule; the good programs that each case breaks are clean."""

import dataclasses
import time

import pytest

from jacquard.compiler.checker import check, sample_programs
from jacquard.proto import npu_isa
from jacquard.proto.lib import arch, errors
from jacquard.proto.npu_isa import Buffer, Dtype, Engine, ScaleMode, VectorOp

NANO = arch.load_config("nano4")
_LOAD, _MATRIX, _VECTOR, _STORE = (1 << e for e in Engine)
_ONE = {"n1": 1, "n2": 1, "n3": 1}


def _lines(*instructions: npu_isa.Instruction) -> list[str]:
    return check.check(sample_programs.link(NANO, [*instructions, npu_isa.End()]), NANO)


def _load(**fields: int) -> npu_isa.Load:
    return npu_isa.Load(**{"buffer": Buffer.IBUF, "arg": 1, "n0": 16, **_ONE, **fields})


def _gather(**fields: int) -> npu_isa.Load:
    """Four rows of 16 bytes of the weights, picked by the words at the start of the input."""
    return _load(
        **{"n1": 4, "d1": 16, "s1": 16, "gather": 1, "index_arg": 2, "index_limit": 9, **fields}
    )


def _store(**fields: int) -> npu_isa.Store:
    return npu_isa.Store(**{"buffer": Buffer.VMEM, "arg": 3, "n0": 16, **_ONE, **fields})


def _matrix(**fields: int) -> npu_isa.Matrix:
    return npu_isa.Matrix(
        **{"n_x": 4, "n_y": 1, "n_kx": 1, "n_ky": 1, "n_c": 1, "s_x": 1, **fields}
    )


def _vector(**fields: int) -> npu_isa.Vector:
    """Moves 4 rows of OBUF to VMEM."""
    return npu_isa.Vector(
        **{
            "n0": 4,
            **_ONE,
            "src1_buffer": Buffer.OBUF,
            "src1_dtype": Dtype.S32,
            "src1_stride0": 16,
            "dst_buffer": Buffer.VMEM,
            "dst_dtype": Dtype.S32,
            "dst_stride0": 16,
            **fields,
        }
    )


_IN_VMEM = {"src1_buffer": Buffer.VMEM, "src1_dtype": Dtype.S32}

GOOD = {
    "load": _load(),
    "store": _store(),
    "matrix": _matrix(),
    "vector": _vector(),
    "ends of the memories": _load(dst=8192 - 16, dram=4096 - 16),
    "backwards": _load(n1=3, d1=-16, dst=32, s1=-16, dram=32),
    "all padding reads nothing": _load(arg=0, before0=8, after0=8),
    "padding is not read": _load(
        arg=1, n0=16, before0=12, dram=4092, n1=3, before1=1, after1=1, d1=16, s1=16
    ),
    "kernel windows may overlap": _matrix(n_kx=3, s_kx=1, n_ky=3, s_ky=6),
    "in place": _vector(**_IN_VMEM),
    "beside each other": _vector(**_IN_VMEM, dst_base=64),
    "reduced loops do not write": _vector(reduce_loops=1, dst_stride0=0),
    "gather": _gather(),
    "a gather of every row": _gather(index_limit=256, index_dram=4096 - 16),
    "a gather of one row any number of times": _gather(s1=0, index_limit=2**32 - 1),
    "a list is not looked at": _load(index_dram=3, index_arg=7),
    "last PARAM row": _vector(scale=ScaleMode.PER_LANE, param=63),
    "transposed": _matrix(weight_transposed=1),
    "table": _vector(table=1),
    "TABLE is not looked at": _vector(table_index=15),
    "PARAM is not looked at": _vector(scale=ScaleMode.IMM, param=64),
    "absent iterators are not looked at": _vector(src2_dtype=7, src2_base=3),
}


@pytest.mark.parametrize("name", GOOD)
def test_good(name: str) -> None:
    assert _lines(GOOD[name]) == []


BAD = {
    "zero count": (_load(n2=0), "counts must be at least 1, got 0 for n2"),
    "padding longer than run": (_load(before0=9, after0=8), "padding must fit the loops"),
    "padding runs": (_load(n1=2, d1=16, before1=2, after1=1), "padding must fit the loops"),
    "load to OBUF": (
        _load(buffer=Buffer.OBUF),
        "buffer must be IBUF, WBUF, VMEM, PARAM or TABLE, got 3",
    ),
    "store from OBUF": (_store(buffer=Buffer.OBUF), "buffer must be VMEM or IBUF, got 3"),
    "past the memory": (
        _load(dst=8192 - 15),
        "the destination must lie in IBUF (0 to 8192), got bytes 8177 to 8193",
    ),
    "before the memory": (_load(n1=2, d1=-16), "got bytes -16 to 16"),
    "past the segment": (
        _load(dram=4081),
        "DRAM addresses must lie in segment weights (0 to 4096), got bytes 4081 to 4097",
    ),
    "before the segment": (_load(n1=2, d1=16, s1=-1), "got bytes -1 to 16"),
    "no segment": (
        _load(arg=0),
        "arg must name a segment's argument register, got 0; the program has 1, 2, 3",
    ),
    "rows past the segment": (
        _gather(index_limit=257),
        "DRAM addresses must lie in segment weights (0 to 4096), got bytes 0 to 4112",
    ),
    "far more rows than there are": (_gather(index_limit=2**32 - 1, s1=-(2**31)), "must lie in"),
    "list past the segment": (
        _gather(index_dram=4096 - 12),
        "DRAM addresses must lie in segment input (0 to 4096), got bytes 4084 to 4100",
    ),
    "no segment of the list": (_gather(index_arg=0), "arg must name a segment's argument register"),
    "list not aligned": (_gather(index_dram=6), "index_dram must be a multiple of 4, got 6"),
    "no rows": (_gather(index_limit=0), "index_limit must be at least 1, got 0"),
    "gather under two loops": (_gather(n2=2, d2=64), "gather needs n2 = n3 = 1 and no padding, got n2 2"),
    "gather under loop 3": (_gather(n3=2, d3=64), "gather needs n2 = n3 = 1"),
    "padded gather": (_gather(after1=1), "padding 0, 0, 0, 1"),
    "constant written": (_store(arg=1), "segment weights is constant and must not be written"),
    "load twice": (_load(n1=2, d1=15), "the destination must write no byte twice"),
    "store twice": (_store(n1=2, l1=16), "the destination must write no byte twice"),
    "vector twice": (_vector(dst_stride0=0), "dst must write no byte twice"),
    "own token": (_load(pop=_LOAD), "pop and push must not name the own engine LOAD"),
    "act_zero": (_matrix(act_zero=128), "act_zero must lie in -128 to 127, got 128"),
    "weight_zero": (_matrix(weight_unsigned=1, weight_zero=-1), "weight_zero must lie in 0 to 255"),
    "activations": (
        _matrix(ibuf=2045),
        "activations must lie in IBUF (0 to 8192), got bytes 8180 to 8196",
    ),
    "weights": (_matrix(n_c=2, wbuf=1017), "weights must lie in WBUF (0 to 4096)"),
    "sums": (_matrix(obuf=253), "sums must lie in OBUF (0 to 4096), got bytes 4048 to 4112"),
    "unknown op": (_vector(op=26), "op must be a VectorOp, got 26"),
    "unknown reduce": (_vector(reduce=3), "reduce must be a ReduceOp, got 3"),
    "unknown scale": (_vector(scale=3), "scale must be a ScaleMode, got 3"),
    "unknown dtype": (_vector(dst_dtype=5), "dst_dtype must be a Dtype, got 5"),
    "reduce_loops": (_vector(reduce_loops=5), "reduce_loops must be at most 4, got 5"),
    "no dst": (_vector(dst_buffer=0), "dst must be present"),
    "unscaled SADD": (_vector(op=VectorOp.SADD), "SADD must have a scale, got OFF"),
    "reduced SELECT": (_vector(op=VectorOp.SELECT, lane_reduce=1), "SELECT must not reduce"),
    "short TRANSPOSE": (_vector(op=VectorOp.TRANSPOSE, n0=3), "TRANSPOSE must have n0 = 4"),
    "dst in OBUF": (
        _vector(dst_buffer=Buffer.OBUF),
        "dst must be VMEM or IBUF (8 bits), got buffer OBUF",
    ),
    "wide IBUF": (_vector(dst_buffer=Buffer.IBUF), "got buffer IBUF with dtype S32"),
    "narrow OBUF": (
        _vector(src1_dtype=Dtype.S16),
        "src1 must be VMEM or IBUF (8 bits) or OBUF (S32)",
    ),
    "src in WBUF": (_vector(src1_buffer=Buffer.WBUF), "got buffer WBUF"),
    "buffer 7": (_vector(src2_buffer=7), "src2 must be VMEM"),
    "unaligned base": (_vector(dst_base=8), "dst must be aligned to lanes x element = 16 bytes"),
    "unaligned stride": (_vector(src1_stride0=8), "src1 must be aligned"),
    "param": (
        _vector(scale=ScaleMode.PER_LANE, param=61, param_stride0=1),
        "param must lie in PARAM (0 to 2048), got bytes 1952 to 2080",
    ),
    "table": (
        _vector(table=1, table_index=1),
        "the table must lie in TABLE (0 to 1024), got bytes 1024 to 2048",
    ),
    "src in TABLE": (_vector(src1_buffer=Buffer.TABLE), "got buffer TABLE"),
    "past TABLE": (
        _load(buffer=Buffer.TABLE, dst=1020),
        "the destination must lie in TABLE (0 to 1024), got bytes 1020 to 1036",
    ),
    "shifted in place": (_vector(**_IN_VMEM, dst_base=16), "dst must not overlap src1"),
    "reduced in place": (_vector(**_IN_VMEM, reduce_loops=1), "dst must not overlap src1"),
    "dst2 on dst": (
        _vector(dst2_buffer=Buffer.VMEM, dst2_dtype=Dtype.S32, dst2_base=48, dst2_stride0=16),
        "dst and dst2 must not overlap",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad(name: str) -> None:
    instruction, text = BAD[name]
    lines = _lines(instruction)
    assert len(lines) == 1 and text in lines[0], lines
    assert lines[0].startswith(f"program[0] {instruction.NAME} ")


def test_race_names_both_instructions() -> None:
    [line] = _lines(_load(buffer=Buffer.VMEM), _store())
    assert line == (
        "program[1] store buffer=VMEM arg=3 n0=16 n1=1 n2=1 n3=1: must be ordered by tokens "
        "against program[0] load buffer=VMEM arg=1 n0=16 n1=1 n2=1 n3=1, got write of 0 to 16 "
        "and read of 0 to 16 of VMEM with no order; push a token from one to the other"
    )
    assert _lines(_load(buffer=Buffer.VMEM, push=_STORE), _store(pop=_LOAD)) == []


def test_a_table_is_read_whole() -> None:
    load, look = _load(buffer=Buffer.TABLE, dst=1008), _vector(table=1)
    [line] = _lines(load, look)
    assert "write of 1008 to 1024 and read of 0 to 1024 of TABLE with no order" in line
    first = dataclasses.replace(load, push=_VECTOR)
    assert _lines(first, dataclasses.replace(look, pop=_LOAD)) == []
    assert _lines(load, dataclasses.replace(look, table=0)) == []


def test_a_gather_reads_its_list_and_any_of_its_rows() -> None:
    gather = _gather(arg=3, index_arg=3, index_dram=1024, dst=64)
    waiting = dataclasses.replace(gather, pop=_STORE)
    for at, what in ((1024 + 12, "1024 to 1040"), (8 * 16, "0 to 144")):
        [line] = _lines(_store(dram=at), gather)
        assert f"and read of {what} of DRAM segment of arg 3" in line or (
            f"read of {what} and write" in line
        ), line
        assert _lines(_store(dram=at, push=_LOAD), waiting) == []
    assert _lines(_store(dram=9 * 16), gather) == []


def test_rectangular_arrays_do_not_transpose() -> None:
    wide = dataclasses.replace(NANO, rows=8)
    program = sample_programs.link(wide, [_matrix(weight_transposed=1), npu_isa.End()])
    [line] = check.check(program, wide)
    assert "weight_transposed must be 0 where rows and cols differ, got 1 with 8 x 4" in line


def test_load_after_store_of_the_same_bytes() -> None:
    assert "of DRAM segment of arg 3" in _lines(_store(), _load(arg=3, dst=64))[0]
    assert _lines(_store(push=_LOAD), _load(arg=3, dst=64, pop=_STORE)) == []


def test_order_goes_through_other_engines() -> None:
    chain = [
        _load(buffer=Buffer.VMEM, push=_MATRIX),
        _matrix(ibuf=100, pop=_LOAD, push=_STORE),
        _store(pop=_MATRIX),
    ]
    assert _lines(*chain) == []


def test_a_token_that_nobody_pushes() -> None:
    [line] = _lines(_store(pop=_VECTOR))
    assert "must get a token of VECTOR, no instruction is left that pushes it" in line


def test_a_full_queue_hides_the_push() -> None:
    waiting = [_store(pop=_LOAD)] + [_store(dram=64)] * NANO.queue_depth
    assert _lines(*waiting[:-1], _load(push=_STORE)) == []
    [line] = _lines(*waiting, _load(push=_STORE))
    assert f"instruction {NANO.queue_depth + 1}, which pushes it, waits behind" in line


def test_a_full_counter() -> None:
    # The pops come after LOAD's queue has filled behind the push that waits.
    loads = [_load(push=_STORE)] * (NANO.max_tokens + 1 + NANO.queue_depth)
    stores = [_store(pop=_LOAD)] * len(loads)
    assert _lines(*loads, *stores) == []
    lines = _lines(*loads, _load(), *stores)
    assert any("got a full counter (255 tokens) to STORE" in line for line in lines), lines


def test_tokens_left_at_the_end() -> None:
    assert _lines(_load(push=_STORE)) == [
        "tokens LOAD to STORE: pops must equal pushes, got 1 left at the end; pop them or do not "
        "push them"
    ]


def test_head_of_the_program() -> None:
    good = sample_programs.link(NANO, [_load(), npu_isa.End()])
    assert check.check(good, NANO) == []
    cases = {
        "fingerprint must be that of nano4": {"fingerprint": 1},
        "instruction_count must be 2, got 3": {"instruction_count": 3},
        "code must decode, got byte 32: unknown opcode 0": {"code": good.code[:32] + bytes(16)},
        "got it at no place": {"code": good.code[:32], "instruction_count": 1},
    }
    for text, change in cases.items():
        bad = type(good)()
        bad.CopyFrom(good)
        for field, value in change.items():
            setattr(bad, field, value)
        assert any(text in line for line in check.check(bad, NANO)), text
    good.segments[1].arg = 1
    assert "arg must lie in 1 to 7 and be its own, got 1" in check.check(good, NANO)[0]


def test_every_mistake_is_reported_at_once() -> None:
    with pytest.raises(errors.UserError) as caught:
        check.require(sample_programs.link(NANO, [_load(n1=0), _store(n1=0), npu_isa.End()]), NANO)
    assert len(caught.value.lines) == 2


def test_thirty_thousand_instructions_in_seconds() -> None:
    # 0.3 s measured on one core; the bound leaves room for a slower machine under load.
    edge = arch.load_config("edge16")
    tiles = 6000
    program = sample_programs.link(
        edge, sample_programs.tiled(edge, tiles, 256), tiles * 256, tiles * 4096, tiles * 4096
    )
    begin = time.process_time()
    assert check.check(program, edge) == []
    assert time.process_time() - begin < 10


def test_replacing_one_field_of_a_large_program_is_found() -> None:
    edge = arch.load_config("edge16")
    instructions = sample_programs.tiled(edge, 100, 256)
    instructions[250] = dataclasses.replace(instructions[250], dst=0x80)
    sizes = (100 * 256, 100 * 4096, 100 * 4096)
    lines = check.check(sample_programs.link(edge, instructions, *sizes), edge)
    assert any("program[250]" in line and "IBUF" in line for line in lines), lines
