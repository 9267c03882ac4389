"""Executes every operation on sim/func and compares with float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from jacquard.sim.operations import integers, movement, real
from jacquard.sim.operations.operation import Operation
from jacquard.sim.operations.sequence import describe


def catalogue() -> list[Operation]:
    """Every operation of VECTOR, in groups, in the order of the page."""
    found = [*integers.operations(), *movement.operations(), *real.operations()]
    groups = list(dict.fromkeys(operation.group for operation in found))
    return sorted(found, key=lambda operation: groups.index(operation.group))


def row(operation: Operation) -> dict[str, Any]:
    """What the page says of it. Errors in output steps: 0.5 is the best of a rounded result."""
    sequence, result = operation.sequence()
    samples = operation.samples()
    found = sequence.runner(result).run(samples)
    off = np.abs(found - operation.exact(*samples))
    off = off[~np.isnan(off)]
    passes = sequence.passes(result)
    how = [describe(instruction) for instruction in sequence.instructions]
    if passes < len(how):  # not one after the other, but each on a part of the tile
        how = list(dict.fromkeys(how))
    return {
        "name": operation.name,
        "group": operation.group,
        "types": operation.types,
        "domain": operation.domain,
        "sequence": how,
        "passes": passes,
        "samples": off.size,
        "max": three_digits(float(off.max())),
        "rms": three_digits(float(np.sqrt((off * off).mean()))),
    }


def three_digits(x: float) -> float:
    """What a table shows of a figure."""
    return float(f"{x:.3g}")


def rows() -> list[dict[str, Any]]:
    """Of the whole catalogue."""
    return [row(operation) for operation in catalogue()]
