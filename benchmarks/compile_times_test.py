"""The table of compile times: its columns make up the total, however long that is."""

from __future__ import annotations

import json
import pathlib

import onnx
import pytest

from jacquard.benchmarks import compile_times


def test_passes_make_up_the_total(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = [f"--model=benchmarks/{name}.qdq.onnx" for name in ("lenet", "gpt2_tiny2_decode")]
    configs = ["--config=nano4", "--config=edge16"]
    out = tmp_path / "times.json"
    assert compile_times.main([*models, *configs, "--rounds=2", f"--json={out}"]) == 0
    rows = json.loads(out.read_text())
    assert [(row["model"], row["config"]) for row in rows] == [
        ("lenet", "nano4"), ("lenet", "edge16"),
        ("gpt2_tiny2_decode", "nano4"), ("gpt2_tiny2_decode", "edge16"),
    ]
    for row in rows:
        parts = [row[column] for column in compile_times.COLUMNS]
        assert all(part > 0 for part in parts)
        assert sum(parts) <= row["total"]
        assert row["instructions"] > 50
    printed = capsys.readouterr().out
    assert "lenet" in printed and "graph passes" in printed


def test_stages_of_a_decoder_are_compiled_with_their_cache() -> None:
    stages = {name: onnx.load(f"benchmarks/{name}.qdq.onnx")
              for name in ("lenet", "gpt2_tiny2_decode")}
    assert {name: compile_times.stateful(m) for name, m in stages.items()} == {
        "lenet": False, "gpt2_tiny2_decode": True,
    }
