"""Every configuration ran in RTL, and is in the table with the time that its simulator took."""

import os
import pathlib

import pytest

from jacquard.benchmarks.figures import configurations
from jacquard.benchmarks.figures.data import read
from jacquard.proto.lib.arch import config_names

FIGURES = read(
    pathlib.Path(os.environ["PUBLISHED"]),
    pathlib.Path(os.environ["GOALS"]),
    [pathlib.Path(report) for report in os.environ["REPORTS"].split()],
)
CONFIGS = configurations.configs(FIGURES)


def test_every_configuration_is_in_the_table() -> None:
    assert sorted(CONFIGS) == sorted(config_names())
    page = configurations.text(FIGURES)
    assert [f"| {config} |" in page for config in CONFIGS] == [True] * len(CONFIGS)


@pytest.mark.parametrize("config", CONFIGS)
def test_building_the_simulator_was_timed(config: str) -> None:
    seconds = configurations.build_seconds(FIGURES, config)
    assert seconds > 1  # it cannot have been built in less
    assert f"{seconds:.0f} s |" in configurations.text(FIGURES)
