"""What a search found, written down: overrides as a textproto, a table of what they changed.

The textproto is what `compile` and `run` take with --overrides; both programs are compiled in full,
checked and timed once more for the table.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import onnx
from google.protobuf import text_format

from jacquard.compiler.main import CompileOptions, compile_model
from jacquard.compiler.overrides import CHOICES, SIZES, LayerOverride
from jacquard.compiler.tile.tiling import Plan, Tiled
from jacquard.proto import overrides_pb2
from jacquard.proto.lib.arch import Arch
from jacquard.runtime.api.files import write_whole
from jacquard.runtime.device.base import DeviceResult
from jacquard.runtime.profile.measure import LayerProfile, Profile, measure
from jacquard.runtime.tune.network import Network
from jacquard.runtime.tune.search import Found
from jacquard.sim.perf.machine import CycleModel

_HEADER = "# proto-file: proto/overrides.proto\n# proto-message: jacquard.Overrides\n"


@dataclasses.dataclass(frozen=True)
class Row:
    """Layers alike. Cycles are of all of them, from the end of the layer before to their own.

    Attributes:
      default, won: the mappings; equal where nothing better was found.
      floor_cycles: below which no tiling comes. bound: what bounds the first of them now.
    """

    layers: tuple[str, ...]
    default: str
    won: str
    default_cycles: int
    cycles: int
    floor_cycles: int
    bound: str


@dataclasses.dataclass(frozen=True)
class Tuned:
    """A model on a machine with the overrides that a search found beside the user's."""

    model: str
    config: str
    overrides: dict[str, LayerOverride]
    rows: tuple[Row, ...]
    default_cycles: int
    cycles: int
    floor_cycles: int
    found: Found


def tuned(
    qdq: onnx.ModelProto, arch: Arch, options: CompileOptions, network: Network, found: Found
) -> Tuned:
    """Compiles both, checker and all, and compares them layer by layer."""
    overrides = {**options.overrides, **found.overrides}
    before = _profile(qdq, arch, options)
    after = _profile(qdq, arch, dataclasses.replace(options, overrides=overrides))
    assert (before.cycles, after.cycles) == (found.default_cycles, found.cycles)
    was = {layer.name: layer for layer in before.layers}
    now = {layer.name: layer for layer in after.layers}
    tilings = network.compiled(found.overrides).tilings
    return Tuned(
        before.model,
        arch.name,
        overrides,
        tuple(
            _row(group.layers, group.tiled, tilings[group.name], was, now)
            for group in found.groups
        ),
        before.cycles,
        after.cycles,
        after.floor_cycles,
        found,
    )


def _profile(qdq: onnx.ModelProto, arch: Arch, options: CompileOptions) -> Profile:
    program = compile_model(qdq, arch, options)
    model = CycleModel(program.code).run(arch)  # without memory, as the search: no ids for gathers
    told = DeviceResult(
        status=model.status,
        error_index=model.error_index,
        cycles=model.cycles,
        counters=model.counters,
        dram_read_bytes=model.fetch_bytes + model.load_bytes,
        dram_write_bytes=model.store_bytes,
        done_cycles=model.done_cycles,
        start_cycles=model.start_cycles,
        snapshots=[],
        seconds=0.0,
        has_data=False,
        instruction_buckets=model.instruction_buckets,
    )
    return measure(program, arch, "perf", "perf", told)


def _row(
    layers: tuple[str, ...],
    default: Tiled,
    won: Tiled,
    was: dict[str, LayerProfile],
    now: dict[str, LayerProfile],
) -> Row:
    return Row(
        layers,
        mapping(default.plan),
        mapping(won.plan),
        sum(was[name].cycles for name in layers),
        sum(now[name].cycles for name in layers),
        sum(now[name].floor_cycles for name in layers),
        now[layers[0]].bound,
    )


def mapping(plan: Plan) -> str:
    """Tile height x width, channel tiles in, output tiles, and what stays on chip."""
    stays = [name for name, kept in (("inputs", plan.keep_inputs), ("weights", plan.keep_weights))
             if kept]
    text = f"{plan.height}x{plan.width} c{plan.channel_tiles} o{plan.output_tiles}"
    text += f" {'+'.join(stays) or 'sums'}"
    if plan.by_tiles:
        text += " head by head"
    if plan.split is not None:
        text += f" rows in {plan.split.positions}s"
    return text


def write_overrides(overrides: dict[str, LayerOverride], path: pathlib.Path) -> None:
    """Whole or not at all; `read_overrides` gives the same back."""
    message = overrides_pb2.Overrides()
    for name, override in overrides.items():
        entry = message.layer.add(name=name)
        for field in (*SIZES, "fuse"):
            value = getattr(override, field)
            if value is not None:
                setattr(entry, field, value)
        for field in CHOICES:
            value = getattr(override, field)
            if value is not None:
                setattr(entry, field, value.upper())
    lines = (text_format.MessageToString(e, as_one_line=True) for e in message.layer)
    write_whole(path, _HEADER + "".join(f"layer {{ {line} }}\n" for line in lines))


def saved(result: Tuned) -> float:
    """Percent of the cycles."""
    return 100 * (1 - result.cycles / result.default_cycles)


def figures(result: Tuned) -> dict[str, Any]:
    """Everything but the overrides, as JSON has it."""
    found = result.found
    return {
        "model": result.model,
        "config": result.config,
        "default_cycles": result.default_cycles,
        "cycles": result.cycles,
        "floor_cycles": result.floor_cycles,
        "overridden_layers": len(result.overrides),
        "parts_timed": found.parts,
        "networks_timed": found.wholes,
        "ended": found.ended,
        "layers": [dataclasses.asdict(row) for row in result.rows],
    }


def markdown(result: Tuned) -> str:
    """The table of one search."""
    found = result.found
    return "\n".join(
        [
            f"## {result.model} on {result.config}",
            "",
            f"{result.default_cycles:,} cycles as compiled, {result.cycles:,} tuned "
            f"({saved(result):.2f} % less), layer floor {result.floor_cycles:,}. "
            f"{len(found.groups)} different layers, {found.parts} tilings of them timed among "
            f"their neighbours, the network {found.wholes} times: {found.ended}.",
            "",
            "| layer | alike | default mapping | mapping that won | cycles before | after | floor "
            "| bound by |",
            "|---|---|---|---|---|---|---|---|",
            *(
                f"| {r.layers[0].replace('|', '/')} | {len(r.layers)} | {r.default} "
                f"| {'the same' if r.won == r.default else r.won} | {r.default_cycles:,} "
                f"| {r.cycles:,} | {r.floor_cycles:,} | {r.bound} |"
                for r in result.rows
            ),
            "",
        ]
    )
