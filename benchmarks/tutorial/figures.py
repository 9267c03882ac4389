"""What the tutorial compares: the variants' reports, as a table and pair by pair.

In: the folder of `:runs`. Out: rows of figures; what of them moved between two variants.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jacquard.proto.lib.errors import UserError
from jacquard.runtime.profile.bound import NAMES

BUCKETS = {bucket.name.lower(): name for bucket, name in NAMES.items()}
"""As reports name them, and as people read them."""
_MOVED = {"MATRIX": 0.003, "LOAD": 0.01}  # of a run's cycles: what changed less is not told
_LAYERS = 3  # of those whose cycles changed most


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number and how many decimals of it are shown."""

    value: float
    digits: int

    def __str__(self) -> str:
        return f"{self.value:.{self.digits}f}"


Row = Sequence[str | Figure]


@dataclasses.dataclass(frozen=True)
class Run:
    """One variant.

    Attributes:
      change, kind: what differs from the default, in words, and which exercise that is.
      report: of the cycle model (report.proto as JSON).
      checked: the backend that ran it too, if one did; `check_report` is its report.
    """

    model: str
    name: str
    change: str
    kind: str
    report: Mapping[str, Any]
    checked: str = ""
    check_report: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def cycles(self) -> int:
        return int(self.report["cycles"])

    def share(self, engine: str, bucket: str) -> float:
        """Of the run's cycles, that an engine spent in a bucket."""
        return float(self.report["engines"][engine][bucket]) / self.cycles

    def largest_idle(self, engine: str) -> str:
        """The bucket in which it lost most: `waiting for LOAD 1.5 %`."""
        idle = [b for b in BUCKETS if b != "busy"]
        most = max(idle, key=lambda bucket: self.share(engine, bucket))
        return f"{BUCKETS[most]} {100 * self.share(engine, most):.1f} %"


def load(folder: pathlib.Path) -> list[Run]:
    """All variants, in their order."""
    found = []
    for entry in json.loads((folder / "runs.json").read_text()):
        stem, check = f"{entry['model']}_{entry['name']}", entry.get("check", "")
        found.append(
            Run(
                entry["model"],
                entry["name"],
                entry["change"],
                entry.get("kind", "default"),
                _report(folder / f"{stem}.json"),
                check,
                _report(folder / f"{stem}_{check}.json") if check else {},
            )
        )
    return found


def read_own(path: pathlib.Path, runs: Sequence[Run]) -> Run:
    """The reader's run, from its report. Raises UserError."""
    place = f"--add {path}"
    try:
        report = _report(path)
        model, cycles = report["model"], report["cycles"]
    except OSError as error:
        got = error.strerror
        raise UserError(f"{place}: must be a report, got {got}; check the path") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{place}: must be a report of `run` or `profile`, got none") from None
    models = sorted({run.model for run in runs})
    if model not in models:
        raise UserError(f"{place}: model must be one of {', '.join(models)}, got {model}")
    if not cycles:
        raise UserError(
            f"{place}: must have cycles, got none; run it with --backend perf or rtl, "
            f"{report.get('error') or 'func has no time'}"
        )
    return Run(model, path.name.removesuffix(".json"), "yours", "yours", report)


def _report(path: pathlib.Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def default_of(run: Run, runs: Sequence[Run]) -> Run:
    """What a variant is compared with."""
    return next(r for r in runs if (r.model, r.name) == (run.model, "default"))


def _memory(field: str) -> Callable[[Run], float]:
    return lambda run: float(run.report["memory"][field]) / 1e6


# Heading, how many decimals, the figure.
FIGURES: Sequence[tuple[str, int, Callable[[Run], float]]] = (
    ("cycles (M)", 3, lambda run: run.cycles / 1e6),
    ("x floor", 3, lambda run: run.cycles / run.report["layer_floor_cycles"]),
    ("read (MB)", 1, lambda run: run.report["dram_read_bytes"] / 1e6),
    ("written (MB)", 1, lambda run: run.report["dram_write_bytes"] / 1e6),
    ("fetched again (MB)", 1, _memory("refetched_bytes")),
    ("spilled (MB)", 1, _memory("spilled_bytes")),
    ("array busy (%)", 1, lambda run: 100 * run.share("MATRIX", "busy")),
    ("array used (%)", 1, lambda run: 100 * run.report["array_utilization"]),
)
IDLE = ("MATRIX", "LOAD")


def columns() -> list[str]:
    """Heads of the table."""
    first, *others = (name for name, _, _ in FIGURES)
    idle = [f"{engine} idles most" for engine in IDLE]
    return ["variant", first, "x default", *others, *idle, "also in", "what is changed"]


def row(run: Run, runs: Sequence[Run]) -> Row:
    """A variant's figures, under `columns`."""
    first, *others = (Figure(figure(run), digits) for _, digits, figure in FIGURES)
    ratio = Figure(run.cycles / default_of(run, runs).cycles, 3)
    idle = [run.largest_idle(engine) for engine in IDLE]
    return [f"{run.model} {run.name}", first, ratio, *others, *idle, run.checked, run.change]


def moved(before: Run, after: Run) -> list[Row]:
    """What a change moved: [name, before, after]: figures, what MATRIX and LOAD did, layers."""
    found: list[Row] = []
    for name, digits, figure in FIGURES:
        pair = [Figure(figure(run), digits) for run in (before, after)]
        if str(pair[0]) != str(pair[1]):
            found.append([name, *pair])
    for engine in IDLE:
        for bucket, words in BUCKETS.items():
            shares = [run.share(engine, bucket) for run in (before, after)]
            if abs(shares[0] - shares[1]) > _MOVED[engine] and (engine, bucket) != ("MATRIX", "busy"):
                found.append([f"{engine} {words} (%)", *(Figure(100 * s, 1) for s in shares)])
    was, now = (
        {layer["name"]: layer["cycles"] for layer in run.report["layers"]}
        for run in (before, after)
    )

    def grown(name: str) -> float:
        """Of the run's cycles; rounded, so that of equal layers the first is told."""
        return float(round(abs(now[name] - was[name]) / before.cycles, 3))

    most = sorted((name for name in was if name in now and grown(name)), key=grown, reverse=True)
    found += [
        [f"layer {name} (M)", Figure(was[name] / 1e6, 3), Figure(now[name] / 1e6, 3)]
        for name in most[:_LAYERS]
    ]
    return found
