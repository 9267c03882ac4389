"""What bounds a layer: a resource that is in use nearly always, or what all others wait for."""

from __future__ import annotations

import numpy as np

from jacquard.proto.npu_isa import Bucket, Engine

# A resource in use for so much of a layer bounds it: what is left is fill, drain and the edges.
MOSTLY = 0.6
# Of two in use for nearly as much of it, one alone would relieve little: both bound it.
ALIKE = 0.95

WAITS_FOR = {
    Bucket.WAIT_LOAD: Engine.LOAD,
    Bucket.WAIT_MATRIX: Engine.MATRIX,
    Bucket.WAIT_VECTOR: Engine.VECTOR,
    Bucket.WAIT_STORE: Engine.STORE,
}
"""Buckets of waiting, and for whom."""
NAMES = {
    Bucket.BUSY: "working",
    Bucket.WAIT_LOAD: "waiting for LOAD",
    Bucket.WAIT_MATRIX: "waiting for MATRIX",
    Bucket.WAIT_VECTOR: "waiting for VECTOR",
    Bucket.WAIT_STORE: "waiting for STORE",
    Bucket.DRAM_BANDWIDTH: "DRAM bandwidth",
    Bucket.DRAM_LATENCY: "DRAM latency",
    Bucket.PORT: "memory port",
    Bucket.DRAIN: "fill and drain",
    Bucket.EMPTY: "queue empty",
}
"""Each bucket as people read it."""


def bound_of(buckets: np.ndarray, cycles: int, dram_use: float) -> str:
    """A few words: array, vector, DRAM bandwidth, DRAM latency, fill and drain, ...

    Args:
      buckets: int64[engines, buckets] of the layer.
      cycles: of the layer.
      dram_use: its bytes, of those that the bus could have moved in its cycles.

    The most used of array, VECTOR and bus, where it works MOSTLY, and what is used ALIKE:
    "array and DRAM bandwidth". Else nothing is short in supply and the time goes in waiting:
    from the engine that works most along what it waits for longest, until that is no other
    engine, or one seen before: the two hand over to each other.
    """
    window = max(cycles, 1)
    uses = {
        "array": buckets[Engine.MATRIX, Bucket.BUSY] / window,
        "DRAM bandwidth": dram_use,
        "vector": buckets[Engine.VECTOR, Bucket.BUSY] / window,
    }
    most = max(uses, key=lambda name: uses[name])
    if uses[most] >= MOSTLY:
        alike = [name for name in uses if uses[name] >= max(MOSTLY, ALIKE * uses[most])]
        return " and ".join(sorted(alike, key=lambda name: -uses[name]))
    engine = Engine(int(buckets[:, Bucket.BUSY].argmax()))
    seen = [engine]
    while True:
        idle = buckets[engine].copy()
        idle[Bucket.BUSY] = 0
        reason = Bucket(int(idle.argmax()))
        if idle[reason] == 0:
            return most
        if reason not in WAITS_FOR:
            return NAMES[reason]
        engine = WAITS_FOR[reason]
        if engine in seen:
            between = sorted({seen[-1].name, engine.name})
            return f"{' and '.join(between)} in turns"
        seen.append(engine)
