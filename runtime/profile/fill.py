"""Puts what a profile found beside a run's figures into its report."""

from __future__ import annotations

from jacquard.proto import report_pb2
from jacquard.runtime.profile.measure import Profile


def fill(profile: Profile, report: report_pb2.Report) -> None:
    """Bounds and reliefs. `report`: of the same run, as build_report makes it."""
    report.timed_by = profile.timed_by
    report.relief_base_cycles = profile.base_cycles
    for relief in profile.reliefs:
        report.reliefs.add(
            name=relief.name, what=relief.what, cycles=relief.cycles, problem=relief.problem
        )
    for layer, found in zip(report.layers, profile.layers, strict=True):
        layer.bound = found.bound
        layer.relief_cycles.update(found.relief)
