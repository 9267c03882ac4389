"""The front against the definition, pair by pair; figures that are combined and counted."""

from __future__ import annotations

import dataclasses
import math
import random

import pytest

from jacquard.proto.lib.arch import load_config
from jacquard.runtime.explore.front import COSTS, Point, combined, front

EDGE = load_config("edge16")


def point(score: int, rows: int, cols: int, ibuf_bytes: int, width: int) -> Point:
    arch = dataclasses.replace(
        EDGE, rows=rows, cols=cols, lanes=cols, ibuf_bytes=ibuf_bytes, bytes_per_cycle=width
    )
    return Point(arch, {}, {"m": score}, score)


def beats(one: Point, other: Point, costs: tuple[str, ...]) -> bool:
    """At least as good in everything, better in something."""
    pairs = [(one.score, other.score), *((one.costs[c], other.costs[c]) for c in costs)]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


@pytest.mark.parametrize("seed", range(20))
def test_the_front_is_what_nothing_beats(seed: int) -> None:
    rng = random.Random(seed)
    costs = tuple(rng.sample(COSTS, rng.randint(1, 4)))
    points = [
        point(
            rng.choice((100, 200, 300, 400)),
            rng.choice((4, 8, 16)),
            rng.choice((4, 8, 16)),
            rng.choice((1024, 2048)),
            rng.choice((4, 8)),
        )
        for _ in range(rng.randint(1, 40))
    ]
    expected = [p for p in points if not any(beats(other, p, costs) for other in points)]
    found = front(points, costs)
    assert sorted(map(id, found)) == sorted(map(id, expected))
    assert [p.score for p in found] == sorted(p.score for p in expected)


def test_costs_of_edge16() -> None:
    assert Point(EDGE, {}, {"m": 1}, 1).costs == {
        "multipliers": 256,
        "lanes": 16,
        "on_chip_bytes": 320 * 1024,
        "bytes_per_cycle": 16,
    }


def test_cycles_of_several_models() -> None:
    assert combined([1000, 4000], "sum") == 5000
    assert combined([1000, 4000], "geomean") == 2000
    assert combined([12_345_678], "geomean") == 12_345_678
    rng = random.Random(0)
    cycles = [rng.randint(10**4, 10**8) for _ in range(3)]
    assert combined(cycles, "geomean") == pytest.approx(math.prod(cycles) ** (1 / 3), rel=1e-6)
