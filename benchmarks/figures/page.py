"""docs/figures.md: what RTL counts beside the goals and beside what others publish.

Cycles and bytes alone, which every machine finds the same; rates are in configurations.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from jacquard.benchmarks.figures.configurations import MACHINE, machine_rows
from jacquard.benchmarks.figures.data import Figures, Published
from jacquard.benchmarks.figures.startup import worst
from jacquard.benchmarks.figures.markdown import table, words
from jacquard.proto.lib.arch import load_config

COMMAND = "./bazelw run //benchmarks:update_figures"
NETWORK, SMALL, LARGE = "resnet50", "edge16", "server64"  # what most others publish


def text(figures: Figures) -> str:
    """The page, Markdown."""
    floor = f"/ layer floor of {SMALL}"
    limits = figures.goals["startup_cycles"].items()
    held = ", ".join(f"{config}'s below {limit:,}" for config, limit in limits)
    lines = [
        "# Figures",
        "",
        *words(
            f"Written by `{COMMAND}` from the reports of the RTL runs, "
            "`benchmarks/figures/goals.json` and `benchmarks/figures/published.json`; "
            "`//benchmarks:figures_test` fails when it is not what they say. All cycles of this project "
            "are of whole networks in RTL, batch 1, bit-exact. Roofline and layer floor: "
            "[performance.md](performance.md)."
        ),
        "## Goals",
        *words(
            "In brackets the layer floor that the goal was set against; the fifth column is the "
            "one that the compiler counts."
        ),
        *table(
            ["network", "configuration", "goal", "cycles", "layer floor", "cycles / floor"]
            + ["roofline", "array busy with MACs", "MATRIX waits for VECTOR"],
            _goals(figures),
        ),
        "",
        f"## {NETWORK} on {_multipliers(SMALL)} multipliers",
        *table(
            ["who", "cycles", floor, f"/ {SMALL}", "how it is known", "source"], _resnet50(figures)
        ),
        "",
        "![Cycles over the layer floor](figures.svg)",
        "",
        f"## From {SMALL} to {LARGE}",
        *words(
            f"{_multipliers(LARGE) // _multipliers(SMALL)} times the multipliers and "
            f"{_width(LARGE) // _width(SMALL)} times the bytes of DRAM a cycle."
        ),
        *table(["who", "times faster", "how it is known", "source"], _scaling(figures)),
        "",
        "## Start-up of layers",
        *words(
            "From the end of the last array pass of the layer before (where that has none, from "
            "its end) to the layer's first pass. *Start-up* are the cycles there in which neither "
            "MATRIX nor VECTOR works; *MATRIX idle* are all of them: where a norm stands in front "
            "of a product, VECTOR works meanwhile. `//benchmarks:startup_test` holds the start-up: "
            f"{held}."
        ),
        *table(
            ["network", "configuration", "layers with passes", "largest start-up", "of"]
            + ["all, of the run", "largest MATRIX idle", "of"],
            _startups(figures),
        ),
        "",
        "## Configurations",
        *words(
            "Rates in simulation and the seconds that a simulator takes to build depend on the "
            "machine: `./bazelw build //benchmarks:configurations` makes the table with them."
        ),
        *table(MACHINE, machine_rows(figures)),
        "",
        "## Simulating the RTL of others",
        *words("Ours: the table just named."),
        *table(["who", "", "how it is known", "source"], map(_quoted, figures.of("simulation"))),
        "",
        "## Compiling",
        *words("Seconds of ours: `./bazelw run //benchmarks:compile_times`."),
        *table(["who", "", "how it is known", "source"], _compiler(figures)),
        "",
    ]
    return "\n".join(lines)


def _multipliers(config: str) -> int:
    arch = load_config(config)
    return arch.rows * arch.cols


def _width(config: str) -> int:
    return load_config(config).bytes_per_cycle


def _goals(figures: Figures) -> Iterator[list[object]]:
    for model, config in figures.goal_runs():
        report, goal = figures.runs[model, config], figures.goals["cycles"][model][config]
        limit = figures.goals["wait_vector"].get(model, {}).get(config)
        waits = report["engines"]["MATRIX"]["wait_vector"] / report["cycles"]
        floor = report["layer_floor_cycles"]
        yield [
            model,
            config,
            f"≤ {goal['goal'] / 1e6:.2f} M ({goal['floor'] / 1e6:.2f})",
            report["cycles"],
            floor,
            f"{report['cycles'] / floor:.3f}",
            report["roofline_cycles"],
            f"{100 * report['array_utilization']:.1f} %",
            f"{100 * waits:.1f} %" + ("" if limit is None else f" (≤ {100 * limit:.0f} %)"),
        ]


def _resnet50(figures: Figures) -> Iterator[list[object]]:
    own, floor = figures.cycles(NETWORK, SMALL), figures.runs[NETWORK, SMALL]["layer_floor_cycles"]
    for figure in figures.of("resnet50"):
        cycles = int(figure.value)
        ratios = [f"{cycles / floor:.2f}", f"{cycles / own:.2f}"]
        yield [figure.who, cycles, *ratios, figure.how, figure.source]
    yield [f"this project, {SMALL}", own, f"{own / floor:.2f}", f"{1:.2f}", "RTL",
           f"`//benchmarks:{NETWORK}_{SMALL}_rtl_report`"]


def _scaling(figures: Figures) -> Iterator[list[object]]:
    for figure in figures.of("scaling"):
        yield [figure.who, f"{figure.value:.2f}", figure.how, figure.source]
    for model in figures.goals["cycles"]:
        times = figures.cycles(model, SMALL) / figures.cycles(model, LARGE)
        floors = [figures.runs[model, config]["layer_floor_cycles"] for config in (SMALL, LARGE)]
        yield [f"this project, {model}", f"{times:.2f}",
               f"RTL; the layer floors say {floors[0] / floors[1]:.2f}", ""]


def _startups(figures: Figures) -> Iterator[list[object]]:
    for model, config in figures.goal_runs():
        found = worst(figures.runs[model, config])
        yield [model, config, found.layers, found.startup, found.startup_layer,
               f"{100 * found.startup_share:.2f} %", found.idle, found.idle_layer]


def _quoted(figure: Published) -> list[object]:
    value = f"{figure.value:,}" if isinstance(figure.value, int) else figure.value
    return [figure.who, f"{value} {figure.unit}".strip(), figure.how, figure.source]


def _compiler(figures: Figures) -> Iterator[list[object]]:
    yield from map(_quoted, figures.of("compiler"))
    memory = figures.runs[NETWORK, SMALL]["memory"]
    yield [f"this project, {NETWORK}'s activations in DRAM, {SMALL}",
           f"{memory['planned_bytes']:,} bytes",
           f"most that lives at once: {memory['lower_bound_bytes']:,}", ""]
