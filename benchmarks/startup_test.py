"""No layer of the whole networks starts later than its configuration's goal allows."""

import os
import pathlib

import pytest

from jacquard.benchmarks.figures.data import read

FIGURES = read(
    pathlib.Path(os.environ["PUBLISHED"]),
    pathlib.Path(os.environ["GOALS"]),
    [pathlib.Path(report) for report in os.environ["REPORTS"].split()],
)
LIMITS = FIGURES.goals["startup_cycles"]
RUNS = [(m, c) for m, c in FIGURES.goal_runs() if c in LIMITS]


def test_there_is_something_to_judge() -> None:
    assert {config for _, config in RUNS} == set(LIMITS)


@pytest.mark.parametrize("model,config", RUNS)
def test_every_layer_starts_within_the_limit(model: str, config: str) -> None:
    layers = FIGURES.runs[model, config]["layers"]
    assert any(layer["startup_cycles"] for layer in layers)
    late = {x["name"]: x["startup_cycles"] for x in layers if x["startup_cycles"] >= LIMITS[config]}
    assert not late


@pytest.mark.parametrize("model,config", FIGURES.goal_runs())
def test_start_up_is_a_part_of_the_run(model: str, config: str) -> None:
    report = FIGURES.runs[model, config]
    for layer in report["layers"]:
        assert 0 <= layer["startup_cycles"] <= layer["matrix_idle_cycles"]
        if not layer["engines"]["MATRIX"]["busy"]:
            assert layer["matrix_idle_cycles"] == 0, layer["name"]
    matrix = report["engines"]["MATRIX"]
    idle = sum(layer["matrix_idle_cycles"] for layer in report["layers"])
    assert idle <= report["cycles"] - matrix["busy"]
