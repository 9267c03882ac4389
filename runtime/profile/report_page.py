"""The profile as one HTML page that opens offline: what it cost, what bound it, what would help."""

from __future__ import annotations

import html
import pathlib

from jacquard.proto.npu_isa import Bucket, Engine
from jacquard.runtime.api.files import write_whole
from jacquard.runtime.plot.axis import readable
from jacquard.runtime.plot.memory_plan import plan_chart
from jacquard.runtime.plot.page import heading, legend, page, paragraph, table
from jacquard.runtime.profile.bound import NAMES
from jacquard.runtime.profile.measure import LayerProfile, Profile
from jacquard.runtime.profile.roofline import roofline
from jacquard.runtime.profile.timeline import COLOURS, timeline

_STYLE = """
<style>
body { max-width: 1300px; }
.wide { overflow-x: auto; max-height: 80vh; }
.wide table { font-size: 12.5px; margin: 0; }
.wide td, #reliefs td:first-child { white-space: nowrap; }
.bar { display: flex; height: 22px; margin: 2px 0; }
.bar b { width: 80px; font-weight: normal; flex: none; }
.bar div { display: flex; flex: auto; }
#layers tbody tr { cursor: pointer; }
#layers tbody tr:hover, #buckets tbody tr:hover { background: #8882; }
.missing { border-left: 4px solid #d55e00; padding: 4px 12px; }
</style>
"""


def write_page(profile: Profile, path: pathlib.Path) -> None:
    """The page as a file; whole or not at all."""
    write_whole(path, profile_page(profile))


def profile_page(profile: Profile) -> str:
    title = f"{profile.model} on {profile.config}, {profile.backend}"
    if profile.problem:
        parts = [_missing(profile)]
    else:
        parts = [
            _summary(profile),
            heading("Engines"),
            _engines(profile),
            heading("What bounds the layers"),
            _bounds(profile),
            heading("What would relieve it"),
            *_reliefs(profile),
            heading("Roofline"),
            *roofline(profile),
            heading("Time line"),
            paragraph(
                "Wheel: zoom. Drag: move. Double click: the whole run. A click on a layer in the "
                "table below shows it here."
            ),
            timeline(profile),
            legend((COLOURS[bucket], NAMES[bucket]) for bucket in Bucket),
            heading("Layers"),
            _layers(profile),
            heading("Where each engine's cycles went"),
            *_buckets(profile),
        ]
    return page(title, [_STYLE, *parts, heading("Memory plan"), *_memory_plan(profile)])


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _times(value: float, bound: float) -> str:
    return f"{value / bound:.3f} x" if bound else "-"


def _missing(profile: Profile) -> str:
    text = (
        f"{profile.problem}. So there are no cycles, engines, roofline, time line, layers and "
        f"reliefs here: the run gave none. Its program has {profile.instructions:,} instructions."
    )
    return f'<p class="missing">{html.escape(text)}</p>'


def _summary(profile: Profile) -> str:
    arch = profile.arch
    moved = profile.read_bytes + profile.write_bytes
    timed = f"measured by {profile.timed_by}"
    if profile.timed_by != profile.backend:
        timed = f"{profile.backend} has no time: that of the cycle model ({profile.timed_by})"
    peak = arch.rows * arch.cols
    rows = [
        ("cycles", f"{profile.cycles:,} ({timed})"),
        (
            "layer floor",
            f"{profile.floor_cycles:,}; {_times(profile.cycles, profile.floor_cycles)}",
        ),
        (
            "roofline",
            f"{profile.roofline_cycles:,}; {_times(profile.cycles, profile.roofline_cycles)}",
        ),
        (
            "MACs",
            f"{profile.macs:,}; {profile.macs / profile.cycles:.1f} a cycle of {peak}: "
            f"{_percent(profile.macs, profile.cycles * peak)} of the array",
        ),
        (
            "DRAM",
            f"{readable(profile.read_bytes, 'bytes')} read, "
            f"{readable(profile.write_bytes, 'bytes')} written; {moved / profile.cycles:.2f} bytes "
            f"a cycle of {arch.bytes_per_cycle}: "
            f"{_percent(moved, profile.cycles * arch.bytes_per_cycle)}",
        ),
        ("program", f"{profile.instructions:,} instructions, {len(profile.layers)} layers"),
        (
            "machine",
            f"{arch.rows} x {arch.cols} array, {arch.lanes} lanes, DRAM {arch.bytes_per_cycle} "
            f"bytes a cycle behind {arch.latency_cycles} cycles",
        ),
    ]
    cells = "".join(
        f"<tr><th scope=row>{html.escape(a)}</th><td>{html.escape(b)}</td></tr>" for a, b in rows
    )
    return f"<table>{cells}</table>"


def _engines(profile: Profile) -> str:
    """A bar per engine, stacked by bucket."""
    bars = []
    for engine in Engine:
        pieces = []
        for bucket in Bucket:
            cycles = int(profile.counters[engine, bucket])
            if cycles:
                told = f"{engine.name} {NAMES[bucket]}: {cycles:,} cycles, "
                told += _percent(cycles, profile.cycles)
                pieces.append(
                    f'<span style="flex:{cycles} 0 0;background:{COLOURS[bucket]}" '
                    f'title="{html.escape(told)}"></span>'
                )
        bars.append(f'<div class="bar"><b>{engine.name}</b><div>{"".join(pieces)}</div></div>')
    rows: list[tuple[str | int, ...]] = [
        (engine.name, *(int(profile.counters[engine, bucket]) for bucket in Bucket))
        for engine in Engine
    ]
    columns = ["engine", *(NAMES[bucket] for bucket in Bucket)]
    return (
        f'<div id="engines">{"".join(bars)}'
        f"{legend((COLOURS[bucket], NAMES[bucket]) for bucket in Bucket)}"
        f'<div class="wide">{table(columns, rows)}</div></div>'
    )


def _bounds(profile: Profile) -> str:
    found: dict[str, list[LayerProfile]] = {}
    for layer in profile.layers:
        found.setdefault(layer.bound, []).append(layer)
    rows = []
    for bound, layers in sorted(found.items(), key=lambda x: -sum(y.cycles for y in x[1])):
        cycles = sum(layer.cycles for layer in layers)
        longest = max(layers, key=lambda layer: layer.cycles)
        above = sum(max(layer.cycles - layer.floor_cycles, 0) for layer in layers)
        share = round(100 * cycles / profile.cycles, 1)
        rows.append((bound, len(layers), cycles, share, above, longest.name))
    columns = ["bound by", "layers", "cycles", "% of the run", "cycles above the floor", "longest"]
    return f'<div id="bounds">{table(columns, rows)}</div>'


def _reliefs(profile: Profile) -> list[str]:
    if not profile.reliefs:
        return [paragraph("Not asked for.")]
    rows: list[tuple[str | int | float, ...]] = []
    for relief in profile.reliefs:
        if relief.problem:
            rows.append((relief.name, f"{relief.what}: {relief.problem}", "", "", ""))
            continue
        saved = profile.base_cycles - relief.cycles
        best = sorted(profile.layers, key=lambda x: x.relief.get(relief.name, x.cycles) - x.cycles)
        gains = [
            f"{layer.name} {layer.relief[relief.name] - layer.cycles:+,}"
            for layer in best[:3]
            if layer.relief.get(relief.name, layer.cycles) < layer.cycles
        ]
        share = round(100 * saved / profile.base_cycles, 2)
        rows.append((relief.name, relief.what, relief.cycles, share, "; ".join(gains)))
    columns = ["relief", "machine", "cycles", "% saved", "where most"]
    told = (
        "The cycle model runs the program again on each machine, or the program compiled for it: "
        f"{profile.base_cycles:,} cycles as it is."
    )
    return [paragraph(told), f'<div id="reliefs">{table(columns, rows)}</div>']


def _layers(profile: Profile) -> str:
    tried = [relief.name for relief in profile.reliefs if not relief.problem]
    columns = ["#", "layer", "op", "cycles", "floor", "x floor", "MACs", "read", "written"]
    columns += ["spilled", "refetched", "start-up"]
    columns += ["array %", "MATRIX %", "VECTOR %", "DRAM %", "bound by", "most relieved by", *tried]
    rows: list[list[str | int | float]] = []
    for number, layer in enumerate(profile.layers):
        best = min(layer.relief, key=lambda name: layer.relief[name], default="")
        helps = bool(best) and layer.relief[best] < layer.cycles
        rows.append(
            [
                number,
                layer.name,
                layer.op,
                layer.cycles,
                layer.floor_cycles,
                round(layer.cycles / layer.floor_cycles, 3) if layer.floor_cycles else 0.0,
                layer.macs,
                layer.read_bytes,
                layer.write_bytes,
                layer.spilled_bytes,
                layer.refetched_bytes,
                layer.startup.cycles,
                *(
                    round(100 * use, 1)
                    for use in (
                        layer.array_use,
                        layer.matrix_use,
                        layer.vector_use,
                        layer.dram_use,
                    )
                ),
                layer.bound,
                f"{best} {100 * (layer.relief[best] / layer.cycles - 1):.0f} %" if helps else "",
                *(layer.relief.get(name, "") for name in tried),
            ]
        )
    told = (
        "Cycles run from the end of the layer before; layers overlap, at their edges and where "
        "products beside each other are made together, tile by tile, so a share can pass 100 %. "
        "Shares: of the multiplications that the array could have done, cycles in which MATRIX and "
        "VECTOR moved, bytes of those that DRAM could have moved. Spilled: stored and loaded "
        "again, since it did not stay on the chip; refetched: weights and results loaded again "
        "after a first time. Start-up: cycles before its first array pass in which neither MATRIX "
        "nor VECTOR was at work. A click on a head sorts. The last columns: this layer's cycles on "
        "the machines above."
    )
    return paragraph(told) + f'<div id="layers" class="wide">{table(columns, rows)}</div>'


def _buckets(profile: Profile) -> list[str]:
    rows: list[tuple[str | int, ...]] = [
        (
            number,
            layer.name,
            engine.name,
            *(int(layer.buckets[engine, bucket]) for bucket in Bucket),
        )
        for number, layer in enumerate(profile.layers)
        for engine in Engine
    ]
    tail = profile.counters - sum(layer.buckets for layer in profile.layers)
    rows += [
        (len(profile.layers), "(behind the engine's last instruction)", engine.name)
        + tuple(int(tail[engine, bucket]) for bucket in Bucket)
        for engine in Engine
    ]
    columns = ["#", "layer", "engine", *(NAMES[bucket] for bucket in Bucket)]
    told = (
        "Of each engine, from the end of its last instruction of the layers before to the end of "
        "its own last one of this layer; engines run ahead of each other, so the sums differ. "
        f"The rows of an engine add up to the run's {profile.cycles:,} cycles."
    )
    return [
        paragraph(told),
        f'<details id="buckets"><summary>{len(rows):,} rows</summary>'
        f'<div class="wide">{table(columns, rows)}</div></details>',
    ]


def _memory_plan(profile: Profile) -> list[str]:
    plan = profile.memory_plan
    if not plan.allocations:
        return [paragraph("The program has no activations in DRAM.")]
    rows = [
        ("each for itself", plan.naive_bytes),
        ("most alive at once (lower bound)", plan.lower_bound_bytes),
        ("greedy by size", plan.greedy_bytes),
        ("this plan", plan.planned_bytes),
    ]
    chart = plan_chart(plan, [layer.name for layer in profile.layers])
    return [
        f'<div id="plan">{table(["activations in DRAM", "bytes"], rows)}{chart.svg()}</div>',
        paragraph(
            "A box is a tensor, from the layer that writes it to the last that reads it. Dashed: "
            "the most alive at once, below which no plan ends."
        ),
    ]
