"""A tuned program is not slower than the compiler's, and where it runs it is right to the bit, and
takes the cycles that the search said."""

from __future__ import annotations

import json
import os
import pathlib

import pytest

from jacquard.compiler.overrides import SIZES, read_overrides

TUNED = json.loads(pathlib.Path(os.environ["TUNED"]).read_text())
OVERRIDES = read_overrides(os.environ["OVERRIDES"])
# Reports of `run`: of the program as compiled, in RTL, and of the tuned one.
RUNS = {
    name: json.loads(pathlib.Path(os.environ[name]).read_text())
    for name in ("DEFAULT", "FUNC", "RTL")
    if name in os.environ
}


def test_it_is_not_slower() -> None:
    assert 0 < TUNED["cycles"] <= TUNED["default_cycles"]
    assert (TUNED["cycles"] < TUNED["default_cycles"]) == bool(OVERRIDES)


def test_it_started_from_what_rtl_counts() -> None:
    default = RUNS["DEFAULT"]
    assert not default["error"]
    assert (default["model"], default["config"]) == (TUNED["model"], TUNED["config"])
    # Rows of a table lie where the ids say, and the search has none.
    free = 0.001 if any(layer["op"] == "Gather" for layer in default["layers"]) else 0.0
    assert TUNED["default_cycles"] == pytest.approx(default["cycles"], rel=free, abs=0)
    names = {layer["name"] for layer in default["layers"]}
    assert names >= {name for row in TUNED["layers"] for name in row["layers"]}


def test_overrides_are_what_the_table_says() -> None:
    changed = {name for row in TUNED["layers"] if row["won"] != row["default"]
               for name in row["layers"]}
    assert changed <= set(OVERRIDES) and len(OVERRIDES) == TUNED["overridden_layers"]
    for override in OVERRIDES.values():
        assert {"tile_height", "tile_width", "output_tiles"} <= set(override.given(SIZES))


@pytest.mark.parametrize("run", [name for name in RUNS if name != "DEFAULT"])
def test_the_tuned_program_is_right(run: str) -> None:
    report = RUNS[run]
    assert not report["error"]
    assert report["bit_exact"] and report["elements_compared"] > 0
    assert report["fingerprint"] == RUNS["DEFAULT"]["fingerprint"]
    floors = {layer["name"]: layer["floor_cycles"] for layer in report["layers"]}
    assert floors == {layer["name"]: layer["floor_cycles"] for layer in RUNS["DEFAULT"]["layers"]}


def test_rtl_counts_what_the_search_said() -> None:
    if "RTL" in RUNS:
        assert RUNS["RTL"]["cycles"] == TUNED["cycles"]
        cycles = {layer["name"]: layer["cycles"] for layer in RUNS["RTL"]["layers"]}
        for row in TUNED["layers"]:
            assert sum(cycles[name] for name in row["layers"]) == row["cycles"]
