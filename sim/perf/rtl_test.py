"""Random programs on the cycle model and in RTL: the same cycle everywhere, without tolerance."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from jacquard.proto.lib.arch import config_names, load_config
from jacquard.sim.cosim.program import Generator
from jacquard.sim.perf.machine import CycleModel
from jacquard.sim.rtl import harness

_PROGRAMS = 150
_LATENCIES = (100, 20, 3, 37)
_BINARIES = {name: Path(f"sim/rtl/npu_sim_{name}").absolute() for name in config_names()}
_CONFIGS = [name for name, binary in _BINARIES.items() if binary.exists()]
assert _CONFIGS, "this test needs the RTL simulator of a configuration"


@pytest.mark.parametrize("config", _CONFIGS)
def test_every_instruction_starts_and_ends_in_the_cycle_of_rtl(config: str, tmp_path: Path) -> None:
    arch = load_config(config)
    generator = Generator(arch, fault_rate=0)
    programs = [generator.program(seed) for seed in range(_PROGRAMS)]
    with (tmp_path / "images").open("wb") as images:
        for program in programs:
            images.write(program.dram.tobytes())
    jobs = [
        harness.Job(
            name=str(program.seed),
            image_path=tmp_path / "images",
            image_bytes=program.dram.size,
            image_offset=number * program.dram.size,
            program=program.address,
            args=program.args[1:],
            max_cycles=1_000_000,
            latency_cycles=_LATENCIES[number % len(_LATENCIES)],
            trace_path=tmp_path / f"trace{number}",
        )
        for number, program in enumerate(programs)
    ]
    results = harness.run_jobs(_BINARIES[config], jobs)
    different = []
    for program, job, result in zip(programs, jobs, results, strict=True):
        assert job.latency_cycles and job.trace_path
        machine = dataclasses.replace(arch, latency_cycles=job.latency_cycles)
        told = CycleModel(program.dram[program.address :]).run(
            machine, program.args, program.address, program.dram
        )
        assert (result.finished, result.status) == (True, 0)
        trace = harness.read_trace(job.trace_path)
        assert len(trace) == told.instruction_buckets.shape[0] - 1  # all but `end`
        agrees = (
            told.status == 0
            and told.cycles == result.cycles
            and np.array_equal(told.counters, result.counters)
            and (told.fetch_bytes, told.load_bytes, told.store_bytes)
            == (result.fetch_bytes, result.load_bytes, result.store_bytes)
            and all(
                (
                    told.start_cycles[e.index],
                    told.done_cycles[e.index],
                    *told.instruction_buckets[e.index],
                )
                == (e.start_cycle, e.done_cycle, *e.buckets)
                for e in trace
            )
        )
        if not agrees:
            different.append(f"seed {program.seed}: {told.cycles} cycles, RTL {result.cycles}")
    assert not different, "\n".join(different)
