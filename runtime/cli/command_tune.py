"""Searches tilings by the cycle model and writes those that help as overrides."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator

import rich.box
import rich.progress
import rich.table
from absl import flags

from jacquard.proto.lib.errors import UserError, raise_if_any
from jacquard.runtime.api.files import write_whole
from jacquard.runtime.cli import options, screen
from jacquard.runtime.cli.entry import start
from jacquard.runtime.tune import result
from jacquard.runtime.tune.network import Network
from jacquard.runtime.tune.search import Limits, search
from jacquard.runtime.tune.work import timer


def define_flags() -> flags.FlagValues:
    values = flags.FlagValues()
    options.add_model_flags(values)
    flags.DEFINE_string(
        "output", None, "textproto to write, for --overrides of other commands", flag_values=values
    )
    flags.DEFINE_string(
        "table", None, "Markdown file for the table of mappings", flag_values=values
    )
    flags.DEFINE_string("report", None, "JSON file for the same and more", flag_values=values)
    limits = Limits()
    flags.DEFINE_integer(
        "beam",
        limits.beam,
        "tilings of a layer that are timed among its neighbours",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "evaluations",
        limits.evaluations,
        "times that the whole network is timed, at most",
        flag_values=values,
    )
    flags.DEFINE_float(
        "budget",
        None,
        "seconds after which nothing new is tried; what is found then depends on this machine",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "jobs", None, "processes at work; default: one for each core", flag_values=values
    )
    return values


def main(argv: list[str]) -> int:
    """`jacquard tune`."""
    values = define_flags()
    options.parse(values, "tune", argv)
    processes = check_flags(values)
    arch = options.arch_of(values["config"].value)
    wanted = options.compile_options(values)
    qdq, _ = options.quantized(options.load_model(values), values)
    limits = Limits(values["beam"].value, values["evaluations"].value, values["budget"].value)
    with screen.status("compiling"):
        network = Network(qdq, arch, wanted)
    with timer(network, qdq, wanted, processes) as times, progress_bar() as progress:
        found = search(network, times, limits, progress)
    with screen.status("compiling"):
        tuned = result.tuned(qdq, arch, wanted, network, found)
    result.write_overrides(tuned.overrides, pathlib.Path(values["output"].value))
    if values["table"].value:
        write_whole(pathlib.Path(values["table"].value), result.markdown(tuned))
    if values["report"].value:
        text = json.dumps(result.figures(tuned), indent=1) + "\n"
        write_whole(pathlib.Path(values["report"].value), text)
    print_tuned(tuned, values["output"].value)
    return 0


def check_flags(values: flags.FlagValues) -> int:
    """What can be refused before any work; how many processes. Raises UserError."""
    problems = []
    for check in (
        lambda: options.model_name(values),
        lambda: options.check_file(values["model"].value, "model"),
        lambda: options.check_outputs(values, "output", "table", "report"),
    ):
        try:
            check()
        except UserError as error:
            problems += error.lines
    if not values["output"].value:
        problems.append("--output: a file must be given; the overrides that help go there")
    problems += [
        f"--{flag}: must be at least 1, got {values[flag].value}"
        for flag in ("beam", "evaluations", "jobs")
        if values[flag].value is not None and values[flag].value < 1
    ]
    if values["budget"].value is not None and not values["budget"].value > 0:
        problems.append(
            f"--budget: must be a number of seconds above 0, got {values['budget'].value:g}"
        )
    raise_if_any(problems)
    return values["jobs"].value or len(os.sched_getaffinity(0))


@contextlib.contextmanager
def progress_bar() -> Iterator[Callable[[int, int], None]]:
    """What is yielded is called with how much of how much is done."""
    bar = screen.progress_bar(
        rich.progress.TextColumn("tuning"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeElapsedColumn(),
    )
    task = bar.add_task("", total=None)
    with bar:
        yield lambda done, total: bar.update(task, completed=done, total=total)


def print_tuned(tuned: result.Tuned, output: str) -> None:
    """Layers whose mapping changed as a table, the whole network, where the overrides lie."""
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, title=f"{tuned.model} on {tuned.config}")
    table.add_column("layer", overflow="ellipsis", max_width=40)
    table.add_column("alike", justify="right", no_wrap=True)
    for name in ("default mapping", "mapping that won"):
        table.add_column(name)
    for name in ("cycles before", "after", "floor"):
        table.add_column(name, justify="right")
    table.add_column("bound by")
    changed = [row for row in tuned.rows if row.won != row.default]
    for row in changed:
        table.add_row(
            row.layers[0][-40:],
            str(len(row.layers)),
            row.default,
            row.won,
            f"{row.default_cycles:,}",
            f"{row.cycles:,}",
            f"{row.floor_cycles:,}",
            row.bound,
        )
    if changed:
        screen.print_table(table)
    found = tuned.found
    screen.print_line(
        f"{tuned.default_cycles:,} cycles as compiled, {tuned.cycles:,} tuned "
        f"({result.saved(tuned):.2f} % less), layer floor "
        f"{tuned.floor_cycles:,}"
    )
    screen.print_line(
        f"{len(found.groups)} different layers, {found.parts} tilings of them timed among their "
        f"neighbours, the network {found.wholes} times: {found.ended}"
    )
    screen.print_line(f"overrides of {len(tuned.overrides)} layers: {output}")


if __name__ == "__main__":
    start(main)
