"""Runs programs on the Verilated NPU: writes the job file, starts the binary, reads its results.

One process runs many jobs. DRAM contents lie in files that the binary maps and changes in place, so
a caller writes weights and inputs before and reads outputs after.
"""

import dataclasses
import json
import os
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from jacquard.proto.lib.errors import UserError
from jacquard.proto.npu_isa import Bucket, Engine

_TRACE_RECORD = struct.Struct(f"<2I2Q{len(Bucket)}I")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """When instruction `index` has finished, bytes of DRAM go to `dump_offset` of the dump file."""

    index: int
    address: int
    size_bytes: int
    dump_offset: int


@dataclasses.dataclass(frozen=True)
class Job:
    """One run. Addresses are DRAM addresses; the image is a part of a file.

    `stall_percent` above 0 adds back-pressure, variable latency and the latest legal writes and
    earliest legal reads, from `seed`. `error_address`: the beat there answers with an error.
    """

    name: str
    image_path: Path
    image_bytes: int
    program: int
    max_cycles: int
    args: tuple[int, ...] = ()  # argument registers 1, 2, ...
    image_offset: int = 0
    image_base: int = 0  # DRAM address of the image's first byte
    latency_cycles: int | None = None  # None: as the configuration says
    stall_percent: int = 0
    seed: int = 1
    error_address: int | None = None
    dump_path: Path | None = None
    checkpoints: tuple[Checkpoint, ...] = ()
    trace_path: Path | None = None
    progress_hz: float = 0.0
    keep: bool = False  # on the machine as the job before left it: no reset, memories kept


@dataclasses.dataclass(frozen=True)
class JobResult:
    """What the machine said. `status` is an error code of the instruction set, 0 for none.

    `finished` is false if max_cycles passed before done. `counters` are cycles per engine and
    bucket; each engine's add up to `cycles`. `violation`: a breach of AXI or a failed assertion.
    """

    name: str
    finished: bool
    status: int
    error_index: int
    fingerprint: int
    cycles: int
    counters: tuple[tuple[int, ...], ...]  # [engine][bucket]
    fetch_bytes: int  # of the bus, whole beats
    load_bytes: int
    store_bytes: int
    wall_seconds: float
    cpu_seconds: float  # of the simulator's thread; other processes do not show in it
    violation: str


@dataclasses.dataclass(frozen=True)
class TraceEvent:
    """One instruction: cycles since start when it left its queue and when it had finished.

    `buckets`: how its engine spent the cycles since the instruction before it had finished.
    """

    engine: int
    index: int
    start_cycle: int
    done_cycle: int
    buckets: tuple[int, ...]


Progress = Callable[[str, int, int], None]
"""Called with job name, cycles so far, index of the instruction that finished last."""


def run_jobs(binary: Path, jobs: Sequence[Job],
             progress: Progress | None = None) -> list[JobResult]:
    """Results in the order of `jobs`. Raises UserError if the binary fails or ends early."""
    return list(stream_jobs(binary, jobs, progress))


def stream_jobs(binary: Path, jobs: Sequence[Job],
                progress: Progress | None = None) -> Iterator[JobResult]:
    """As run_jobs, each result as soon as it is there."""
    with tempfile.TemporaryDirectory(prefix="npu_sim_") as folder:
        job_file = Path(folder) / "jobs.txt"
        job_file.write_text("".join(_job_text(number, job) for number, job in enumerate(jobs)))
        with open(Path(folder) / "stderr", "w+b") as errors:
            with subprocess.Popen([os.fspath(binary), os.fspath(job_file)], stdout=subprocess.PIPE,
                                  stderr=errors, text=True) as process:
                done = 0
                try:
                    assert process.stdout is not None
                    for line in process.stdout:
                        if not line.startswith("{"):  # an assertion's message
                            errors.write(line.encode())
                            continue
                        record = json.loads(line)
                        name = jobs[int(record["job"])].name
                        if "progress_cycles" in record:
                            if progress:
                                progress(name, record["progress_cycles"], record["retired"])
                            continue
                        done += 1
                        yield _result(name, record)
                except GeneratorExit:
                    process.kill()
                    raise
            if process.returncode or done != len(jobs):
                errors.seek(0)
                text = errors.read().decode(errors="replace").strip()
                raise UserError(f"{binary}: must run {len(jobs)} jobs, ran {done} and ended with "
                                f"status {process.returncode}: {text[-2000:] or 'no word'}; give a "
                                "simulator of this repository (//sim/rtl:npu_sim_<config>)")


def read_trace(path: Path) -> list[TraceEvent]:
    """The instructions of a run in the order in which they finished."""
    return [TraceEvent(*record[:4], record[4:])
            for record in _TRACE_RECORD.iter_unpack(path.read_bytes())]


def _job_text(number: int, job: Job) -> str:
    if len(job.args) > 7:
        raise UserError(f"job {job.name}: at most 7 arguments, got {len(job.args)}")
    lines = [
        f"job {number}",
        f"image {job.image_offset} {job.image_bytes} {job.image_base} {job.image_path}",
        f"program {job.program}",
        f"max_cycles {job.max_cycles}",
        f"stall {job.stall_percent} {job.seed}",
    ]
    lines += [f"arg {i} {value % 2**64}" for i, value in enumerate(job.args, start=1)]
    if job.latency_cycles is not None:
        lines.append(f"latency {job.latency_cycles}")
    if job.error_address is not None:
        lines.append(f"error_address {job.error_address}")
    if job.dump_path is not None:
        lines.append(f"dump {job.dump_path}")
    lines += [f"checkpoint {c.index} {c.address} {c.size_bytes} {c.dump_offset}"
              for c in job.checkpoints]
    if job.trace_path is not None:
        lines.append(f"trace {job.trace_path}")
    if job.keep:
        lines.append("keep")
    if job.progress_hz:
        lines.append(f"progress {job.progress_hz}")
    return "\n".join([*lines, "run"]) + "\n"


def _result(name: str, record: dict[str, object]) -> JobResult:
    flat = record["counters"]
    assert isinstance(flat, list)
    size = len(Bucket)
    counters = tuple(tuple(flat[e * size:(e + 1) * size]) for e in Engine)
    fields = {key: record[key] for key in (
        "finished", "status", "error_index", "fingerprint", "cycles", "fetch_bytes", "load_bytes",
        "store_bytes", "wall_seconds", "cpu_seconds", "violation")}
    return JobResult(name=name, counters=counters, **fields)  # type: ignore[arg-type]
