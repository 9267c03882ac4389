"""Sweeps configurations with the cycle model and shows which ones nothing beats."""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import sys
from collections.abc import Callable, Iterator

import onnx
import rich.box
import rich.progress
import rich.table
from absl import flags

from jacquard.compiler.frontend.import_model import import_model
from jacquard.compiler.frontend.quantize import is_quantized, quantize_model
from jacquard.proto import arch_pb2
from jacquard.proto.lib import arch as arch_lib
from jacquard.proto.lib.errors import UserError, raise_if_any
from jacquard.runtime.cli import data, options, screen
from jacquard.runtime.cli.entry import start
from jacquard.runtime.explore import output
from jacquard.runtime.explore.exploration import Exploration, Plan, explore
from jacquard.runtime.explore.front import COMBINE, COSTS, Point
from jacquard.runtime.explore.space import AXES, candidates, parse_sweeps
from jacquard.runtime.explore.work import Model

_SHOWN = 12  # reasons on the screen; the files have all


def define_flags() -> flags.FlagValues:
    values = flags.FlagValues()
    flags.DEFINE_multi_string(
        "model", [], "ONNX file, float or quantized (QDQ); may be given again", flag_values=values
    )
    flags.DEFINE_multi_string(
        "stateful",
        [],
        "the same, a graph whose keys and values stay in the device, as with --kv-cache of `run`",
        flag_values=values,
    )
    options.add_shape_flag(values)
    flags.DEFINE_string(
        "base",
        "edge16",
        "configuration of all that is not swept: a name, or a .textproto file",
        flag_values=values,
    )
    flags.DEFINE_multi_string(
        "sweep",
        [],
        "FIELD[,FIELD...]=VALUES, e.g. rows,cols=8..32 or ibuf_bytes=64K,128K; fields: "
        + ", ".join(AXES),
        flag_values=values,
    )
    flags.DEFINE_enum(
        "combine",
        "geomean",
        list(COMBINE),
        "how the cycles of several models become one figure",
        flag_values=values,
    )
    flags.DEFINE_list(
        "costs",
        list(COSTS),
        "what counts beside cycles when configurations are compared",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "jobs", None, "processes at work; default: one for each core", flag_values=values
    )
    flags.DEFINE_integer(
        "max_points", 10_000, "more configurations than that are refused", flag_values=values
    )
    flags.DEFINE_string(
        "output",
        None,
        "folder of points, front and plot; what is there is used",
        flag_values=values,
    )
    return values


def main(argv: list[str]) -> int:
    """`jacquard explore`."""
    values = define_flags()
    options.parse(values, "explore", argv)
    processes = check_flags(values)
    base = load_base(values["base"].value)
    sweeps = parse_sweeps(values["sweep"].value, values["max_points"].value)
    found = candidates(base, sweeps)
    plan = Plan(
        base.name,
        tuple(sweep.text for sweep in sweeps),
        found,
        load_models(values),
        values["combine"].value,
        tuple(values["costs"].value),
    )
    folder = pathlib.Path(values["output"].value)
    try:
        with progress_bar() as progress:
            result = explore(plan, folder, processes, progress)
    except KeyboardInterrupt:
        print(f"{folder}: keeps what is done; the same command goes on from there", file=sys.stderr)
        raise
    output.write(result, folder)
    print_exploration(result, folder)
    if not result.front:
        print(f"error: no configuration compiles every model; see {folder}", file=sys.stderr)
    for line in result.failures:
        print(f"error: {line}", file=sys.stderr)
    return 0 if result.front and not result.failures else 1


def check_flags(values: flags.FlagValues) -> int:
    """What can be refused before any work; how many processes. Raises UserError."""
    problems = []
    paths = [*values["model"].value, *values["stateful"].value]
    if not paths:
        problems.append("--model: an ONNX file must be given, or several")
    names = [options.stem(path) for path in paths]
    problems += [
        f"--model {name}: models must have different file names, got it {names.count(name)} times; "
        "rename one"
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    problems += [
        f"--costs {cost}: must be of {', '.join(COSTS)}; correct the name"
        for cost in values["costs"].value
        if cost not in COSTS
    ]
    for flag in ("jobs", "max_points"):
        if values[flag].value is not None and values[flag].value < 1:
            name = flag.replace("_", "-")
            problems.append(
                f"--{name}: must be at least 1, got {values[flag].value}; leave it out for "
                f"{'one for each core' if flag == 'jobs' else f'{values[flag].default:,}'}"
            )
    if not values["output"].value:
        problems.append("--output: a folder must be given; what is found is kept there")
    raise_if_any(problems)
    options.check_folder(values["output"].value, "output")
    return values["jobs"].value or len(os.sched_getaffinity(0))


def load_base(name: str) -> arch_pb2.Arch:
    """A configuration that keeps the rules. Raises UserError."""
    path = options.config_path(name, "base")
    arch_lib.load_arch(path)
    return arch_lib.read_message(path)


def load_models(values: flags.FlagValues) -> tuple[Model, ...]:
    """All of them, imported and quantized. Raises UserError for every one that cannot be.

    A float model is calibrated with random data: cycles do not depend on scales.
    """
    sizes = options.shapes(values["shape"].value)
    paths = [(path, False) for path in values["model"].value]
    paths += [(path, True) for path in values["stateful"].value]
    models, problems, inputs = [], [], set()
    for path, kv_cache in paths:
        try:
            with screen.status(f"importing {path}"):
                model, names = _imported(path, sizes)
                inputs |= names
                qdq = _quantized(model)
            graph = qdq.SerializeToString(deterministic=True)
            models.append(Model(options.stem(path), graph, kv_cache))
        except UserError as error:
            problems += error.lines
    if not problems:
        problems += [
            f"--shape {name}: must name an input of a model; the inputs are "
            f"{', '.join(sorted(inputs))}"
            for name in sorted(set(sizes) - inputs)
        ]
    raise_if_any(problems)
    return tuple(models)


def _imported(path: str, sizes: dict[str, list[int]]) -> tuple[onnx.ModelProto, set[str]]:
    """The model, and the names of its inputs; it takes those of `sizes` that it has."""
    options.check_file(path, "model")
    names = input_names(pathlib.Path(path))
    own = {name: size for name, size in sizes.items() if name in names}
    return import_model(path, supported=options.SUPPORTED, shapes=own), names


def input_names(path: pathlib.Path) -> set[str]:
    """Of the graph as it lies in the file; none where it is no graph, which importing it says."""
    model = onnx.ModelProto()
    with contextlib.suppress(Exception):
        model.ParseFromString(path.read_bytes())
    return {value.name for value in model.graph.input}


def _quantized(model: onnx.ModelProto) -> onnx.ModelProto:
    if is_quantized(model):
        return model
    samples = [data.random_inputs(model, seed) for seed in range(data.CALIBRATION_SAMPLES)]
    return quantize_model(model, samples)


@contextlib.contextmanager
def progress_bar() -> Iterator[Callable[[int, int], None]]:
    """What is yielded is called with how much of how much is done."""
    bar = screen.progress_bar(
        rich.progress.TextColumn("exploring"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeElapsedColumn(),
        rich.progress.TimeRemainingColumn(),
    )
    task = bar.add_task("", total=None)
    with bar:
        yield lambda done, total: bar.update(task, completed=done, total=total)


def print_exploration(result: Exploration, folder: pathlib.Path) -> None:
    """The front as a table, what was refused and why, where the rest lies."""
    plan = result.plan
    screen.print_table(_front_table(result))
    broken = sum(1 for refusal in result.refused if refusal.candidate.broken)
    screen.print_line(
        f"{len(plan.candidates)} configurations: {len(result.points)} compared, "
        f"{len(result.front)} on the front, {broken} break a rule, "
        f"{len(result.refused) - broken} refused by the compiler; "
        f"{result.reused} results were known"
    )
    swept = [field for sweep in plan.sweeps for field in sweep.partition("=")[0].split(",")]
    reasons: dict[str, list[str]] = {}
    for refusal in result.refused:
        values = " ".join(f"{field}={refusal.candidate.values[field]}" for field in swept)
        first, *others = refusal.reasons
        reason = f"{first} (and {len(others)} reasons more)" if others else first
        reasons.setdefault(reason, []).append(values)
    for reason, which in itertools.islice(reasons.items(), _SHOWN):
        more = f" and {len(which) - 1} more" if len(which) > 1 else ""
        screen.print_line(f"refused: {which[0]}{more}: {reason}")
    if len(reasons) > _SHOWN:
        screen.print_line(f"refused: {len(reasons) - _SHOWN} more reasons in the files")
    screen.print_line(f"plot: {folder / output.PAGE}, figures: {folder / output.FIGURES}")
    screen.print_line(f"configurations of the front: {folder / output.FRONT}")


def _front_table(result: Exploration) -> rich.table.Table:
    plan = result.plan
    swept = [axis for axis in AXES if len({p.values[axis] for p in result.points}) > 1]
    if all(point.values["lanes"] == point.values["cols"] for point in result.points):
        swept = [axis for axis in swept if axis != "lanes"]
    models = [model.name for model in plan.models]
    several = len(models) > 1
    title = f"Pareto front: {', '.join(models)} on {plan.base} with {'; '.join(plan.sweeps)}"
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, title=title)
    table.add_column("configuration", no_wrap=True)
    named = [axis.replace("_", " ") for axis in swept]  # so that a head breaks between words
    columns = [*named, *models, *([plan.combine] if several else []), "multipliers", "on chip"]
    for name in columns:
        table.add_column(name, justify="right", overflow="fold")
    for point in result.front:
        table.add_row(point.arch.name, *(f"{n:,}" for n in _figures(point, swept, several)))
    return table


def _figures(point: Point, swept: list[str], several: bool) -> list[int]:
    costs = point.costs
    return [
        *(point.values[axis] for axis in swept),
        *point.cycles.values(),
        *([point.score] if several else []),
        costs["multipliers"],
        costs["on_chip_bytes"],
    ]


if __name__ == "__main__":
    start(main)
