"""Runs random programs in RTL, many in a process, and collects where it differs from sim/func."""

from __future__ import annotations

import collections
import dataclasses
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch
from jacquard.sim.cosim.compare import Outcome, difference, expect, listing
from jacquard.sim.cosim.program import FAULT_RATE, Generator, RandomProgram
from jacquard.sim.rtl import harness

_BATCH_BYTES = 40 << 20  # of DRAM images in one process's file
_HANG_CYCLES = 100_000  # on top of the watchdog's


@dataclasses.dataclass
class Summary:
    """What was compared. failures: texts of programs that differed, as many as asked for."""

    programs: int = 0
    failed: int = 0
    cycles: int = 0
    statuses: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    failures: list[str] = dataclasses.field(default_factory=list)

    def text(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.statuses.items()))
        return (
            f"{self.programs} programs, {self.cycles} cycles ({counts}): {self.failed} differ\n"
            + "".join(f"{failure}\n" for failure in self.failures)
        )


def pressure(program: RandomProgram) -> tuple[int, int]:
    """DRAM of a program's run: percent of cycles held back, and latency in cycles."""
    rng = random.Random(f"pressure {program.seed}")
    return rng.choice((0, 0, 10, 40, 80)), rng.choice((100, 100, 20, 3))


def _job(
    arch: Arch, program: RandomProgram, images: Path, place: int, trace: Path | None
) -> harness.Job:
    stall, latency = pressure(program)
    return harness.Job(
        name=str(program.seed),
        image_path=images,
        image_bytes=program.dram.size,
        image_offset=place * program.dram.size,
        program=program.address,
        args=program.args[1:],
        max_cycles=arch.watchdog_cycles + _HANG_CYCLES,
        latency_cycles=latency,
        stall_percent=stall,
        seed=program.seed + 1,
        trace_path=trace,
        # Mostly on the machine as the program before left it, tokens, errors and all.
        keep=place > 0 and program.seed % 8 != 0,
    )


def _run(
    binary: Path, arch: Arch, programs: Sequence[RandomProgram], folder: Path, trace: bool
) -> Iterator[tuple[Outcome, str]]:
    """Outcomes in order, each with what is wrong beside results (empty if nothing)."""
    images = folder / "images"
    with images.open("wb") as out:
        for program in programs:
            out.write(program.dram.tobytes())
    trace_path = folder / "trace" if trace else None
    jobs = [_job(arch, p, images, n, trace_path) for n, p in enumerate(programs)]
    memory = np.memmap(images, np.uint8, "r", shape=(len(programs), programs[0].dram.size))
    for number, result in enumerate(harness.stream_jobs(binary, jobs)):
        done = None
        if trace_path is not None:
            done = np.full(len(programs[number].instructions), -1, np.int64)
            for event in harness.read_trace(trace_path):
                if event.index < len(done):
                    done[event.index] = event.done_cycle
        dram = np.array(memory[number])
        yield (
            Outcome(result.status, result.error_index, dram, result.cycles, done),
            _complaint(result),
        )


def _complaint(result: harness.JobResult) -> str:
    if not result.finished:
        return f"not done after {result.cycles} cycles"
    if result.violation:
        return result.violation
    for engine, counters in zip(isa.Engine, result.counters, strict=True):
        if sum(counters) != result.cycles:
            return f"buckets of {engine.name} add up to {sum(counters)} of {result.cycles} cycles"
    return ""


def _failure(arch: Arch, program: RandomProgram, outcome: Outcome, complaint: str) -> str | None:
    text = difference(arch, program, expect(arch, program), outcome)
    if complaint:
        text = f"{program.config} seed {program.seed}: {complaint}" + (f"\n{text}" if text else "")
    return text


def compare(
    binary: Path,
    arch: Arch,
    seeds: range,
    fault_rate: float = FAULT_RATE,
    most_failures: int = 5,
    dump: Callable[[str], None] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Summary:
    """Runs the programs of the seeds in RTL and compares each with sim/func.

    Args:
      binary: sim/rtl's npu_sim of the configuration.
      fault_rate: share of programs that carry one error.
      most_failures: how many are described; they are run again with a trace, to name cycles.
      dump: called with the listing of each program, as it ran.
      progress: called with the number of programs done.

    Raises:
      UserError: the binary cannot be run.
    """
    generator = Generator(arch, fault_rate)
    summary = Summary()
    batch = _BATCH_BYTES // generator.layout.size_bytes
    for first in range(0, len(seeds), batch):
        programs = [generator.program(seed) for seed in seeds[first : first + batch]]
        with tempfile.TemporaryDirectory(prefix="npu_cosim_") as folder:
            outcomes = _run(binary, arch, programs, Path(folder), trace=dump is not None)
            for program, (outcome, complaint) in zip(programs, outcomes, strict=True):
                if dump is not None:
                    dump(listing(program, outcome))
                summary.programs += 1
                summary.cycles += outcome.cycles
                summary.statuses[_name(outcome.status)] += 1
                failure = _failure(arch, program, outcome, complaint)
                if failure is None:
                    continue
                summary.failed += 1
                if len(summary.failures) < most_failures:
                    alone = _again(binary, arch, program)
                    company = "\n  Alone it agrees: it must follow the programs before it."
                    summary.failures.append(alone or failure + company)
        if progress is not None:
            progress(summary.programs)
    return summary


def _again(binary: Path, arch: Arch, program: RandomProgram) -> str | None:
    """The failure with cycles in it, and how to repeat it; None if it agrees when run alone."""
    with tempfile.TemporaryDirectory(prefix="npu_cosim_") as folder:
        ((outcome, complaint),) = _run(binary, arch, [program], Path(folder), trace=True)
    text = _failure(arch, program, outcome, complaint)
    if text is None:
        return None
    stall, latency = pressure(program)
    return (
        f"{text}\n  DRAM held back {stall} %, latency {latency}; again: "
        f"python -m jacquard.sim.cosim.main --config {arch.name} --seed {program.seed} --count 1 "
        "--dump"
    )


def _name(status: int) -> str:
    return isa.Error(status).name if status in list(isa.Error) else f"status {status}"
