"""`jacquard generate` on the cut of GPT-2: tokens, report and errors of the user's own pair."""

from __future__ import annotations

import json
import pathlib

import onnx
import pytest

from jacquard.benchmarks.generation.tiny_pair import longer, quantized_pair, save
from jacquard.runtime.cli import graphs, main
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


def compiled(flag: str, folder: pathlib.Path, *options: str) -> str:
    """The flag with a program instead of the model."""
    kind, path = flag[2:].split("=")
    program = folder / f"{kind}{'_'.join(options)}.npu"
    assert guarded(main.main, ["compile", f"--model={path}", f"--output={program}", *options]) == 0
    return f"--{kind}={program}"


@pytest.mark.parametrize("cache", ["--kv_cache", "--nokv_cache"])
def test_programs_give_the_same_tokens(
    cache: str, pair: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--prompt-ids=5,6", "--tokens=3", "--top-k=200", "--temperature=30"]
    assert guarded(main.main, [*pair, *argv, "--nokv_cache"]) == 0
    wanted = capsys.readouterr().out.splitlines()[4]
    programs = [compiled(flag, tmp_path, "--config=nano4", cache) for flag in pair[1:3]]
    capsys.readouterr()
    assert guarded(main.main, ["generate", *programs, "--config=nano4", *argv]) == 0
    assert capsys.readouterr().out.splitlines()[4] == wanted
    assert guarded(main.main, ["generate", *programs, "--config=edge16", *argv]) == 1
    assert "fingerprint" in capsys.readouterr().err


def test_programs_that_do_not_belong_together(
    pair: list[str], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bucket of another fingerprint; one that keeps its cache elsewhere than the prefill does."""
    prefill = compiled(pair[1], tmp_path, "--config=nano4")
    other = compiled(pair[2], tmp_path, "--config=edge16", "--kv_cache")
    capsys.readouterr()
    for flags, message in (
        ([pair[1], pair[2], other], "must equal the device's"),
        ([prefill, pair[2]], "decode decode: cache: must be kept in the host, as the prefill's is"),
    ):
        assert guarded(main.main, ["generate", *flags, "--config=nano4", "--prompt-ids=1"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line


def test_a_built_in_cache_that_the_machine_cannot_hold_is_left_out(
    pair: list[str],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """nano4 has room for the keys of 32 rows; edge16 takes the longer cache, too."""
    (tmp_path / "benchmarks").mkdir()
    for name, model in (
        ("prefill", quantized_pair()[0]), ("decode", quantized_pair()[1]), ("decode_64", longer())
    ):
        onnx.save(model, tmp_path / "benchmarks" / f"small_{name}.qdq.onnx")
    monkeypatch.setattr(graphs.jacquard, "__path__", [
        *graphs.jacquard.__path__, str(tmp_path)])
    argv = ["generate", "--model=small", "--prompt-ids=" + ",".join(["7"] * 31), "--tokens=3"]
    assert guarded(main.main, [*argv, "--config=nano4"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("small_decode_64.qdq.onnx is left out: input past.0.key and 3 more: ")
    assert "got 64 rows of 32 a head; use fewer rows, or --nokv_cache" in out
    assert "must fit into the 32 rows of the largest cache" in err
    assert guarded(main.main, [*argv, "--config=edge16", "--check"]) == 0
    out, _ = capsys.readouterr()
    assert "position 31, cache of 32 rows" in out and "position 32, cache of 64 rows" in out


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
