"""What estimate() makes of a program and of other memories."""

from __future__ import annotations

import pytest

from jacquard.proto import npu_isa as isa
from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.arch import load_config
from jacquard.proto.lib.errors import UserError
from jacquard.proto.npu_isa import Bucket, Engine
from jacquard.sim.perf.estimate import changed_arch, estimate
from jacquard.sim.perf.machine import CycleModel

EDGE16 = load_config("edge16")


def program() -> pb.Program:
    """Two layers: 64 KiB come on chip; VECTOR moves them 4096 times and they go back."""
    load = isa.Load(buffer=isa.Buffer.IBUF, n0=4096, n1=16, n2=1, n3=1, s1=4096, push=4)
    move = isa.Vector(
        n0=1024, n1=4, n2=1, n3=1, src1_buffer=isa.Buffer.IBUF, dst_buffer=isa.Buffer.VMEM,
        src1_stride0=16, dst_stride0=16, pop=1, push=8,
    )  # fmt: skip
    store = isa.Store(buffer=isa.Buffer.VMEM, n0=4096, n1=4, n2=1, n3=1, s1=4096, pop=4)
    made = pb.Program(model="m", code=isa.encode_program([load, move, store, isa.End()]))
    made.layers.add(name="in", first_instruction=0, end_instruction=1)
    made.layers.add(name="out", first_instruction=1, end_instruction=3)
    return made


def test_layers_add_up_to_the_end_of_the_last() -> None:
    found = estimate(program(), EDGE16)
    done = CycleModel(program().code).run(EDGE16).done_cycles
    assert found.layer_cycles == (done[0], done[2] - done[0])
    assert 0 <= found.cycles - sum(found.layer_cycles) <= 2
    assert (found.counters.sum(axis=1) == found.cycles).all()
    assert found.dram_write_bytes == 16384
    assert found.dram_read_bytes >= 65536


def test_a_wider_dram_takes_less_of_what_it_bound() -> None:
    plain, wide = estimate(program(), EDGE16), estimate(program(), EDGE16, bytes_per_cycle=32)
    assert plain.layer_cycles[0] - wide.layer_cycles[0] == pytest.approx(2048, abs=16)
    assert wide.counters[Engine.VECTOR, Bucket.BUSY] == plain.counters[Engine.VECTOR, Bucket.BUSY]


def test_a_faster_vector_takes_less_of_what_it_bound() -> None:
    plain, fast = estimate(program(), EDGE16), estimate(program(), EDGE16, vector_rate=2)
    assert plain.layer_cycles[0] == fast.layer_cycles[0]
    assert plain.layer_cycles[1] - fast.layer_cycles[1] == pytest.approx(2048, abs=16)


def test_a_farther_dram_waits_longer() -> None:
    plain, far = estimate(program(), EDGE16), estimate(program(), EDGE16, latency_cycles=300)
    # Fetch and LOAD; in the near memory LOAD's first beats come among those of fetch.
    assert 200 <= far.layer_cycles[0] - plain.layer_cycles[0] <= 2 * 200
    assert far.layer_cycles[1] - plain.layer_cycles[1] == 200  # the answer to STORE


def test_buffers_grow_with_the_flight_of_a_memory_unless_given() -> None:
    wide = changed_arch(EDGE16, {"bytes_per_cycle": 64})
    assert wide.load.buffer_bytes >= 2 * 100 * 64
    assert wide.fetch_buffer_bytes == 4 * EDGE16.fetch_buffer_bytes
    kept = changed_arch(EDGE16, {"bytes_per_cycle": 64, "load": EDGE16.load})
    assert kept.load == EDGE16.load
    assert changed_arch(EDGE16, {"queue_depth": 16}).load == EDGE16.load


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 32}, "changed in bytes_per_cycle, .*, got rows; compile it for the other"),
        ({"bytes_per_cycle": 24}, "bytes_per_cycle must be a power of two of 4 to 128, got 24"),
        ({"latency_cycles": 0}, "latency_cycles must be at least 1, got 0"),
        ({"queue_depth": 0}, "queue_depth must be at least 1, got 0"),
    ],
)
def test_machines_that_cannot_be_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        estimate(program(), EDGE16, **changes)


def test_a_program_that_stops_says_where() -> None:
    stuck = isa.Store(buffer=isa.Buffer.VMEM, n0=4, n1=1, n2=1, n3=1, pop=1)
    made = pb.Program(model="m", code=isa.encode_program([stuck, isa.End()]))
    with pytest.raises(UserError, match="stopped with WATCHDOG at instruction 0"):
        estimate(made, EDGE16)
