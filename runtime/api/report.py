"""Builds report.proto from a run, and prints it.

Roofline and layer floor are defined in docs/performance.md; the floors per layer come with the
program, whose compiler knows the tiling-independent minimum of each.
"""

from __future__ import annotations

import json
import pathlib
import resource

import numpy as np
from google.protobuf import json_format

from jacquard.compiler.checker import table
from jacquard.compiler.checker.traffic import traffic
from jacquard.proto import program_pb2 as pb
from jacquard.proto import report_pb2
from jacquard.proto.lib.arch import Arch
from jacquard.proto.npu_isa import INSTRUCTIONS, Bucket, Engine
from jacquard.runtime.api.files import write_whole
from jacquard.runtime.api.instructions import opcodes
from jacquard.runtime.device.base import DeviceResult
from jacquard.sim.timing import layers
from jacquard.sim.timing.bounds import roofline_cycles
from jacquard.sim.timing.startup import Startup, startups


def program_roofline_cycles(program: pb.Program, arch: Arch) -> int:
    """Roofline of the whole run; compulsory bytes are constants, inputs, outputs and
    states, each once.

    Of a table only the rows are read that indices name: nothing is compulsory beyond what the
    layers read.
    """
    macs = sum(layer.macs for layer in program.layers)
    reads = sum(len(segment.data) for segment in program.segments)
    reads += sum(tensor.size_bytes for tensor in (*program.inputs, *program.states))
    done = sum(layer.dram_read_bytes for layer in program.layers)
    writes = sum(tensor.size_bytes for tensor in program.outputs)
    return roofline_cycles(macs, (min(reads, done) if done else reads) + writes, arch)


def layer_cycles(program: pb.Program, result: DeviceResult) -> list[int]:
    """Cycles per layer (sim/timing/layers.py); 0 where the backend has no time."""
    if result.done_cycles is None:
        return [0] * len(program.layers)
    return layers.layer_cycles(program.layers, result.done_cycles)


def layer_buckets(program: pb.Program, result: DeviceResult) -> np.ndarray | None:
    """int64[layers, engines, buckets], or None where the backend has no time.

    Of each engine: since its last instruction before the layer had finished, until its own last one
    of this layer had. What follows an engine's last instruction of the run is in no layer.
    """
    if result.instruction_buckets is None:
        return None
    codes = np.array(opcodes(program.code))
    found = np.zeros((len(program.layers), len(Engine), len(Bucket)), np.int64)
    for number, layer in enumerate(program.layers):
        span = slice(layer.first_instruction, layer.end_instruction)
        for kind in INSTRUCTIONS:
            if kind.ENGINE is not None:
                own = result.instruction_buckets[span][codes[span] == kind.OPCODE]
                found[number, kind.ENGINE] += own.sum(axis=0)
    return found


def layer_startups(program: pb.Program, result: DeviceResult) -> list[Startup]:
    """Per layer (sim/timing/startup.py); 0 where the backend has no time."""
    if result.done_cycles is None or result.instruction_buckets is None:
        return [Startup()] * len(program.layers)
    assert result.start_cycles is not None
    return startups(
        program.layers,
        table.read(program.code).engine,
        result.start_cycles,
        result.done_cycles,
        result.instruction_buckets,
    )


def engine_cycles(buckets: np.ndarray) -> report_pb2.EngineCycles:
    """int64[buckets] as a message."""
    return report_pb2.EngineCycles(**{b.name.lower(): int(buckets[b]) for b in Bucket})


def build_report(
    program: pb.Program, arch: Arch, backend: str, result: DeviceResult
) -> report_pb2.Report:
    """What the run itself says; comparisons and times are added by the caller."""
    multipliers = arch.rows * arch.cols

    def utilization(macs: int, cycles: int) -> float:
        return macs / (cycles * multipliers) if cycles else 0.0

    macs = sum(layer.macs for layer in program.layers)
    report = report_pb2.Report(
        model=program.model,
        config=program.config,
        backend=backend,
        fingerprint=f"{program.fingerprint:016x}",
        macs=macs,
        cycles=result.cycles,
        array_utilization=utilization(macs, result.cycles),
        roofline_cycles=program_roofline_cycles(program, arch),
        layer_floor_cycles=sum(layer.floor_cycles for layer in program.layers),
        dram_read_bytes=result.dram_read_bytes,
        dram_write_bytes=result.dram_write_bytes,
        wall_seconds=result.seconds,
        simulated_hz=result.cycles / result.seconds if result.seconds else 0.0,
        peak_rss_bytes=peak_rss_bytes(),
        host_nodes=[f"{n.name}: {n.op}: {n.reason}" for n in program.host_nodes],
    )
    for engine in Engine:
        report.engines[engine.name].CopyFrom(engine_cycles(result.counters[engine]))
    moved = traffic(program)
    plan = program.memory_plan
    report.memory.CopyFrom(
        report_pb2.MemoryReport(
            naive_bytes=plan.naive_bytes,
            lower_bound_bytes=plan.lower_bound_bytes,
            greedy_bytes=plan.greedy_bytes,
            planned_bytes=plan.planned_bytes,
            spilled_bytes=sum(moved.spilled),
            refetched_bytes=sum(moved.refetched),
            other_refetched_bytes=moved.other_refetched,
        )
    )
    buckets, startup = layer_buckets(program, result), layer_startups(program, result)
    for number, cycles in enumerate(layer_cycles(program, result)):
        layer = program.layers[number]
        made = report.layers.add(
            name=layer.name,
            op=layer.op,
            cycles=cycles,
            macs=layer.macs,
            dram_read_bytes=layer.dram_read_bytes,
            dram_write_bytes=layer.dram_write_bytes,
            array_utilization=utilization(layer.macs, cycles),
            floor_cycles=layer.floor_cycles,
            spilled_bytes=moved.spilled[number],
            refetched_bytes=moved.refetched[number],
            startup_cycles=startup[number].cycles,
            matrix_idle_cycles=startup[number].idle,
        )
        if buckets is not None:
            for engine in Engine:
                made.engines[engine.name].CopyFrom(engine_cycles(buckets[number, engine]))
    return report


def peak_rss_bytes() -> int:
    """Largest resident size of this process and of the largest process it waited for."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(own, children) * 1024


def write_report(report: report_pb2.Report | report_pb2.Generation, path: pathlib.Path) -> None:
    """JSON with the field names of report.proto; whole or not at all. 64-bit numbers as numbers."""
    tree = json_format.MessageToDict(
        report, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    write_whole(path, json.dumps(_numbers(tree), indent=1) + "\n")


_TEXT_FIELDS = {
    field.name
    for message in report_pb2.DESCRIPTOR.message_types_by_name.values()
    for field in message.fields
    if field.type == field.TYPE_STRING
}


def _numbers(tree: object, key: str = "") -> object:
    """protobuf's JSON writes 64-bit integers as strings; a reader of reports wants numbers."""
    if isinstance(tree, dict):
        return {k: _numbers(v, k) for k, v in tree.items()}
    if isinstance(tree, list):
        return [_numbers(v, key) for v in tree]
    if isinstance(tree, str) and key not in _TEXT_FIELDS and tree.isdigit():
        return int(tree)
    return tree
