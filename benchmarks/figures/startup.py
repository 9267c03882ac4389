"""The largest start-up of a run's layers (sim/timing/startup.py), from its report."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Worst:
    """Of the layers of a run that have array passes, in cycles."""

    layers: int
    startup: int
    startup_layer: str
    startup_share: float  # all layers' start-up, of the run's cycles
    idle: int
    idle_layer: str


def worst(report: dict[str, Any]) -> Worst:
    """Raises ValueError where no layer has passes."""
    layers = [layer for layer in report["layers"] if layer["engines"]["MATRIX"]["busy"]]
    if not layers:
        raise ValueError(f"{report['model']} on {report['config']}: no layer has array passes")
    startup = max(layers, key=lambda layer: layer["startup_cycles"])
    idle = max(layers, key=lambda layer: layer["matrix_idle_cycles"])
    return Worst(
        layers=len(layers),
        startup=startup["startup_cycles"],
        startup_layer=startup["name"],
        startup_share=sum(layer["startup_cycles"] for layer in layers) / report["cycles"],
        idle=idle["matrix_idle_cycles"],
        idle_layer=idle["name"],
    )
