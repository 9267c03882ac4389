"""Prints the tutorial's table; --html also draws it; --add puts a run of your own below it.

    ./bazelw run //benchmarks/tutorial -- --html variants.html --add mine.json
    ./bazelw run //benchmarks/tutorial -- --update      # rewrites the figures on docs/tutorial.md
"""

from __future__ import annotations

import argparse
import os
import pathlib
from collections.abc import Sequence

from jacquard.benchmarks.tutorial import figures, page
from jacquard.benchmarks.tutorial.figures import Figure, Run
from jacquard.runtime.cli.entry import start
from jacquard.runtime.plot.axis import Axis
from jacquard.runtime.plot.chart import COLOURS, Chart
from jacquard.runtime.plot.page import heading, legend, paragraph, table
from jacquard.runtime.plot.page import page as html_page

RUNS = pathlib.Path(__file__).parent
PAGE = "docs/tutorial.md"


def html(runs: Sequence[Run]) -> str:
    """A page that opens offline: a picture per model, and the table, which a click sorts."""
    kinds = list(dict.fromkeys(run.kind for run in runs))
    colours = {kind: COLOURS[number % len(COLOURS)] for number, kind in enumerate(kinds)}
    parts = [
        paragraph(
            "Cycles over the layer floor of the default, by the cycle model. Pointing at a bar "
            "names the variant; colours are the exercises."
        ),
        legend((colours[kind], kind) for kind in kinds),
    ]
    for model in dict.fromkeys(run.model for run in runs):
        own = [run for run in runs if run.model == model]
        floor = figures.default_of(own[0], runs).report["layer_floor_cycles"]
        highest = max(run.cycles for run in own) / floor
        axes = Axis("variant", 0, len(own)), Axis("cycles over the floor", 0.9, highest + 0.02)
        chart = Chart(*axes, width=900, height=260)
        for number, run in enumerate(own):
            height = run.cycles / floor
            title = f"{run.name}: {run.change}, {height:.3f} x the floor"
            chart.box((number + 0.2, 0.9), (number + 0.8, height), title, colours[run.kind])
        parts += [heading(model), chart.svg()]
    rows = [
        [cell.value if isinstance(cell, Figure) else cell for cell in figures.row(run, runs)]
        for run in runs
    ]
    return html_page("Variants", [*parts, table(figures.columns(), rows)])


def main(argv: list[str]) -> int:
    """See above."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--html", type=pathlib.Path, help="file for the page with pictures")
    parser.add_argument(
        "--add", type=pathlib.Path, action="append", default=[], help="report of a run of your own"
    )
    parser.add_argument("--update", action="store_true", help=f"rewrite the figures of {PAGE}")
    parser.add_argument(
        "--runs", type=pathlib.Path, default=RUNS, help="folder of the variants' reports"
    )
    args = parser.parse_args(argv)
    runs = figures.load(args.runs)
    runs += [figures.read_own(path, runs) for path in args.add]
    print(page.table(runs))
    if args.html:
        args.html.write_text(html(runs))
    if args.update:
        path = pathlib.Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", "."), PAGE)
        path.write_text(page.fill(path.read_text(), runs, args.runs / "overrides"))
    return 0


if __name__ == "__main__":
    start(main)
