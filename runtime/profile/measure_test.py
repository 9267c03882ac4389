"""A profile's figures hold together, and equal what the run said."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from jacquard.proto.lib.arch import load_config
from jacquard.proto.npu_isa import Bucket, Engine
from jacquard.runtime.profile import measure
from jacquard.runtime.profile.sample import profile, timed
from jacquard.runtime.profile.timeline import WAITS

NANO4 = load_config("nano4")


def test_layers_cover_the_run() -> None:
    found, (program, result) = profile(), timed()
    assert [layer.name for layer in found.layers] == [layer.name for layer in program.layers]
    assert 0 <= result.cycles - sum(layer.cycles for layer in found.layers) < 100  # the end
    assert found.floor_cycles == sum(layer.floor_cycles for layer in program.layers)


def test_buckets_of_layers_and_the_tail_are_the_counters() -> None:
    found = profile()
    tail = found.counters - sum(layer.buckets for layer in found.layers)
    assert tail.min() >= 0
    assert (found.counters.sum(axis=1) == found.cycles).all()
    # Behind its last instruction an engine has none.
    assert (tail[:, Bucket.BUSY] == 0).all()
    last = [found.spans.done[found.spans.engine == engine].max() for engine in Engine]
    np.testing.assert_allclose(tail.sum(axis=1), found.cycles - np.array(last), atol=4)


def test_spans_of_an_engine_follow_each_other() -> None:
    spans = profile().spans
    for engine in Engine:
        own = spans.engine == engine
        done, idle_from = spans.done[own], spans.idle_from[own]
        assert (np.diff(done) >= 0).all()
        np.testing.assert_array_equal(idle_from[1:], done[:-1])
        assert (spans.begin[own] >= idle_from).all() and (spans.begin[own] <= done).all()
    np.testing.assert_array_equal(spans.buckets.sum(axis=1), spans.done - spans.idle_from)
    assert (spans.layer >= 0).all()
    # Before an instruction has its engine to itself the engine has none, and only then does it wait.
    waited = spans.buckets[:, list(WAITS)].sum(axis=1)
    np.testing.assert_allclose(waited, spans.begin - spans.idle_from, atol=1)


def test_bytes_of_spans_are_what_layers_move() -> None:
    """Beats of the bus are whole: layers have no fewer; fetch reads too: the run has more."""
    found = profile()
    loads = found.spans.bytes[found.spans.engine == Engine.LOAD].sum()
    stores = found.spans.bytes[found.spans.engine == Engine.STORE].sum()
    read = sum(layer.read_bytes for layer in found.layers)
    written = sum(layer.write_bytes for layer in found.layers)
    assert 0.9 * read < loads <= read < found.read_bytes
    assert 0.9 * written < stores <= written == found.write_bytes


def test_uses_are_shares() -> None:
    for layer in profile().layers:
        assert layer.array_use == pytest.approx(layer.macs / (16 * layer.cycles))
        assert layer.dram_use == pytest.approx(
            (layer.read_bytes + layer.write_bytes) / (4 * layer.cycles)
        )
        assert 0 <= layer.vector_use <= 1.2


def test_a_run_without_times_and_a_program_without_layers_are_refused() -> None:
    program, result = timed()
    without = dataclasses.replace(result, done_cycles=None, instruction_buckets=None, cycles=0)
    with pytest.raises(measure.NothingToShow, match="must have times, got none of func"):
        measure.measure(program, NANO4, "func", "func", without)
    empty = type(program)()
    empty.CopyFrom(program)
    del empty.layers[:]
    with pytest.raises(measure.NothingToShow, match="must have layers, got none"):
        measure.measure(empty, NANO4, "perf", "perf", result)
