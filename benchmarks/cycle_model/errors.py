"""How far the cycle model is from RTL: of a whole run and of each layer that counts."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

WHOLE_LIMIT = 0.02
LAYER_LIMIT = 0.05
LONG_CYCLES = 10_000  # layers above it count


@dataclasses.dataclass(frozen=True)
class Layer:
    """A layer's cycles in RTL and on the model."""

    name: str
    rtl_cycles: int
    perf_cycles: int

    @property
    def error(self) -> float:
        """Of the model, relative to RTL."""
        return self.perf_cycles / self.rtl_cycles - 1


@dataclasses.dataclass(frozen=True)
class Errors:
    """Of one program."""

    model: str
    config: str
    rtl_cycles: int
    perf_cycles: int
    rtl_seconds: float
    perf_seconds: float
    layers: tuple[Layer, ...]  # those above LONG_CYCLES in either
    largest_bucket_error: float  # of any engine's bucket, relative to the run's cycles

    @property
    def whole(self) -> float:
        """Of the whole run, relative to RTL."""
        return self.perf_cycles / self.rtl_cycles - 1

    @property
    def worst_layer(self) -> Layer | None:
        return max(self.layers, key=lambda layer: abs(layer.error), default=None)


def load(path: pathlib.Path) -> dict[str, Any]:
    """A report of `run`. Raises ValueError where the run failed: there is nothing to compare."""
    report: dict[str, Any] = json.loads(path.read_text())
    if report["error"]:
        raise ValueError(f"{path}: the run must have ended, got: {report['error']}")
    return report


def errors(perf: dict[str, Any], rtl: dict[str, Any]) -> Errors:
    """Of two reports of one program. Raises ValueError if they are of different ones."""
    for field in ("model", "config", "fingerprint", "macs", "arguments"):
        if perf[field] != rtl[field]:
            raise ValueError(f"{field}: must be the same, got {perf[field]} and {rtl[field]}")
    pairs = list(zip(rtl["layers"], perf["layers"], strict=True))
    if any(a["name"] != b["name"] for a, b in pairs):
        raise ValueError("layers: must be the same, in the same order")
    layers = tuple(
        Layer(a["name"], a["cycles"], b["cycles"])
        for a, b in pairs
        if max(a["cycles"], b["cycles"]) > LONG_CYCLES
    )
    buckets = max(
        abs(count - perf["engines"][engine][bucket])
        for engine, counts in rtl["engines"].items()
        for bucket, count in counts.items()
    )
    return Errors(
        model=rtl["model"],
        config=rtl["config"],
        rtl_cycles=rtl["cycles"],
        perf_cycles=perf["cycles"],
        rtl_seconds=rtl["wall_seconds"],
        perf_seconds=perf["wall_seconds"],
        layers=layers,
        largest_bucket_error=buckets / rtl["cycles"],
    )
