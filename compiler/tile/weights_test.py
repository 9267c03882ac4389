"""The segment of weights: the same bytes whatever the order of layers, and readers that follow."""

from __future__ import annotations

import itertools

from jacquard.compiler.tile.ir import CONSTANT_ARG, WEIGHT_ARG, Step
from jacquard.compiler.tile.weights import Weights
from jacquard.proto import npu_isa as isa

PARTS = (  # layer, data, what indexes it
    ("embedding", bytes(range(70)), "input_ids"),
    ("position", bytes(range(100)), "position_ids"),
    ("q", b"q" * 65, ""),
    ("k", b"k" * 65, ""),
    ("wide", b"w" * 128, ""),
    ("tied", b"k" * 65, ""),
)


def _load(arg: int, dram: int) -> Step:
    return Step(isa.Load(buffer=isa.Buffer.WBUF, arg=arg, dram=dram, n0=4, n1=1, n2=1, n3=1), 0)


def test_bytes_follow_from_the_parts_alone() -> None:
    """Larger matrices first, then by their bytes; then tables by their indices; equal ones once."""
    wanted = b"".join(
        data.ljust(-(-len(data) // 64) * 64, b"\0")
        for data in (b"w" * 128, b"k" * 65, b"q" * 65, bytes(range(70)), bytes(range(100)))
    )
    for parts in itertools.permutations(PARTS):
        weights = Weights()
        added = [(weights.add(*part), part[1]) for part in parts]
        segment, named, offsets = weights.segment()
        assert segment == wanted
        assert [part.size for part in named] == [128, 65, 65, 70, 100]
        for offset, data in added:
            at = offsets[offset]
            assert segment[at : at + len(data)] == data


def test_a_graph_without_a_table_has_the_beginning() -> None:
    images = []
    for parts in (PARTS, [part for part in PARTS if part[0] != "position"]):
        weights = Weights()
        for part in parts:
            weights.add(*part)
        images.append(weights.segment()[0])
    assert images[0].startswith(images[1]) and len(images[0]) > len(images[1])


def test_readers_follow_their_part() -> None:
    weights = Weights()
    starts = {layer: weights.add(layer, data, index) for layer, data, index in PARTS}
    inside = {"embedding": 5, "q": 64, "k": 0, "wide": 127, "tied": 1}
    steps = [_load(WEIGHT_ARG, starts[layer] + at) for layer, at in inside.items()]
    segment, _, offsets = weights.segment()
    data = {layer: raw for layer, raw, _ in PARTS}
    moved = weights.moved([*steps, _load(CONSTANT_ARG, 8)], offsets)
    for step, (layer, at) in zip(moved, inside.items(), strict=False):
        assert segment[step.instruction.dram] == data[layer][at]
    assert moved[-1] == _load(CONSTANT_ARG, 8)
