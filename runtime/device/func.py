"""Backend `func`: the functional simulator. It has no time, so cycles and counters are 0."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jacquard.proto.lib.arch import Arch
from jacquard.proto.npu_isa import Bucket, Engine
from jacquard.runtime.device.base import Checkpoint, DeviceResult, Progress
from jacquard.sim.func.machine import Machine


class FuncDevice:
    """Runs programs on sim/func."""

    name = "func"

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
        """See base.Device."""
        tell = None if progress is None else lambda index: progress(Progress(index, 0))
        result = Machine(self._arch, image).run(program_address, args, checkpoints, tell)
        return DeviceResult(
            status=result.status,
            error_index=result.error_index,
            cycles=0,
            counters=np.zeros((len(Engine), len(Bucket)), np.int64),
            dram_read_bytes=0,
            dram_write_bytes=0,
            done_cycles=None,
            start_cycles=None,
            snapshots=result.snapshots,
            seconds=result.seconds,
        )
