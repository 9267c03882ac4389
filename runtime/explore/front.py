"""Configurations compared: what each costs, and which ones nothing beats.

The front is the set of configurations for which no other is at least as good in cycles and every
cost and better in one of them (Pareto).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from jacquard.proto.lib.arch import Arch

COSTS = ("multipliers", "lanes", "on_chip_bytes", "bytes_per_cycle")
COMBINE = ("geomean", "sum")


@dataclasses.dataclass(frozen=True)
class Point:
    """A configuration on which every model was compiled.

    Attributes:
      cycles: by model.
      score: of all models' cycles together; smaller is better.
    """

    arch: Arch
    values: Mapping[str, int]  # of every axis
    cycles: Mapping[str, int]
    score: int

    @property
    def costs(self) -> dict[str, int]:
        """By the names of COSTS. Multipliers are the array's; a lane has its own, wider ones."""
        return {
            "multipliers": self.arch.rows * self.arch.cols,
            "lanes": self.arch.lanes,
            "on_chip_bytes": self.arch.on_chip_bytes,
            "bytes_per_cycle": self.arch.bytes_per_cycle,
        }


def combined(cycles: Sequence[int], how: str) -> int:
    """`geomean`: every model counts alike, however long it runs. `sum`: one after another."""
    if how == "sum":
        return sum(cycles)
    return round(math.exp(sum(math.log(c) for c in cycles) / len(cycles)))


def front(points: Sequence[Point], costs: Sequence[str]) -> list[Point]:
    """The points that no other dominates, fastest first; of equals all."""
    figures = np.array([[p.score, *(p.costs[cost] for cost in costs)] for p in points])
    kept = []
    for point, own in zip(points, figures, strict=True):
        beaten = (figures <= own).all(axis=1) & (figures < own).any(axis=1)
        if not beaten.any():
            kept.append(point)
    return sorted(kept, key=lambda p: (p.score, *p.costs.values(), p.arch.name))
