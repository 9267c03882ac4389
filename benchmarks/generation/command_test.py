"""`jacquard generate` on the cut of GPT-2: tokens, report and errors of the user's own pair."""

from __future__ import annotations

import json
import pathlib

import onnx
import pytest

from jacquard.benchmarks.generation.tiny_pair import quantized_pair, save
from jacquard.runtime.cli import main
from jacquard.runtime.cli.entry import guarded


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    prefill, decode = save(tmp_path_factory.mktemp("pair"))
    return ["generate", f"--prefill={prefill}", f"--decode={decode}", "--config=nano4"]


def test_tokens_and_report(
    pair: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--prompt-ids=17,400,3", "--tokens=4", "--top-k=200", "--temperature=30", "--seed=1"]
    assert guarded(main.main, [*pair, *argv, "--check", f"--report={tmp_path}/r.json"]) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    tokens = report["tokens"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "prompt            prefill of positions 0 to 1"
    token, step = lines[1].split("  decode of ")
    assert (token.rstrip(), step) == (f"token 1: {tokens[0]}", "position 2, cache of 32 rows")
    assert lines[5] == "tokens: " + ",".join(map(str, tokens))
    assert lines[6] == "bit-exact with the integer reference (tokens and logits)"
    assert report["checked"] and report["bit_exact"] and report["error"] == ""
    assert (report["model"], report["backend"]) == ("prefill", "func")
    assert report["prompt"] == [17, 400, 3]
    ran = [(step["stage"], step["position"], step["gave_token"]) for step in report["steps"]]
    assert ran == [("prefill", 1, False), *(("decode", p, True) for p in (2, 3, 4, 5))]
    assert [step["token"] for step in report["steps"][1:]] == tokens
    assert len(tokens) == 4 and len(set(tokens)) > 1


def test_programs_give_the_same_tokens(
    pair: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--prompt-ids=5,6", "--tokens=3", "--top-k=200", "--temperature=30"]
    assert guarded(main.main, [*pair, *argv, "--nokv_cache"]) == 0
    wanted = capsys.readouterr().out.splitlines()[4]
    compiled = []
    for flag in pair[1:3]:
        kind, path = flag[2:].split("=")
        program = tmp_path / f"{kind}.npu"
        command = ["compile", f"--model={path}", "--config=nano4", f"--output={program}"]
        assert guarded(main.main, command) == 0
        compiled.append(f"--{kind}={program}")
    capsys.readouterr()
    assert guarded(main.main, ["generate", *compiled, "--config=nano4", *argv]) == 0
    assert capsys.readouterr().out.splitlines()[4] == wanted
    assert guarded(main.main, ["generate", *compiled, "--config=edge16", *argv]) == 1
    assert "fingerprint" in capsys.readouterr().err


def test_cycles_per_token_in_rtl(
    pair: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Greedy, as the issue asks: two tokens."""
    argv = ["--prompt-ids=17,400,3", "--tokens=2", "--backend=rtl", "--check"]
    assert guarded(main.main, [*pair, *argv, f"--report={tmp_path}/r.json"]) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["bit_exact"]
    prefill, *decodes = [step["cycles"] for step in report["steps"]]
    assert report["prefill_cycles"] == prefill > max(decodes) >= min(decodes) > 0
    mean = report["decode_cycles_per_token"]
    assert mean == round(sum(decodes) / 2)
    assert f"decode {mean:,} cycles per token" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv,message",
    [
        (["--prompt-ids=1,512"], "prompt: token ids must be from 0 to 511, got 512"),
        (["--prompt-ids=1,-1"], "prompt: token ids must be from 0 to 511, got -1"),
        (["--prompt-ids=1,2", "--tokens=31"], "must fit into the 32 rows of the largest cache"),
    ],
)
def test_what_does_not_fit(
    argv: list[str],
    message: str,
    pair: list[str],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert guarded(main.main, [*pair, *argv, f"--report={tmp_path}/r.json"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert list(tmp_path.iterdir()) == []


def test_another_scale_of_the_cache(
    pair: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = onnx.ModelProto()
    other.CopyFrom(quantized_pair()[1])
    for tensor in other.graph.initializer:
        name = tensor.name
        if name.startswith("present.1.value") and name.endswith("_scale"):
            doubled = 2 * onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(doubled, name))
    onnx.save(other, tmp_path / "decode.onnx")
    argv = [*pair[:2], f"--decode={tmp_path}/decode.onnx", pair[3], "--prompt-ids=1"]
    assert guarded(main.main, argv) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "decode decode: cache: layer 1's value must lie on the prefill's grid" in line
