"""A network compiled again and again has the cycles of the compiler's program; and its parts."""

from __future__ import annotations

import dataclasses

import onnx
import pytest

from jacquard.compiler.main import CompileOptions, compile_model
from jacquard.compiler.overrides import LayerOverride
from jacquard.compiler.tile.operand import PackedOperand
from jacquard.compiler.tile.plan import ranked
from jacquard.proto.lib.arch import Arch, load_config
from jacquard.runtime.profile import sample
from jacquard.runtime.tune.layers import groups, sizes
from jacquard.runtime.tune.network import Network, Part
from jacquard.runtime.tune.sample import chain
from jacquard.sim.perf.estimate import estimate

NANO4 = load_config("nano4")
FIXED = {"first": LayerOverride(tile_height=2, tile_width=16, output_tiles=1)}


def program_cycles(
    qdq: onnx.ModelProto, arch: Arch, overrides: dict[str, LayerOverride]
) -> int:
    return estimate(compile_model(qdq, arch, CompileOptions(overrides=overrides)), arch).cycles


@pytest.mark.parametrize("config", ["nano4", "edge16", "server64", "rect8x16"])
def test_cycles_are_those_of_the_compilers_program(config: str) -> None:
    arch = load_config(config)
    network = Network(sample.quantized(), arch, CompileOptions())
    assert network.cycles({}) == program_cycles(sample.quantized(), arch, {})
    assert network.cycles(FIXED) == program_cycles(sample.quantized(), arch, FIXED)


def test_what_the_user_fixed_holds_beside() -> None:
    network = Network(sample.quantized(), NANO4, CompileOptions(overrides=FIXED))
    assert network.cycles({}) == program_cycles(sample.quantized(), NANO4, FIXED)
    named = {name for group in groups(network, network.compiled({}), 4) for name in group.layers}
    assert "first" not in named and "classes" in named


def test_what_does_not_fit_has_no_cycles() -> None:
    network = Network(sample.quantized(), NANO4, CompileOptions())
    large = LayerOverride(tile_height=16, tile_width=16, output_tiles=4)
    assert network.cycles({"first": large}) is None
    assert network.cycles({"first": large}, network.around("first")) is None


def test_the_whole_as_a_part_takes_as_long() -> None:
    network = Network(chain([64] * 9), NANO4, CompileOptions())
    everything = Part(0, len(network.graph.ops))
    assert network.cycles({}, everything) == network.cycles({})


def test_parts_stand_for_their_layers() -> None:
    """A part of five equal products takes five eighths of eight, but for its ends."""
    network = Network(chain([64] * 9), NANO4, CompileOptions())
    part = network.around("p4")
    assert (part.first, part.end) == (2, 7)
    cycles, whole = network.cycles({}, part), network.cycles({})
    assert cycles is not None and whole is not None
    assert cycles == pytest.approx(whole * 5 / 8, rel=0.05)
    assert network.around("p0") == Part(0, 3)


def test_equal_layers_among_equal_ones_are_one_group() -> None:
    network = Network(chain([64] * 7 + [32]), NANO4, CompileOptions())
    found = [group.layers for group in groups(network, network.compiled({}), 4)]
    # The second stands behind one that loads its inputs, those after it behind what stays in IBUF.
    assert found == [("p0",), ("p1",), ("p2", "p3", "p4"), ("p5",), ("p6",)]


@pytest.mark.parametrize("config", ["nano4", "edge16", "server64"])
def test_choices_are_what_the_compiler_makes_of_them(config: str) -> None:
    """Every one is another tiling, and an override says all of it."""
    arch = load_config(config)
    network = Network(sample.quantized(), arch, CompileOptions())
    for group in groups(network, network.compiled({}), beam=1000):
        choices = group.choices
        assert len(set(choices)) == len(choices)
        assert sizes(group.tiled.plan) not in choices
        plans = ranked(arch, group.name, *group.tiled.problem)
        assert {sizes(plan) for plan in plans} - {sizes(group.tiled.plan)} <= set(choices)
        for choice in choices[:: max(1, len(choices) // 10)]:
            made = network.compiled({group.name: choice}).tilings[group.name].plan
            assert sizes(made) == choice


def test_a_beam_has_every_order_of_loops_that_fits() -> None:
    network = Network(chain([256, 256, 64]), NANO4, CompileOptions())
    group = groups(network, network.compiled({}), beam=3)[0]
    plans = {sizes(p): p for p in ranked(NANO4, group.name, *group.tiled.problem)}
    orders = {(p.keep_inputs, p.keep_weights) for p in plans.values()}
    default = (group.tiled.plan.keep_inputs, group.tiled.plan.keep_weights)
    found = {(plans[c].keep_inputs, plans[c].keep_weights) for c in group.choices}
    assert len(orders) > 1 and orders - {default} <= found


def test_sizes_that_do_not_divide_are_among_them() -> None:
    network = Network(chain([64, 80]), NANO4, CompileOptions())
    (group,) = groups(network, network.compiled({}), beam=1000)
    assert any(24 % (choice.tile_width or 1) for choice in group.choices)
    assert any(20 % (choice.output_tiles or 1) for choice in group.choices)
    assert dataclasses.replace(group.choices[0], order="inputs") not in group.choices


@pytest.mark.parametrize("config", ["edge16", "server64"])
def test_both_packings_of_an_image_are_among_them(config: str) -> None:
    """Channel tiles say which: those of a kernel row, or of the whole kernel."""
    network = Network(sample.quantized(), load_config(config), CompileOptions())
    tilings = network.compiled({}).tilings
    rows, whole = (
        -(-8 * 3 * kernel_rows // network.arch.rows) for kernel_rows in (1, 3)
    )
    first = next(g for g in groups(network, network.compiled({}), 1000) if g.name == "first")
    assert isinstance(tilings["first"].activation, PackedOperand)
    assert {choice.channel_tiles for choice in first.choices} == {rows, whole}
    for tiles in (rows, whole):
        fixed = network.compiled({"first": LayerOverride(channel_tiles=tiles)}).tilings["first"]
        assert fixed.activation.tiles == tiles
