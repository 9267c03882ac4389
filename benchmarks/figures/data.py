"""What stands in published.json and goals.json, and the RTL reports that are laid beside it."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from jacquard.benchmarks.cycle_model.errors import load

TABLES = ("resnet50", "scaling", "simulation", "compiler")


@dataclasses.dataclass(frozen=True)
class Published:
    """A figure of somebody else's."""

    table: str  # of TABLES
    who: str
    value: int | str  # a number, or words where the source has no single one
    unit: str
    how: str  # it came about
    title: str  # of the source
    year: int
    address: str

    @property
    def source(self) -> str:
        """As Markdown."""
        return f"[{self.title}, {self.year}]({self.address})"


@dataclasses.dataclass(frozen=True)
class Figures:
    """Everything that the pages are made from. `runs`: (model, configuration) -> report of RTL."""

    published: tuple[Published, ...]
    goals: dict[str, Any]
    runs: dict[tuple[str, str], dict[str, Any]]

    def of(self, table: str) -> list[Published]:
        return [figure for figure in self.published if figure.table == table]

    def cycles(self, model: str, config: str) -> int:
        return int(self.runs[model, config]["cycles"])

    def goal_runs(self) -> list[tuple[str, str]]:
        """(model, configuration) that have a goal, in the goals' order."""
        return [(m, c) for m, configs in self.goals["cycles"].items() for c in configs]


def read(
    published: pathlib.Path, goals: pathlib.Path, reports: Sequence[pathlib.Path]
) -> Figures:
    """Raises ValueError where a run failed, a figure is in no table or a goal has no run."""
    figures = tuple(Published(**entry) for entry in json.loads(published.read_text()))
    unknown = sorted({figure.table for figure in figures} - set(TABLES))
    if unknown:
        raise ValueError(
            f"{published.name}: table must be one of {', '.join(TABLES)}, got {', '.join(unknown)}"
        )
    loaded = [load(path) for path in reports]
    runs = {(report["model"], report["config"]): report for report in loaded}
    found = Figures(figures, json.loads(goals.read_text()), runs)
    missing = [f"{m} on {c}" for m, c in found.goal_runs() if (m, c) not in runs]
    if missing:
        raise ValueError(
            f"{goals.name}: must have an RTL report each, got none of {', '.join(missing)}"
        )
    return found
