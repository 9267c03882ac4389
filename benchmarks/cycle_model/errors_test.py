"""What is compared, on reports made by hand."""

from __future__ import annotations

import copy
import json

import pytest

from jacquard.benchmarks.cycle_model.errors import errors, load
from jacquard.benchmarks.cycle_model.table import text

RTL = {
    "model": "m",
    "config": "nano4",
    "fingerprint": "0" * 16,
    "macs": 1,
    "arguments": {},
    "error": "",
    "cycles": 100_000,
    "wall_seconds": 2.0,
    "layers": [
        {"name": "long", "cycles": 80_000},
        {"name": "short", "cycles": 9_000},
        {"name": "middle", "cycles": 11_000},
    ],
    "engines": {"LOAD": {"busy": 60_000, "empty": 40_000}},
}


def changed(**fields: object) -> dict[str, object]:
    return copy.deepcopy(RTL) | fields


def test_errors_are_relative_to_rtl_and_short_layers_do_not_count() -> None:
    layers = copy.deepcopy(RTL["layers"])
    for layer, cycles in zip(layers, (84_000, 1, 10_340), strict=True):
        layer["cycles"] = cycles
    found = errors(
        changed(cycles=98_000, layers=layers, engines={"LOAD": {"busy": 61_500, "empty": 36_500}}),
        RTL,
    )
    assert found.whole == pytest.approx(-0.02)
    assert [layer.name for layer in found.layers] == ["long", "middle"]
    assert found.worst_layer.name == "middle"
    assert found.worst_layer.error == pytest.approx(-0.06)
    assert found.largest_bucket_error == pytest.approx(0.035)


def test_the_same_run_has_no_error() -> None:
    found = errors(changed(), RTL)
    assert (found.whole, found.worst_layer.error, found.largest_bucket_error) == (0, 0, 0)
    assert "| m | nano4 | 100,000 | 100,000 | 0.00 % | 0.00 % |" in text([found])


@pytest.mark.parametrize("field", ["model", "config", "fingerprint", "macs", "arguments"])
def test_runs_of_two_programs_are_not_compared(field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: must be the same"):
        errors(changed(**{field: "other"}), RTL)


def test_a_failed_run_is_not_compared(tmp_path) -> None:  # noqa: ANN001
    path = tmp_path / "report.json"
    path.write_text(json.dumps(changed(error="WATCHDOG")))
    with pytest.raises(ValueError, match="must have ended, got: WATCHDOG"):
        load(path)
