"""What a search finds, against trying everything; that it repeats, and what its limits do."""

from __future__ import annotations

import itertools

import onnx
import pytest

from jacquard.compiler.main import CompileOptions, compile_model
from jacquard.proto.lib.arch import load_config
from jacquard.runtime.profile import sample
from jacquard.runtime.tune.layers import groups
from jacquard.runtime.tune.network import Network
from jacquard.runtime.tune.sample import chain
from jacquard.runtime.tune.search import Found, Limits, search
from jacquard.runtime.tune.work import timer
from jacquard.sim.perf.estimate import estimate

NANO4 = load_config("nano4")


def found_of(qdq: onnx.ModelProto, limits: Limits) -> Found:
    options = CompileOptions()
    network = Network(qdq, NANO4, options)
    with timer(network, qdq, options, 1) as times:
        return search(network, times, limits)


def test_one_layer_gets_the_best_of_all_its_tilings() -> None:
    """By compiling each in full, which the search does not do."""
    qdq = chain([32, 24])
    network = Network(qdq, NANO4, CompileOptions())
    (group,) = groups(network, network.compiled({}), beam=10_000)
    everything = [{}, *({group.name: choice} for choice in group.choices)]
    cycles = [
        estimate(compile_model(qdq, NANO4, CompileOptions(overrides=one)), NANO4).cycles
        for one in everything
    ]
    found = found_of(qdq, Limits(beam=10_000, evaluations=10_000))
    assert len(everything) > 20
    assert (found.default_cycles, found.cycles) == (cycles[0], min(cycles))
    assert found.ended == "nothing helps any more"


def test_no_single_change_of_what_it_ends_with_helps() -> None:
    qdq = sample.quantized()
    found = found_of(qdq, Limits(beam=4, evaluations=1000))
    assert found.cycles < found.default_cycles
    program = compile_model(qdq, NANO4, CompileOptions(overrides=found.overrides))
    assert estimate(program, NANO4).cycles == found.cycles
    network = Network(qdq, NANO4, CompileOptions())
    for group in found.groups:
        for choice in (None, *group.choices):
            others = {n: o for n, o in found.overrides.items() if n not in group.layers}
            given = {} if choice is None else dict.fromkeys(group.layers, choice)
            cycles = network.cycles({**others, **given})
            assert cycles is None or cycles >= found.cycles


def test_layers_alike_get_the_same() -> None:
    found = found_of(chain([64] * 7), Limits(beam=8, evaluations=60))
    for group in found.groups:
        assert len({found.overrides.get(layer) for layer in group.layers}) == 1
    assert max(len(group.layers) for group in found.groups) == 3


def test_it_repeats() -> None:
    limits = Limits(beam=6, evaluations=25)
    assert found_of(sample.quantized(), limits) == found_of(sample.quantized(), limits)


@pytest.mark.parametrize("evaluations", [1, 2, 7])
def test_evaluations_are_a_limit(evaluations: int) -> None:
    found = found_of(sample.quantized(), Limits(beam=4, evaluations=evaluations))
    assert found.wholes == evaluations
    assert found.ended == f"{evaluations} evaluations are used up"
    assert found.cycles <= found.default_cycles and (evaluations > 1 or not found.overrides)


def test_seconds_are_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(step=10)
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    found = found_of(sample.quantized(), Limits(beam=4, evaluations=1000, seconds=60))
    assert found.ended == "60 seconds are over"
    assert 1 <= found.wholes < 20 and found.parts < 20
    assert found.cycles <= found.default_cycles


def test_progress_never_goes_back_nor_beyond() -> None:
    told: list[tuple[int, int]] = []
    options, qdq = CompileOptions(), sample.quantized()
    network = Network(qdq, NANO4, options)
    with timer(network, qdq, options, 1) as times:
        found = search(
            network, times, Limits(beam=3, evaluations=9), lambda *now: told.append(now)
        )
    assert [done for done, _ in told] == list(range(found.parts + found.wholes + 1))
    assert {most for _, most in told} == {found.parts + 9}
