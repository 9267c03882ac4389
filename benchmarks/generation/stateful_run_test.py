"""`jacquard run` of graphs whose keys and values stay in the device: one decode step at one
position, one prefill, every layer and every state against the integer reference."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

from jacquard.benchmarks.generation.tiny_pair import ROWS, save
from jacquard.runtime.api.session import Session
from jacquard.runtime.cli import main
from jacquard.runtime.cli.entry import guarded

HEADS, DEPTH = 2, 32
STATES = [f"past.{layer}.{part}" for layer in (0, 1) for part in ("key", "value")]


@pytest.fixture(scope="module")
def decode(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return save(tmp_path_factory.mktemp("pair"))[1]


def run(decode: pathlib.Path, *argv: str) -> int:
    return guarded(main.main, ["run", f"--model={decode}", *argv])


def given(folder: pathlib.Path) -> list[str]:
    """Flags for the states that lie in a folder."""
    return [f"--state={name}={folder}/{name}.npy" for name in STATES]


def rows(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """The states in a folder, float32 [heads, rows, depth]."""
    found = {name: np.load(folder / f"{name}.npy") for name in STATES}
    assert all(array.shape == (1, HEADS, ROWS, DEPTH) for array in found.values())
    return {name: array[0] for name, array in found.items()}


@pytest.mark.parametrize("backend", ["func", "rtl"])
def test_a_step_writes_one_row(
    decode: pathlib.Path, backend: str, tmp_path: pathlib.Path
) -> None:
    """From random states, then from those that this left behind, at the row before."""
    flags = ["--config=nano4", f"--backend={backend}", f"--report={tmp_path}/r.json"]
    first, second = tmp_path / "first", tmp_path / "second"
    argv = [*flags, "--kv-cache", "--seed=5", "--argument=position=17"]
    assert run(decode, *argv, f"--output-dir={first}") == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["bit_exact"] and report["arguments"] == {"position": 17}
    checks = {layer["op"]: layer["output_check"] for layer in report["layers"]}
    assert "CacheAppend" in checks and set(checks.values()) == {"equal"}
    assert report["elements_compared"] > 2 * 4 * HEADS * ROWS * DEPTH  # states, and layers
    argv = [*flags, "--kv-cache", "--seed=6", "--argument=position=16", *given(first)]
    assert run(decode, *argv, f"--output-dir={second}") == 0
    for name, before in rows(first).items():
        changed = (rows(second)[name] != before).any(axis=(0, 2))
        assert np.flatnonzero(changed).tolist() == [16], name


def test_a_prefill_keeps_what_it_gives_otherwise(
    decode: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    prefill = decode.with_name("prefill.onnx")
    flags = ["--config=nano4", f"--report={tmp_path}/r.json", "--kv-cache"]
    assert run(prefill, *flags[:1], f"--output-dir={tmp_path}/given") == 0
    assert run(prefill, *flags, f"--output-dir={tmp_path}/kept") == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["bit_exact"] and [output["name"] for output in report["outputs"]] == ["logits"]
    for name, array in rows(tmp_path / "kept").items():
        present = np.load(tmp_path / "given" / f"{name.replace('past', 'present')}.npy")
        np.testing.assert_array_equal(array, present[0])


def test_a_compiled_program(decode: pathlib.Path, tmp_path: pathlib.Path) -> None:
    program = tmp_path / "d.npu"
    command = ["compile", f"--model={decode}", "--kv-cache", f"--output={program}"]
    assert guarded(main.main, command) == 0
    argv = [f"--program={program}", "--argument=position=0", f"--output-dir={tmp_path}/a"]
    assert run(decode, *argv) == 0
    same = ["--kv-cache", "--argument=position=0", f"--output-dir={tmp_path}/b"]
    assert run(decode, *same) == 0
    for name in ["logits", *STATES]:
        np.testing.assert_array_equal(
            np.load(tmp_path / "a" / f"{name}.npy"), np.load(tmp_path / "b" / f"{name}.npy")
        )


def test_what_the_mask_says_of_the_overwritten_row_counts_for_nothing(
    decode: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    folders = []
    for seen in (0, 1):
        mask = np.ones((1, ROWS + 1), np.int64)
        mask[0, 9] = seen
        np.save(tmp_path / "mask.npy", mask)
        folders.append(tmp_path / f"seen{seen}")
        argv = ["--kv-cache", "--argument=position=9", f"--output-dir={folders[-1]}"]
        assert run(decode, *argv, f"--input=attention_mask={tmp_path}/mask.npy") == 0
    logits = [np.load(folder / "logits.npy") for folder in folders]
    np.testing.assert_array_equal(*logits)


def test_a_row_in_the_wrong_place_is_found(
    decode: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    honest = Session.run

    def one_further(self: Session, *args, arguments, **kwargs):  # type: ignore[no-untyped-def]
        return honest(self, *args, arguments={"position": arguments["position"] + 1}, **kwargs)

    monkeypatch.setattr(Session, "run", one_further)
    argv = ["--kv-cache", "--argument=position=17", f"--report={tmp_path}/r.json"]
    assert run(decode, *argv) == 1
    report = json.loads((tmp_path / "r.json").read_text())
    assert not report["bit_exact"] and "differ" in report["error"]
    wrong = [layer["op"] for layer in report["layers"] if layer["output_check"] == "differs"]
    assert wrong[0] == "CacheAppend"
    said = capsys.readouterr().out
    assert all(f"state {name}: " in said for name in STATES)


@pytest.mark.parametrize(
    "argv,message",
    [
        ([], "argument position: is missing; give a number from 0 to 31"),
        (["--argument=position=32"], "argument position: must be from 0 to 31, got 32"),
        (["--argument=place=1", "--argument=position=1"], "argument place: must be an argument of"),
        (["--argument=position=1", "--input=past.0.key={k}"], "must be given as --state past.0"),
        (["--argument=position=1", "--state=input_ids={k}"], "input_ids must be a state of the"),
        (["--argument=position=1", "--state=past.0.key={k}"], "shape must be [1, 2, 32, 32], got"),
    ],
)
def test_what_does_not_fit(
    argv: list[str],
    message: str,
    decode: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.save(tmp_path / "k.npy", np.zeros((1, 2, 31, 32), np.float32))
    argv = [flag.format(k=tmp_path / "k.npy") for flag in argv]
    assert run(decode, "--kv-cache", *argv, f"--report={tmp_path}/r.json") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "r.json").exists()
