"""What a device backend is: something that holds a DRAM image and runs a program in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol

import numpy as np


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Copy `size` DRAM bytes at `address` when instruction `instruction` has finished."""

    instruction: int
    address: int
    size: int


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a run is. cycle is 0 where the backend has no time."""

    instruction: int
    cycle: int


@dataclasses.dataclass(frozen=True)
class DeviceResult:
    """What a run gave. Cycles and byte counts are 0 where the backend does not know them."""

    status: int  # jacquard.proto.npu_isa.Error
    error_index: int
    cycles: int
    counters: np.ndarray  # int64[engines, buckets]
    dram_read_bytes: int
    dram_write_bytes: int
    done_cycles: np.ndarray | None  # int64[instruction_count], cycle at which each finished
    start_cycles: np.ndarray | None
    snapshots: list[np.ndarray]  # uint8[size] per checkpoint
    seconds: float
    has_data: bool = True  # False: times alone; DRAM is as before, and there are no snapshots
    # int64[instruction_count, buckets]: how the instruction's engine spent the cycles since the one
    # before it (of the same engine) had finished. What follows an engine's last is in none of them.
    instruction_buckets: np.ndarray | None = None


class Device(Protocol):
    """A backend. `name` is what the command line calls it."""

    name: str

    def fingerprint(self) -> int:
        """64-bit fingerprint of instruction set and configuration."""
        ...

    def allocate(self, size_bytes: int) -> np.ndarray:
        """Zeros, uint8[size_bytes]: DRAM for `run`, which may be kept from run to run."""
        ...

    def run(
        self,
        image: np.ndarray,
        program_address: int,
        args: tuple[int, ...],
        checkpoints: list[Checkpoint],
        progress: Callable[[Progress], None] | None,
    ) -> DeviceResult:
        """Runs the program in a DRAM image of `allocate`, which changes in place."""
        ...
