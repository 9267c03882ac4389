"""Device memory: what shares a place, what is copied once, what is counted."""

from __future__ import annotations

import numpy as np
import pytest

from jacquard.proto import program_pb2 as pb
from jacquard.runtime.api.memory import DeviceMemory
from jacquard.runtime.api.program import PAGE_BYTES

WEIGHTS = bytes(range(1, 201)) * 50


class Ram:
    """Memory, and nothing that runs in it."""

    name = "ram"

    def allocate(self, size_bytes: int) -> np.ndarray:
        return np.zeros(size_bytes, np.uint8)


def program(code: bytes, weights: bytes, constants: bytes, scratch: int, rows: int) -> pb.Program:
    made = pb.Program(model=code.decode(), code=code)
    for kind, name, arg, data, size in (
        (pb.Segment.CONSTANT, "constants", 1, constants, len(constants)),
        (pb.Segment.SCRATCH, "scratch", 2, b"", scratch),
        (pb.Segment.STATE, "cache", 3, b"", rows * 8),
        (pb.Segment.WEIGHTS, "weights", 4, weights, len(weights)),
    ):
        made.segments.add(kind=kind, name=name, arg=arg, data=data, size_bytes=size)
    return made


PREFILL = program(b"prefill", WEIGHTS[:-300], b"p" * 10, 9000, 4)
SMALL = program(b"small", WEIGHTS, b"d" * 10, 500, 600)
LARGE = program(b"large", WEIGHTS, b"l" * 10, 600, 1200)


def test_one_place_for_weights_activations_and_states() -> None:
    memory = DeviceMemory([PREFILL, SMALL, LARGE], Ram())
    first, small, large = (memory.placement(p) for p in (PREFILL, SMALL, LARGE))
    for name in ("weights", "scratch", "cache"):
        assert len({p.segments[name] for p in (first, small, large)}) == 1
    assert len({p.segments["constants"] for p in (first, small, large)}) == 3
    assert first.args[1:5] == tuple(
        first.segments[name] for name in ("constants", "scratch", "cache", "weights")
    )
    pages = sorted(
        (at, size)
        for p, held in ((PREFILL, first), (SMALL, small), (LARGE, large))
        for at, size in [
            (held.program_address, len(p.code)),
            *((held.segments[s.name], s.size_bytes) for s in p.segments),
        ]
    )
    ends: dict[int, int] = {}
    for at, size in pages:
        assert at % PAGE_BYTES == 0 and at > 0
        ends[at] = max(ends.get(at, 0), at + size)
    starts = sorted(ends)
    assert all(ends[a] <= b for a, b in zip(starts, starts[1:], strict=False))
    assert max(ends.values()) <= memory.image.size


def test_weights_are_copied_once() -> None:
    memory = DeviceMemory([PREFILL, SMALL, LARGE], Ram())
    codes = sum(len(p.code) for p in (PREFILL, SMALL, LARGE))
    assert memory.loaded_bytes == codes + 3 * 10 + len(WEIGHTS)
    for p in (PREFILL, SMALL, LARGE):
        placement = memory.placement(p)
        for s in p.segments:
            at = placement.segments[s.name]
            assert memory.image[at : at + len(s.data)].tobytes() == s.data
        assert memory.image[placement.program_address :][: len(p.code)].tobytes() == p.code
    assert (memory.to_device_bytes, memory.from_device_bytes) == (0, 0)


def test_other_weights_have_their_own_place() -> None:
    other = program(b"other", b"\0" + WEIGHTS[1:], b"o" * 10, 100, 4)
    memory = DeviceMemory([SMALL, other], Ram())
    places = {memory.placement(p).segments["weights"] for p in (SMALL, other)}
    assert len(places) == 2


def test_bytes_are_counted() -> None:
    memory = DeviceMemory([SMALL], Ram())
    memory.write(8192, np.arange(12, dtype=np.uint8).reshape(3, 4), row_bytes=10)
    assert memory.image[8192:8216].tolist() == [
        0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 4, 5, 6, 7, 0, 0, 0, 0, 0, 0, 8, 9, 10, 11,
    ]
    assert memory.read(8193, (2, 3), row_bytes=10).tolist() == [[1, 2, 3], [5, 6, 7]]
    memory.write(8192, np.full(5, 9, np.uint8))
    assert memory.read(8196, (3,)).tolist() == [9, 0, 0]
    assert (memory.to_device_bytes, memory.from_device_bytes) == (17, 9)


def test_a_program_of_another_memory() -> None:
    with pytest.raises(ValueError, match="program large: must be one of those"):
        DeviceMemory([SMALL], Ram()).placement(LARGE)
