"""Start-up of layers, on a trace drawn by hand."""

from __future__ import annotations

import dataclasses

import numpy as np

from jacquard.proto import program_pb2 as pb
from jacquard.proto.npu_isa import Bucket, Engine
from jacquard.sim.timing.startup import Startup, startups


@dataclasses.dataclass(frozen=True)
class Ran:
    """An instruction: from `start` to `done`, working for its last `busy` cycles."""

    engine: Engine
    start: int
    done: int
    busy: int


def found(*layers: list[Ran]) -> list[Startup]:
    program, ran = pb.Program(), [x for layer in layers for x in layer]
    for layer in layers:
        first = program.layers[-1].end_instruction if program.layers else 0
        program.layers.add(first_instruction=first, end_instruction=first + len(layer))
    buckets = np.zeros((len(ran), len(Bucket)), np.int64)
    buckets[:, Bucket.BUSY] = [x.busy for x in ran]
    columns = [np.array([getattr(x, n) for x in ran]) for n in ("engine", "start", "done")]
    return startups(program.layers, *columns, buckets)


LOAD = Ran(Engine.LOAD, 5, 100, 80)
FIRST = Ran(Engine.MATRIX, 101, 300, 190)


def test_the_first_layer_counts_from_the_run_s_start() -> None:
    assert found([LOAD, FIRST]) == [Startup(110, 110)]


def test_passes_that_follow_without_a_gap_have_no_start_up() -> None:
    follows = [Ran(Engine.LOAD, 110, 250, 90), Ran(Engine.MATRIX, 290, 400, 100)]
    assert found([LOAD, FIRST], follows)[1] == Startup(0, 0)


def test_it_ends_with_the_first_pass_and_begins_with_the_last_one_before() -> None:
    more = [FIRST, Ran(Engine.MATRIX, 280, 500, 200)]
    after = [Ran(Engine.MATRIX, 620, 900, 270), Ran(Engine.MATRIX, 950, 1200, 100)]
    assert found([LOAD, *more], after)[1] == Startup(130, 130)


def test_what_vector_does_there_is_no_start_up() -> None:
    """The second waits until the first, 320 to 400, is through: 320 to 430 are work."""
    norm = [Ran(Engine.VECTOR, 320, 400, 70), Ran(Engine.VECTOR, 390, 430, 30)]
    assert found([LOAD, FIRST], [*norm, Ran(Engine.MATRIX, 460, 600, 130)])[1] == Startup(170, 60)


def test_vector_s_work_of_the_layer_before_counts_where_it_lies_in_between() -> None:
    drain = Ran(Engine.VECTOR, 250, 340, 80)
    after = [Ran(Engine.MATRIX, 380, 600, 200)]
    assert found([LOAD, FIRST, drain], after)[1] == Startup(100, 60)


def test_behind_a_layer_without_passes_it_counts_from_that_layer_s_end() -> None:
    pool = [Ran(Engine.VECTOR, 310, 700, 300), Ran(Engine.STORE, 701, 800, 90)]
    after = [Ran(Engine.MATRIX, 850, 1000, 140)]
    assert found([LOAD, FIRST], pool, after) == [Startup(110, 110), Startup(), Startup(60, 60)]


def test_a_pass_before_the_end_of_that_layer_has_none() -> None:
    pool = [Ran(Engine.VECTOR, 310, 700, 300), Ran(Engine.STORE, 701, 800, 90)]
    after = [Ran(Engine.MATRIX, 600, 900, 200)]
    assert found([LOAD, FIRST], pool, after)[2] == Startup(0, 0)
