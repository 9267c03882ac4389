"""What an exploration leaves in its folder: figures, a page with plots, the front's configurations.

In: an Exploration. Out: FIGURES (JSON), PAGE (HTML, one file) and a textproto in FRONT for each
configuration of the front, which `--config` of the other commands takes.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Sequence

from google.protobuf import text_format

from jacquard.runtime.api.files import write_whole
from jacquard.runtime.explore.exploration import Exploration
from jacquard.runtime.explore.front import Point
from jacquard.runtime.explore.space import AXES
from jacquard.runtime.plot.axis import Axis
from jacquard.runtime.plot.chart import COLOURS, Chart
from jacquard.runtime.plot.page import heading, legend, page, paragraph, table

FIGURES, PAGE, FRONT = "explore.json", "explore.html", "front"
_HEADER = "# proto-file: proto/arch.proto\n# proto-message: jacquard.Arch\n"


def write(result: Exploration, folder: pathlib.Path) -> None:
    """All three; of an earlier front in the same folder nothing stays."""
    write_whole(folder / FIGURES, json.dumps(figures(result), indent=1) + "\n")
    write_whole(folder / PAGE, html_page(result))
    configurations = folder / FRONT
    configurations.mkdir(exist_ok=True)
    for path in configurations.glob("x*.textproto"):
        path.unlink()
    best = {point.arch.name for point in result.front}
    for candidate in result.plan.candidates:
        if candidate.name in best:
            text = _HEADER + text_format.MessageToString(candidate.message)
            write_whole(configurations / f"{candidate.name}.textproto", text)


def figures(result: Exploration) -> dict[str, object]:
    """Everything as JSON.

    Each configuration has its values and one of `cycles` (with score, costs, and whether it is on
    the front), `refused` or `failed`.
    """
    plan = result.plan
    best = {point.arch.name for point in result.front}
    points = {point.arch.name: point for point in result.points}
    refused = {refusal.candidate.name: refusal.reasons for refusal in result.refused}
    configurations: list[dict[str, object]] = []
    for candidate in plan.candidates:
        entry: dict[str, object] = {"name": candidate.name, "values": dict(candidate.values)}
        if candidate.name in points:
            point = points[candidate.name]
            entry |= {"cycles": dict(point.cycles), "score": point.score, "costs": point.costs}
            entry |= {"front": candidate.name in best}
        elif candidate.name in refused:
            entry |= {"refused": list(refused[candidate.name])}
        else:
            entry |= {"failed": True}
        configurations.append(entry)
    return {
        "base": plan.base,
        "sweeps": list(plan.sweeps),
        "models": [model.name for model in plan.models],
        "combine": plan.combine,
        "costs": list(plan.costs),
        "configurations": configurations,
        "failures": list(result.failures),
    }


def html_page(result: Exploration) -> str:
    """Cycles over multipliers and over on-chip bytes, and tables of what they are made of."""
    plan = result.plan
    names = ", ".join(model.name for model in plan.models)
    parts = [
        paragraph(
            f"{names} on {plan.base} with {'; '.join(plan.sweeps)}: {len(plan.candidates)} "
            f"configurations, {len(result.points)} compared by the cycle model. On the front are "
            f"the {len(result.front)} that no other beats in cycles and {_listed(plan.costs)}."
        )
    ]
    if result.points:
        parts += [
            paragraph(
                "Filled: on the front. Hollow: beaten by another. Dashed: the fewest cycles for at "
                "most so much. Colours: DRAM bytes per cycle. Pointing at a dot names it."
            ),
            *(
                _chart(result, label, unit, cost)
                for label, unit, cost in (
                    ("multipliers", "", "multipliers"),
                    ("on-chip bytes", "bytes", "on_chip_bytes"),
                )
            ),
            legend(
                (COLOURS[i % len(COLOURS)], f"{width} bytes per cycle")
                for i, width in enumerate(_widths(result))
            ),
            heading("Configurations compared"),
            _points_table(result),
        ]
    if result.refused:
        axes = _axes(result)
        rows = [
            [r.candidate.name, *(r.candidate.values[axis] for axis in axes), "; ".join(r.reasons)]
            for r in result.refused
        ]
        parts += [heading("Refused"), table(["configuration", *axes, "why"], rows)]
    alike = [axis for axis in AXES if axis not in _axes(result)]
    values = plan.candidates[0].values
    parts += [paragraph("In all: " + ", ".join(f"{axis} {values[axis]:,}" for axis in alike) + ".")]
    if result.failures:
        parts += [heading("Failed"), *(paragraph(line) for line in result.failures)]
    return page(f"Design space of {plan.base}", parts)


def _axes(result: Exploration) -> list[str]:
    """Those in which the configurations differ."""
    candidates = result.plan.candidates
    return [axis for axis in AXES if len({c.values[axis] for c in candidates}) > 1]


def _listed(costs: Sequence[str]) -> str:
    return ", ".join(cost.replace("_", " ") for cost in costs)


def _axis(label: str, unit: str, values: Sequence[float]) -> Axis:
    """Logarithmic, with room at both ends."""
    return Axis(label, min(values) / 1.25, max(values) * 1.25, log=True, unit=unit)


def _chart(result: Exploration, label: str, unit: str, cost: str) -> str:
    """Cycles of all models over one cost."""
    plan, points = result.plan, result.points
    several = len(plan.models) > 1
    words = f"cycles ({plan.combine})" if several else f"cycles of {plan.models[0].name}"
    costs = [point.costs[cost] for point in points]
    y = _axis(words, "", [point.score for point in points])
    chart = Chart(_axis(label, unit, costs), y, 1000, 440)
    ordered = sorted(points, key=lambda p: (p.costs[cost], p.score))
    stairs: list[tuple[float, float]] = []
    for point in ordered:
        if not stairs or point.score < stairs[-1][1]:
            if stairs:
                stairs.append((point.costs[cost], stairs[-1][1]))
            stairs.append((point.costs[cost], point.score))
    stairs.append((ordered[-1].costs[cost], stairs[-1][1]))
    chart.line(stairs, dashed=True)
    colour, best = _colours(result), {point.arch.name for point in result.front}
    for point in sorted(points, key=lambda p: p.arch.name in best):  # the front lies on top
        on_front = point.arch.name in best
        chart.dot(
            point.costs[cost], point.score, _described(point), colour(point), hollow=not on_front
        )
    return chart.svg()


def _described(point: Point) -> str:
    lines = [point.arch.name, *(f"{axis} {value:,}" for axis, value in point.values.items())]
    lines += [f"{model}: {cycles:,} cycles" for model, cycles in point.cycles.items()]
    return "\n".join([*lines, f"{point.costs['on_chip_bytes']:,} bytes on chip"])


def _widths(result: Exploration) -> list[int]:
    return sorted({point.arch.bytes_per_cycle for point in result.points})


def _colours(result: Exploration) -> Callable[[Point], str]:
    widths = _widths(result)
    return lambda point: COLOURS[widths.index(point.arch.bytes_per_cycle) % len(COLOURS)]


def _points_table(result: Exploration) -> str:
    plan, axes = result.plan, _axes(result)
    models = [model.name for model in plan.models]
    combined = [plan.combine] if len(models) > 1 else []
    columns = ["configuration", *axes, *models, *combined, "multipliers", "on-chip bytes", "front"]
    best = {point.arch.name for point in result.front}
    rows, marked = [], []
    for point in sorted(result.points, key=lambda p: p.score):
        on_front = point.arch.name in best
        rows.append(
            [
                point.arch.name,
                *(point.values[axis] for axis in axes),
                *point.cycles.values(),
                *([point.score] if combined else []),
                point.costs["multipliers"],
                point.costs["on_chip_bytes"],
                "front" if on_front else "",
            ]
        )
        marked.append(on_front)
    return table(columns, rows, marked)
