"""What bounds a layer, from its buckets: one case per rule."""

from __future__ import annotations

import numpy as np
import pytest

from jacquard.proto.npu_isa import Bucket, Engine
from jacquard.runtime.profile.bound import NAMES, bound_of

CASES = {
    "array": ({("MATRIX", "BUSY"): 90}, 0.5, "array"),
    "array, though VECTOR works nearly as much": (
        {("MATRIX", "BUSY"): 90, ("VECTOR", "BUSY"): 80},
        0.3,
        "array",
    ),
    "weights that the bus brings as fast as the array takes them in": (
        {("MATRIX", "BUSY"): 97, ("LOAD", "BUSY"): 98},
        0.99,
        "DRAM bandwidth and array",
    ),
    "all that is used, used alike": (
        {("MATRIX", "BUSY"): 62, ("VECTOR", "BUSY"): 60},
        0.59,
        "array and vector",
    ),
    "vector": ({("VECTOR", "BUSY"): 80, ("MATRIX", "BUSY"): 30}, 0.1, "vector"),
    "bytes": ({("LOAD", "BUSY"): 95}, 0.95, "DRAM bandwidth"),
    "latency that the array waits for": (
        {
            ("MATRIX", "BUSY"): 40,
            ("MATRIX", "WAIT_LOAD"): 55,
            ("LOAD", "BUSY"): 20,
            ("LOAD", "DRAM_LATENCY"): 70,
        },
        0.2,
        "DRAM latency",
    ),
    "bandwidth where others take it": (
        {
            ("MATRIX", "BUSY"): 40,
            ("MATRIX", "WAIT_LOAD"): 60,
            ("LOAD", "BUSY"): 35,
            ("LOAD", "DRAM_BANDWIDTH"): 50,
        },
        0.4,
        "DRAM bandwidth",
    ),
    "two hand over to each other": (
        {
            ("MATRIX", "BUSY"): 45,
            ("MATRIX", "WAIT_VECTOR"): 50,
            ("VECTOR", "BUSY"): 40,
            ("VECTOR", "WAIT_MATRIX"): 55,
        },
        0.1,
        "MATRIX and VECTOR in turns",
    ),
    "pipelines": ({("VECTOR", "BUSY"): 30, ("VECTOR", "DRAIN"): 60}, 0.0, "fill and drain"),
    "the program comes late": ({("LOAD", "BUSY"): 30, ("LOAD", "EMPTY"): 60}, 0.3, "queue empty"),
    "a port": ({("STORE", "BUSY"): 30, ("STORE", "PORT"): 60}, 0.3, "memory port"),
    "idle nowhere, so far as it is known": ({("LOAD", "BUSY"): 30}, 0.1, "DRAM bandwidth"),
}


@pytest.mark.parametrize("name", CASES)
def test_bound(name: str) -> None:
    spent, dram_use, expected = CASES[name]
    buckets = np.zeros((len(Engine), len(Bucket)), np.int64)
    for (engine, bucket), cycles in spent.items():
        buckets[Engine[engine], Bucket[bucket]] = cycles
    assert bound_of(buckets, 100, dram_use) == expected


def test_every_bucket_has_a_name() -> None:
    assert set(NAMES) == set(Bucket)
    assert len(set(NAMES.values())) == len(Bucket)
