"""What is written down: overrides that read back, a table whose figures are the programs'."""

from __future__ import annotations

import json
import pathlib

from jacquard.compiler.main import CompileOptions, compile_model
from jacquard.compiler.overrides import LayerOverride, read_overrides
from jacquard.proto.lib.arch import load_config
from jacquard.runtime.profile import sample
from jacquard.runtime.tune import result
from jacquard.runtime.tune.network import Network
from jacquard.runtime.tune.search import Limits, search
from jacquard.runtime.tune.work import timer
from jacquard.sim.perf.estimate import estimate

NANO4 = load_config("nano4")


def test_overrides_read_back(tmp_path: pathlib.Path) -> None:
    overrides = {
        "conv1": LayerOverride(tile_height=3, tile_width=5, channel_tiles=7, output_tiles=1),
        'a "quoted" \\ name': LayerOverride(order="weights", placement="dram", fuse=False),
        "b": LayerOverride(order="inputs", placement="chip", fuse=True),
    }
    path = tmp_path / "o.textproto"
    result.write_overrides(overrides, path)
    assert read_overrides(path) == overrides
    assert len(path.read_text().splitlines()) == 2 + len(overrides)
    result.write_overrides({}, path)
    assert read_overrides(path) == {}
    assert list(tmp_path.iterdir()) == [path]


def test_the_tables_figures_are_those_of_the_programs() -> None:
    qdq, fixed = sample.quantized(), {"classes": LayerOverride(output_tiles=2)}
    options = CompileOptions(model_name="sample", overrides=fixed)
    network = Network(qdq, NANO4, options)
    with timer(network, qdq, options, 1) as times:
        found = search(network, times, Limits(beam=8, evaluations=40))
    tuned = result.tuned(qdq, NANO4, options, network, found)
    assert tuned.overrides == {**fixed, **found.overrides} and found.overrides
    cycles = {}
    for name, overrides in (("before", fixed), ("after", tuned.overrides)):
        program = compile_model(qdq, NANO4, CompileOptions(overrides=overrides))
        told = estimate(program, NANO4)
        cycles[name] = told.cycles, dict(
            zip((layer.name for layer in program.layers), told.layer_cycles, strict=True)
        )
    assert (tuned.default_cycles, tuned.cycles) == (cycles["before"][0], cycles["after"][0])
    assert {row.layers for row in tuned.rows} == {("first",), ("a <second> & last",)}
    for row in tuned.rows:
        (layer,) = row.layers
        assert row.default_cycles == cycles["before"][1][layer]
        assert row.cycles == cycles["after"][1][layer]
        assert (row.won != row.default) == (layer in found.overrides)
        assert row.bound and row.floor_cycles > 0
    told = result.figures(tuned)
    assert json.loads(json.dumps(told))["cycles"] == tuned.cycles
    page = result.markdown(tuned)
    for row in tuned.rows:
        won = row.won if row.won != row.default else "the same"
        assert f"| {row.layers[0]} | 1 | {row.default} | {won} | {row.default_cycles:,} |" in page
