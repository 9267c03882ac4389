"""All configurations in one table, with what differs from machine to machine: simulation and build.

--output FILE --published FILE --goals FILE REPORT ...
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Iterator
from typing import Any

from jacquard.benchmarks.figures.data import Figures, read
from jacquard.benchmarks.figures.markdown import table, words
from jacquard.proto.lib.arch import load_config
from jacquard.runtime.plot.axis import readable

LONG_CYCLES = 1_000_000  # of a run whose rate says something
MACHINE = (
    "name", "tier", "array", "multipliers", "lanes", "on chip", "DRAM bytes / cycle",
    "whole in RTL",
)  # fmt: skip
"""Heads of machine_rows."""


def configs(figures: Figures) -> list[str]:
    """Those that ran, supported ones first, by size."""
    found = [load_config(config) for config in {config for _, config in figures.runs}]
    found.sort(key=lambda a: (a.tier != "supported", a.rows * a.cols, a.name))
    return [arch.name for arch in found]


def machine_rows(figures: Figures) -> list[list[Any]]:
    """A row per configuration, of what every machine finds the same."""
    rows = []
    for config in configs(figures):
        arch = load_config(config)
        models = [model for model, other in figures.runs if other == config]
        narrow = "" if arch.weight_bits == 8 else f", {arch.weight_bits}-bit weights"
        rows.append(
            [
                config,
                arch.tier,
                f"{arch.rows} x {arch.cols}{narrow}",
                arch.rows * arch.cols,
                arch.lanes,
                readable(arch.on_chip_bytes, "bytes"),
                arch.bytes_per_cycle,
                ", ".join(sorted(models)),
            ]
        )
    return rows


def build_seconds(figures: Figures, config: str) -> float:
    """Of its simulator, as its runs' reports have it; 0 where none was told."""
    runs = [r for (_, c), r in figures.runs.items() if c == config]
    return max(float(r["simulator_build_seconds"]) for r in runs)


def _rows(figures: Figures) -> Iterator[list[object]]:
    goals = figures.goals["simulated_hz"]
    for row in machine_rows(figures):
        config = row[0]
        runs = [(m, r) for (m, c), r in figures.runs.items() if c == config]
        long = [(m, r) for m, r in runs if r["cycles"] >= LONG_CYCLES] or runs
        rates = [r["simulated_hz"] / 1e6 for _, r in long]
        slowest, fastest = f"{min(rates):.2f}", f"{max(rates):.2f}"
        longest, report = max(long, key=lambda run: run[1]["cycles"])
        yield [
            *row[:-1],
            f"{build_seconds(figures, config):.0f} s",
            slowest if slowest == fastest else f"{slowest} to {fastest}",
            f"{goals[config] / 1e6:g}" if config in goals else "",
            f"{longest}: {report['cycles']:,} cycles in {report['wall_seconds']:.1f} s",
            row[-1],
        ]


def text(figures: Figures) -> str:
    """The page, Markdown."""
    limit = figures.goals["simulator_build_seconds"]
    lines = [
        "# Configurations",
        "",
        *words(
            "Measured where this was built, in the reports of the RTL runs: one thread, wall time, "
            f"beside whatever else ran. Rates are of runs of {LONG_CYCLES:,} cycles or more, where "
            "the configuration has one. Building a simulator has the cores that Bazel has; the goal "
            f"is {limit} s on two."
        ),
        *table(
            [*MACHINE[:-1], "simulator built in", "MHz", "goal", "longest run", MACHINE[-1]],
            _rows(figures),
        ),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--published", type=pathlib.Path, required=True)
    parser.add_argument("--goals", type=pathlib.Path, required=True)
    parser.add_argument("reports", type=pathlib.Path, nargs="+")
    args = parser.parse_args()
    args.output.write_text(text(read(args.published, args.goals, args.reports)))


if __name__ == "__main__":
    main()
