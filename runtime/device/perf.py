"""Backend `perf`: the cycle model. It has no data: DRAM stays as it was, nothing is kept of it."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from jacquard.proto.lib.arch import Arch
from jacquard.runtime.device.base import Checkpoint, DeviceResult, Progress
from jacquard.sim.perf.machine import CycleModel


class PerfDevice:
    """Times programs on sim/perf."""

    name = "perf"

    def __init__(self, arch: Arch) -> None:
        self._arch = arch

    def fingerprint(self) -> int:
        return self._arch.fingerprint

    def allocate(self, size_bytes: int) -> np.ndarray:
        """See base.Device."""
        return np.zeros(size_bytes, np.uint8)

    def run(
        self,
        image: np.ndarray,
        program_address: int,
        args: tuple[int, ...],
        checkpoints: list[Checkpoint],
        progress: Callable[[Progress], None] | None,
    ) -> DeviceResult:
        """See base.Device. The code is read from the image, which is not changed."""
        del checkpoints, progress  # no data; and it is over before one could look
        started = time.monotonic()
        model = CycleModel(image[program_address:])
        result = model.run(self._arch, args, program_address, image)
        return DeviceResult(
            status=result.status,
            error_index=result.error_index,
            cycles=result.cycles,
            counters=result.counters,
            dram_read_bytes=result.fetch_bytes + result.load_bytes,
            dram_write_bytes=result.store_bytes,
            done_cycles=result.done_cycles,
            start_cycles=result.start_cycles,
            snapshots=[],
            seconds=time.monotonic() - started,
            has_data=False,
            instruction_buckets=result.instruction_buckets,
        )
