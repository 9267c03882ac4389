"""Sweeps: what is meant, what follows, and what is refused before anything starts."""

from __future__ import annotations

import itertools

import pytest

from jacquard.proto import arch_pb2
from jacquard.proto.lib.arch import find_config, from_message, load_config, read_message
from jacquard.proto.lib.errors import UserError
from jacquard.runtime.explore.space import AXES, candidates, parse_sweeps

EDGE = read_message(find_config("edge16"))
LIMIT = 10_000


def explored(*texts: str, base: arch_pb2.Arch = EDGE) -> list[dict[str, int]]:
    """Values of what is swept, of every candidate."""
    sweeps = parse_sweeps(texts, LIMIT)
    fields = [field for sweep in sweeps for field in sweep.fields]
    return [{f: c.values[f] for f in fields} for c in candidates(base, sweeps)]


def refusal(*texts: str, base: arch_pb2.Arch = EDGE, limit: int = LIMIT) -> list[str]:
    with pytest.raises(UserError) as caught:
        candidates(base, parse_sweeps(texts, limit))
    return list(caught.value.lines)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("ibuf_bytes=65536,131072", [65536, 131072]),
        ("ibuf_bytes=64K,1M", [65536, 1048576]),
        ("ibuf_bytes=64K..256K", [65536, 131072, 262144]),
        ("ibuf_bytes=64K..200K", [65536, 131072]),
        ("ibuf_bytes=64K..128K+32K", [65536, 98304, 131072]),
        ("ibuf_bytes=64K,128K..192K+64K", [65536, 131072, 196608]),
        ("bytes_per_cycle=16", [16]),
    ],
)
def test_values(text: str, values: list[int]) -> None:
    (field,) = {text.partition("=")[0]}
    assert [point[field] for point in explored(text)] == values


def test_fields_of_one_sweep_go_together_and_sweeps_multiply() -> None:
    found = explored("rows,cols=16,32", "bytes_per_cycle=4,8,16")
    assert found == [
        {"rows": size, "cols": size, "bytes_per_cycle": width}
        for size, width in itertools.product((16, 32), (4, 8, 16))
    ]


def test_what_follows_and_what_stays() -> None:
    (wide,) = candidates(EDGE, parse_sweeps(["rows,cols=64", "bytes_per_cycle=64"], LIMIT))
    assert not wide.broken
    machine, edge = wide.arch, load_config("edge16")
    assert (machine.rows, machine.cols, machine.lanes) == (64, 64, 64)
    assert machine.load.buffer_bytes == machine.store.buffer_bytes == 16384  # 2 x 100 x 64 and up
    assert machine.load.outstanding_bursts == edge.load.outstanding_bursts
    assert (machine.ibuf_bytes, machine.vmem_bytes) == (edge.ibuf_bytes, edge.vmem_bytes)
    assert wide.values == {axis: getattr(machine, axis) for axis in AXES}


def test_a_machine_has_one_name_and_fingerprint_whatever_sweep_it_comes_from() -> None:
    one = candidates(EDGE, parse_sweeps(["rows,cols=16,32", "ibuf_bytes=64K,128K"], LIMIT))
    two = candidates(EDGE, parse_sweeps(["cols,rows,lanes=32", "ibuf_bytes=128K"], LIMIT))
    assert one[3].arch == two[0].arch
    assert one[3].arch.fingerprint == two[0].arch.fingerprint
    assert len({c.name for c in one}) == len({c.arch.fingerprint for c in one}) == 4
    assert from_message(one[3].message) == one[3].arch


def test_combinations_that_break_a_rule_say_which() -> None:
    texts = ["rows,cols=8,16", "ibuf_bytes=65544,64K", "bytes_per_cycle=8"]
    found = candidates(EDGE, parse_sweeps(texts, LIMIT))
    assert [c.broken for c in found] == [
        (),
        (),
        ("memory.ibuf_bytes must be a positive multiple of 16, got 65544; try 65536 or 65552",),
        (),
    ]


def test_a_base_that_no_sweep_mends() -> None:
    base = arch_pb2.Arch()
    base.CopyFrom(EDGE)
    base.frontend.queue_depth = 0
    assert refusal("ibuf_bytes=64K,128K", base=base) == [
        "--sweep: no configuration keeps the rules: frontend.queue_depth must lie in 2 to 64, "
        "got 0; try 2"
    ]


WAY = "give numbers (8,16,32), doublings (8..64) or steps (64K..256K+64K)"


@pytest.mark.parametrize(
    ("texts", "lines"),
    [
        ([], [f"--sweep: must be given, e.g. --sweep rows,cols=8,16; {WAY}"]),
        (["rows"], [f"--sweep rows: must be FIELD=VALUES, got no values; {WAY}"]),
        (["rows="], [f"--sweep rows=: must name at least one value, got none; {WAY}"]),
        (
            ["rows=0"],
            ["--sweep rows=0: matrix.rows must be a power of two, got 0; try 4"],
        ),
        (
            ["rows=3,16"],
            ["--sweep rows=3,16: matrix.rows must be a power of two, got 3; try 4"],
        ),
        (
            ["rows,cols=3,512"],
            [
                "--sweep rows,cols=3,512: matrix.rows must be a power of two, got 3; try 4",
                "--sweep rows,cols=3,512: matrix.rows must lie in 4 to 256, got 512; try 256",
                "--sweep rows,cols=3,512: matrix.cols must be a power of two, got 3; try 4",
                "--sweep rows,cols=3,512: matrix.cols must lie in 4 to 128, got 512; try 128",
            ],
        ),
        (
            ["rows=-8"],
            [f"--sweep rows=-8: value must be a number or a range of them, got '-8'; {WAY}"],
        ),
        (["rows=64..8"], ["--sweep rows=64..8: range must go upwards, got '64..8'; write 8..64"]),
        (
            ["rows=8..64+0"],
            [f"--sweep rows=8..64+0: range must start and step above 0, got '8..64+0'; {WAY}"],
        ),
        (
            ["rows=0..8"],
            [f"--sweep rows=0..8: range must start and step above 0, got '0..8'; {WAY}"],
        ),
        (["rows=8,16,8"], ["--sweep rows=8,16,8: values must differ, got 8 2 times"]),
        (["rows=8", "rows,cols=4"], ["--sweep rows: must be swept once, got it 2 times"]),
        (
            ["ibuf_bytes=5000M"],
            ["--sweep ibuf_bytes=5000M: value must be at most 4294967295, got '5000M'; lower it"],
        ),
        (
            ["latency_cycles=100", "rows=x"],
            [
                "--sweep latency_cycles=100: field must be one of rows, cols, lanes, ibuf_bytes, "
                "wbuf_bytes, obuf_bytes, vmem_bytes, param_bytes, table_bytes, bytes_per_cycle, "
                "got 'latency_cycles'",
                f"--sweep rows=x: value must be a number or a range of them, got 'x'; {WAY}",
            ],
        ),
        (
            ["ibuf_bytes=1..1000000000+1"],
            [
                "--sweep: must give at most 10,000 configurations (--max-points), got "
                "1,000,000,000; sweep fewer values"
            ],
        ),
        (
            ["ibuf_bytes=1K..1M+1K", "wbuf_bytes=1K..1M+1K", "obuf_bytes=1K..1M+1K"],
            [
                "--sweep: must give at most 10,000 configurations (--max-points), got "
                "1,073,741,824; sweep fewer values"
            ],
        ),
    ],
    ids=lambda value: " ".join(value) if value and not value[0].startswith("--") else "",
)
def test_what_cannot_be_meant_is_refused(texts: list[str], lines: list[str]) -> None:
    assert refusal(*texts) == lines


def test_the_limit_is_the_users() -> None:
    assert len(explored("ibuf_bytes=16K..160K+16K")) == 10
    assert refusal("ibuf_bytes=16K..160K+16K", limit=9)
