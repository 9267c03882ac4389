"""The page, its picture and the table of configurations, on reports made by hand."""

from __future__ import annotations

import copy
import json
import pathlib
from typing import Any

import pytest

from jacquard.benchmarks.figures import configurations, page, picture, startup
from jacquard.benchmarks.figures.data import Figures, read

_HERE = pathlib.Path(__file__).parent
PUBLISHED, GOALS = _HERE / "published.json", _HERE / "goals.json"
LAYER = {"startup_cycles": 0, "matrix_idle_cycles": 0, "engines": {"MATRIX": {"busy": 1}}}


def report(model: str, config: str, cycles: int) -> dict[str, Any]:
    layers = [
        LAYER | {"name": "slow", "startup_cycles": 30, "matrix_idle_cycles": 40},
        LAYER | {"name": "normed", "startup_cycles": 20, "matrix_idle_cycles": 90},
        LAYER | {"name": "pool", "matrix_idle_cycles": 0, "engines": {"MATRIX": {"busy": 0}}},
    ]
    return {
        "model": model,
        "config": config,
        "error": "",
        "cycles": cycles,
        "layer_floor_cycles": cycles * 4 // 5,
        "roofline_cycles": cycles // 2,
        "array_utilization": 0.75,
        "engines": {"MATRIX": {"wait_vector": cycles // 100}},
        "memory": {"planned_bytes": 1_204_224, "lower_bound_bytes": 1_204_224},
        "simulator_build_seconds": 31.4,
        "simulated_hz": 1.5e6,
        "wall_seconds": 2.0,
        "layers": copy.deepcopy(layers),
    }


@pytest.fixture
def paths(tmp_path: pathlib.Path) -> list[pathlib.Path]:
    found = []
    for model, configs in json.loads(GOALS.read_text())["cycles"].items():
        for config, goal in configs.items():
            found.append(tmp_path / f"{model}_{config}.json")
            found[-1].write_text(json.dumps(report(model, config, goal["goal"])))
    found.append(tmp_path / "tiny.json")
    found[-1].write_text(json.dumps(report("tiny", "edge16", 5000) | {"simulated_hz": 9e6}))
    return found


@pytest.fixture
def figures(paths: list[pathlib.Path]) -> Figures:
    return read(PUBLISHED, GOALS, paths)


def test_goals_stand_beside_what_was_counted(figures: Figures) -> None:
    made = page.text(figures)
    assert ("| resnet50 | edge16 | ≤ 17.00 M (16.34) | 17,000,000 | 13,600,000 | 1.250 "
            "| 8,500,000 | 75.0 % | 1.0 % |") in made
    assert ("| bert_base | edge16 | ≤ 45.50 M (43.70) | 45,500,000 | 36,400,000 | 1.250 "
            "| 22,750,000 | 75.0 % | 1.0 % (≤ 2 %) |") in made


def test_others_stand_beside_ours_with_their_source(figures: Figures) -> None:
    made = page.text(figures)
    for figure in figures.published:
        assert figure.who in made and figure.source in made
    assert f"| {figures.of('resnet50')[0].who} | 30,100,000 | 2.21 | 1.77 |" in made
    assert "| this project, resnet50 | 12.59 | RTL; the layer floors say 12.59 |" in made


def test_the_largest_start_up_is_named(figures: Figures) -> None:
    assert "| resnet50 | server64 | 2 | 30 | slow | 0.00 % | 90 | normed |" in page.text(figures)
    with pytest.raises(ValueError, match="no layer has array passes"):
        startup.worst(report("m", "c", 1) | {"layers": []})


def test_the_picture_has_a_dot_for_each(figures: Figures) -> None:
    made = picture.picture(figures)
    legend = 3
    assert made.count("<circle") == len(figures.of("resnet50")) + len(figures.goal_runs()) + legend
    assert "bert_base on mobile32: 1.250" in made


def test_rates_are_of_long_runs(figures: Figures) -> None:
    made = configurations.text(figures)
    assert ("| edge16 | supported | 16 x 16 | 256 | 16 | 320 KiB | 16 | 31 s | 1.50 | 2 | "
            "gpt2_prefill: 48,000,000 cycles in 2.0 s | "
            "bert_base, gpt2_decode, gpt2_prefill, resnet50, tiny |") in made
    assert "MHz" not in page.text(figures)


def test_a_goal_without_a_run_is_refused(paths: list[pathlib.Path]) -> None:
    with pytest.raises(ValueError, match="got none of resnet50 on edge16"):
        read(PUBLISHED, GOALS, paths[1:])


def test_a_figure_in_no_table_is_refused(
    paths: list[pathlib.Path], tmp_path: pathlib.Path
) -> None:
    entries = json.loads(PUBLISHED.read_text())
    entries[0]["table"] = "others"
    (tmp_path / "published.json").write_text(json.dumps(entries))
    with pytest.raises(ValueError, match="table must be one of resnet50, .*, got others"):
        read(tmp_path / "published.json", GOALS, paths)
