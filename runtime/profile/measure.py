"""What a run says about speed: a Profile per layer and engine, from the result of any backend.

In: a Program and its DeviceResult (with times: of rtl or perf). Out: plain numbers that the page,
the trace and the report are made from, so that the three agree.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from jacquard.compiler.checker import table
from jacquard.compiler.checker.traffic import traffic
from jacquard.proto import npu_isa
from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.arch import Arch
from jacquard.proto.lib.errors import UserError
from jacquard.proto.npu_isa import Bucket, Engine
from jacquard.runtime.api.report import (
    layer_buckets,
    layer_startups,
    program_roofline_cycles,
)
from jacquard.runtime.device.base import DeviceResult
from jacquard.runtime.profile.bound import bound_of
from jacquard.sim.timing.layers import layer_cycles
from jacquard.sim.timing.startup import Startup


class NothingToShow(UserError):
    """A run without times, or of a program without layers."""


@dataclasses.dataclass(frozen=True)
class LayerProfile:
    """One layer. `buckets`: int64[engines, buckets]; `*_use` are shares of its cycles, 0 to 1.

    `relief`: cycles of this layer on a relieved machine, by the name of the relief.
    """

    name: str
    op: str
    cycles: int
    floor_cycles: int
    macs: int
    read_bytes: int
    write_bytes: int
    spilled_bytes: int  # as compiler/checker/traffic.py counts both
    refetched_bytes: int
    startup: Startup
    buckets: np.ndarray
    array_use: float  # MACs done of those that the array could have done
    matrix_use: float  # cycles in which MATRIX moved
    vector_use: float
    dram_use: float  # bytes moved of those that the bus could have moved
    bound: str
    relief: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Relief:
    """A machine with one thing better, or (`problem`) why there is none; cycles are then 0."""

    name: str
    what: str
    cycles: int
    problem: str = ""


@dataclasses.dataclass(frozen=True)
class Spans:
    """Instructions in the order in which they finished, each an entry of the arrays.

    An instruction has its engine to itself from `begin` (the one before it had finished, or it left
    its queue, whichever was later) to `done`; `idle_from` is when the one before had finished.
    """

    engine: np.ndarray  # int64[n], Engine
    index: np.ndarray  # in the program
    layer: np.ndarray  # number, -1 outside of all
    idle_from: np.ndarray  # cycles
    begin: np.ndarray
    done: np.ndarray
    buckets: np.ndarray  # int64[n, buckets], add up to done - idle_from
    bytes: np.ndarray  # to or from DRAM


@dataclasses.dataclass(frozen=True)
class Profile:
    """A run. Where `problem` is set, it gave no times and everything about them is empty."""

    model: str
    config: str
    backend: str
    timed_by: str  # the backend that gave the cycles: func has none and takes those of perf
    arch: Arch
    cycles: int
    roofline_cycles: int
    macs: int
    read_bytes: int
    write_bytes: int
    counters: np.ndarray  # int64[engines, buckets]
    layers: tuple[LayerProfile, ...]
    spans: Spans
    memory_plan: pb.MemoryPlan
    base_cycles: int = 0  # of the cycle model, which all reliefs are compared with
    reliefs: tuple[Relief, ...] = ()
    instructions: int = 0
    problem: str = ""

    @property
    def floor_cycles(self) -> int:
        return sum(layer.floor_cycles for layer in self.layers)


def measure(
    program: pb.Program, arch: Arch, backend: str, timed_by: str, result: DeviceResult
) -> Profile:
    """The profile of a run, without reliefs.

    Raises NothingToShow where the result has no times or the program no layers.
    """
    buckets = layer_buckets(program, result)
    if buckets is None or result.done_cycles is None or result.cycles == 0:
        raise NothingToShow(
            f"profile {program.model}: the run must have times, got none of {timed_by}; "
            "use --backend rtl or perf"
        )
    if not program.layers:
        raise NothingToShow(f"profile {program.model}: the program must have layers, got none")
    layers, moved, startup = [], traffic(program), layer_startups(program, result)
    for number, cycles in enumerate(layer_cycles(program.layers, result.done_cycles)):
        layer = program.layers[number]
        twice = moved.spilled[number], moved.refetched[number]
        layers.append(_layer(layer, cycles, twice, startup[number], buckets[number], arch))
    return Profile(
        model=program.model,
        config=arch.name,
        backend=backend,
        timed_by=timed_by,
        arch=arch,
        cycles=result.cycles,
        roofline_cycles=program_roofline_cycles(program, arch),
        macs=sum(layer.macs for layer in program.layers),
        read_bytes=result.dram_read_bytes,
        write_bytes=result.dram_write_bytes,
        counters=result.counters,
        layers=tuple(layers),
        spans=_spans(program, arch, result),
        memory_plan=program.memory_plan,
        instructions=program.instruction_count,
    )


def failed(program: pb.Program, arch: Arch, backend: str, problem: str) -> Profile:
    """The profile of a run that gave nothing to show, and why."""
    none = np.zeros(0, np.int64)
    buckets = np.zeros((0, len(Bucket)), np.int64)
    return Profile(
        model=program.model,
        config=arch.name,
        backend=backend,
        timed_by=backend,
        arch=arch,
        cycles=0,
        roofline_cycles=0,
        macs=0,
        read_bytes=0,
        write_bytes=0,
        counters=np.zeros((len(Engine), len(Bucket)), np.int64),
        layers=(),
        spans=Spans(none, none, none, none, none, none, buckets, none),
        memory_plan=program.memory_plan,
        instructions=program.instruction_count,
        problem=problem,
    )


def _layer(
    layer: pb.Layer,
    cycles: int,
    twice: tuple[int, int],
    startup: Startup,
    buckets: np.ndarray,
    arch: Arch,
) -> LayerProfile:
    moved = layer.dram_read_bytes + layer.dram_write_bytes
    window = max(cycles, 1)
    array_use = layer.macs / (window * arch.rows * arch.cols)
    dram_use = moved / (window * arch.bytes_per_cycle)
    busy = buckets[:, Bucket.BUSY] / window
    return LayerProfile(
        name=layer.name,
        op=layer.op,
        cycles=cycles,
        floor_cycles=layer.floor_cycles,
        macs=layer.macs,
        read_bytes=layer.dram_read_bytes,
        write_bytes=layer.dram_write_bytes,
        spilled_bytes=twice[0],
        refetched_bytes=twice[1],
        startup=startup,
        buckets=buckets,
        array_use=array_use,
        matrix_use=float(busy[Engine.MATRIX]),
        vector_use=float(busy[Engine.VECTOR]),
        dram_use=dram_use,
        bound=bound_of(buckets, cycles, dram_use),
        relief={},
    )


def _spans(program: pb.Program, arch: Arch, result: DeviceResult) -> Spans:
    """Every instruction that an engine ran, sorted by the end of its run."""
    assert result.done_cycles is not None and result.start_cycles is not None
    assert result.instruction_buckets is not None
    code = table.read(program.code)
    engine = code.engine
    layer = np.full(len(engine), -1)
    for number, item in enumerate(program.layers):
        layer[item.first_instruction : item.end_instruction] = number
    index = np.flatnonzero(engine >= 0)
    index = index[np.argsort(result.done_cycles[index], kind="stable")]
    done = result.done_cycles[index]
    spent = result.instruction_buckets[index]
    idle_from = done - spent.sum(axis=1)
    return Spans(
        engine=engine[index],
        index=index,
        layer=layer[index],
        idle_from=idle_from,
        begin=np.maximum(idle_from, result.start_cycles[index]),
        done=done,
        buckets=spent,
        bytes=_dram_bytes(code)[index],
    )


def _dram_bytes(code: table.Code) -> np.ndarray:
    """int64[instructions]: bytes that LOADs read and STOREs write, 0 for others."""
    found = np.zeros(len(code), np.int64)
    store, load = code.tables[npu_isa.Store], code.tables[npu_isa.Load]
    found[store.index] = store["n0"] * store["n1"] * store["n2"] * store["n3"]
    run = load["n0"] - load["before0"] - load["after0"]
    runs = (load["n1"] - load["before1"] - load["after1"]) * load["n2"] * load["n3"]
    found[load.index] = run * runs + 4 * load["n1"] * load["gather"]
    return found
