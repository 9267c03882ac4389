"""Backend `rtl`: the Verilated chip. DRAM is a file that this process and the simulator map."""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile
import weakref
from collections.abc import Callable

import numpy as np

from jacquard.proto import npu_isa
from jacquard.proto.lib.arch import Arch
from jacquard.proto.lib.errors import UserError
from jacquard.runtime.device.base import Checkpoint, DeviceResult, Progress
from jacquard.runtime.device.files import repo_file
from jacquard.sim.rtl import harness

# A safety net only: the machine's own watchdog ends a run that makes no progress.
MAX_CYCLES = 2_000_000_000
PROGRESS_HZ = 5.0
_BUCKETS = len(npu_isa.Bucket)
_TRACE = np.dtype(
    [
        ("engine", "<u4"),
        ("index", "<u4"),
        ("start", "<u8"),
        ("done", "<u8"),
        ("buckets", "<u4", (_BUCKETS,)),
    ]
)


class RtlDevice:
    """Runs programs on sim/rtl."""

    name = "rtl"

    def __init__(self, arch: Arch, simulator: str | None = None) -> None:
        """simulator: path of the binary; by default the one built for this configuration."""
        self._arch = arch
        try:
            self._binary = pathlib.Path(
                simulator or repo_file(f"sim/rtl/npu_sim_{arch.name}")
            ).absolute()
        except UserError as error:
            raise UserError(
                f"config {arch.name}: has no RTL simulator in this build; use --backend func, or "
                "add the configuration to proto/configs.bzl"
            ) from error
        if not os.access(self._binary, os.X_OK) or self._binary.is_dir():
            raise UserError(
                f"--simulator {self._binary}: must be a program, got none; check the path"
            )

    def fingerprint(self) -> int:
        """Read from the chip's register, after a program of one `end`."""
        image = self.allocate(4096)
        code = npu_isa.encode_program([npu_isa.End()])
        image[: len(code)] = np.frombuffer(code, np.uint8)
        with tempfile.TemporaryDirectory(prefix="jacquard_") as folder:
            result = self._run(pathlib.Path(folder), image, 0, (0,) * 8, (), None)
        return result.fingerprint

    def allocate(self, size_bytes: int) -> np.ndarray:
        """See base.Device. The file is gone with the array."""
        folder = tempfile.mkdtemp(prefix="jacquard_")
        image = np.memmap(pathlib.Path(folder) / "dram", np.uint8, "w+", shape=(size_bytes,))
        weakref.finalize(image, shutil.rmtree, folder, ignore_errors=True)
        return image

    def run(
        self,
        image: np.ndarray,
        program_address: int,
        args: tuple[int, ...],
        checkpoints: list[Checkpoint],
        progress: Callable[[Progress], None] | None,
    ) -> DeviceResult:
        """See base.Device."""
        points, top = [], 0
        for point in checkpoints:
            points.append(harness.Checkpoint(point.instruction, point.address, point.size, top))
            top += point.size
        with tempfile.TemporaryDirectory(prefix="jacquard_") as name:
            folder = pathlib.Path(name)
            result = self._run(folder, image, program_address, args, tuple(points), progress)
            dump = np.fromfile(folder / "dump", np.uint8) if points else np.zeros(0, np.uint8)
            trace = np.fromfile(folder / "trace", _TRACE)
        count = int(trace["index"].max()) + 2 if len(trace) else 1
        start, done = np.zeros(count, np.int64), np.zeros(count, np.int64)
        start[trace["index"]], done[trace["index"]] = trace["start"], trace["done"]
        buckets = np.zeros((count, _BUCKETS), np.int64)
        buckets[trace["index"]] = trace["buckets"]
        return DeviceResult(
            status=result.status,
            error_index=result.error_index,
            cycles=result.cycles,
            counters=np.array(result.counters, np.int64),
            dram_read_bytes=result.fetch_bytes + result.load_bytes,
            dram_write_bytes=result.store_bytes,
            done_cycles=done,
            start_cycles=start,
            snapshots=[dump[p.dump_offset : p.dump_offset + p.size_bytes] for p in points],
            seconds=result.wall_seconds,
            instruction_buckets=buckets,
        )

    def _run(
        self,
        folder: pathlib.Path,
        image: np.ndarray,
        program_address: int,
        args: tuple[int, ...],
        points: tuple[harness.Checkpoint, ...],
        progress: Callable[[Progress], None] | None,
    ) -> harness.JobResult:
        """Runs one job; `folder` is for its trace and dump."""
        if not isinstance(image, np.memmap) or image.filename is None:
            raise ValueError("image: must be what `allocate` gave")
        job = harness.Job(
            name=self._arch.name,
            image_path=pathlib.Path(image.filename),
            image_bytes=image.size,
            program=program_address,
            max_cycles=MAX_CYCLES,
            args=tuple(args[1:]),
            dump_path=folder / "dump" if points else None,
            checkpoints=tuple(sorted(points, key=lambda point: point.index)),
            trace_path=folder / "trace",
            progress_hz=PROGRESS_HZ if progress else 0.0,
        )
        tell = None
        if progress is not None:
            tell = lambda _, cycles, retired: progress(Progress(retired, cycles))  # noqa: E731
        result = harness.run_jobs(self._binary, [job], tell)[0]
        if result.violation:
            raise UserError(f"{self._binary}: the chip broke a rule: {result.violation}")
        if not result.finished:
            raise UserError(f"{self._binary}: no end after {MAX_CYCLES} cycles")
        return result
