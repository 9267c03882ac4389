"""docs/figures.svg: cycles over the layer floor, ours of each configuration, others' ResNet50."""

from __future__ import annotations

from jacquard.benchmarks.figures.data import Figures
from jacquard.benchmarks.figures.page import NETWORK, SMALL
from jacquard.runtime.plot.axis import Axis
from jacquard.runtime.plot.chart import COLOURS, Chart

_OTHERS = COLOURS[-1]


def picture(figures: Figures) -> str:
    """An SVG file's text."""
    floor = figures.runs[NETWORK, SMALL]["layer_floor_cycles"]
    others = [(figure, int(figure.value) / floor) for figure in figures.of("resnet50")]
    runs = [(run, figures.runs[run]) for run in figures.goal_runs()]
    own = [report["cycles"] / report["layer_floor_cycles"] for _, report in runs]
    floors = [report["layer_floor_cycles"] for _, report in runs]
    high = 1.05 * max(own + [ratio for _, ratio in others])
    x = Axis("layer floor, cycles", min(floors) / 1.5, max(floors) * 2, log=True)
    y = Axis("cycles / layer floor", min(0.9, *own), high)
    chart = Chart(x, y)
    chart.line([(x.low, 1), (x.high, 1)], dashed=True, title="the layer floor")
    for figure, ratio in others:
        chart.dot(floor, ratio, f"{figure.who}: {ratio:.2f}", _OTHERS, hollow=True)
        chart.words(floor, ratio, figure.who, right=False)
    configs = list(dict.fromkeys(config for (_, config), _ in runs))
    for ((model, config), report), ratio in zip(runs, own, strict=True):
        told = f"{model} on {config}: {ratio:.3f}"
        chart.dot(report["layer_floor_cycles"], ratio, told, COLOURS[configs.index(config)])
    for place, config in enumerate(configs):
        at = high - (place + 1) * (high - y.low) / 16
        chart.dot(x.high / 1.9, at, config, COLOURS[place])
        chart.words(x.high / 1.9, at, f"{config}, RTL", right=True)
    return chart.svg() + "\n"
