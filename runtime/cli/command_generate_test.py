"""`generate`: what is refused before any work, and where built-in models are looked for."""

from __future__ import annotations

import pathlib

import pytest

from jacquard.proto.lib.errors import UserError
from jacquard.runtime.cli import graphs, main
from jacquard.runtime.cli.entry import guarded

FILE = "--prefill=p.onnx", "--decode=d.onnx"
IDS = "--prompt-ids=1,2"


@pytest.mark.parametrize(
    "argv,message",
    [
        ((*FILE,), "--prompt-ids, --prompt: one of them must be given, got none"),
        ((*FILE, IDS, "--prompt=a"), "--prompt-ids, --prompt: one of them must be given, got both"),
        ((*FILE, "--prompt=a"), "--prompt: must come with --tokenizer FILE, which makes ids of it"),
        ((*FILE, IDS, "--tokenizer=t"), "--tokenizer t: must be a file that can be read, got none"),
        ((*FILE, IDS, "--tokenizer=p.npu"), "--tokenizer p.npu: must be a tokenizer file (token"),
        ((*FILE, "--prompt-ids="), "prompt: must have at least one token id, got none"),
        ((*FILE, "--prompt-ids=1,,2"), "--prompt-ids: must be integers with commas between, got"),
        ((*FILE, IDS, "--tokens=0"), "tokens: must be at least 1, got 0"),
        ((*FILE, IDS, "--top-k=0"), "top-k: must be at least 1, got 0"),
        ((*FILE, IDS, "--temperature=1"), "temperature: must come with top-k, got 1 alone"),
        ((*FILE, IDS, "--simulator=s"), "--simulator: must come with --backend=rtl"),
        ((*FILE, IDS, "--report=no/r.json"), "--report no/r.json: must be a file that can be"),
        ((IDS, "--model=gpt2", *FILE), "--model: must come without --prefill and --decode"),
        ((IDS,), "--model, or --prefill and --decode: must be given"),
        ((IDS, FILE[0]), "--model, or --prefill and --decode: must be given"),
        ((IDS, FILE[1]), "--model, or --prefill and --decode: must be given"),
        ((IDS, "--prefill=no.onnx", FILE[1]), "--prefill no.onnx: must be a file that can be"),
        ((IDS, *FILE, "--decode=no.onnx"), "--decode no.onnx: must be a file that can be read"),
        ((IDS, *FILE, "--decode=d.npu", "--check"), "--check: must have the models, got the pro"),
        ((IDS, *FILE, "--config=edge17"), "edge17"),
        ((IDS, "--prefill=p.npu", FILE[1]), "p.npu: not a whole Jacquard program"),
        ((IDS, *FILE), "p.onnx: must be an ONNX file"),
    ],
)
def test_what_is_refused(
    argv: tuple[str, ...],
    message: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("p.onnx", "d.onnx", "p.npu", "d.npu"):
        (tmp_path / name).write_bytes(b"\xff nothing")
    assert guarded(main.main, ["generate", *argv]) == 1
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith("error: ") and message in line
    assert said.out == "" and len(list(tmp_path.iterdir())) == 4


def test_built_in_models_are_pairs(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    files = ["a_prefill", "a_decode", "a_decode_256", "a_decode_torchscript", "b_prefill"]
    for name in (*files, "tiny2_c_prefill", "tiny2_c_decode"):
        (folder / f"{name}.qdq.onnx").touch()
    monkeypatch.setattr(graphs.jacquard, "__path__", [str(tmp_path)])
    prefill, decodes = graphs.built_in("a")
    assert prefill == folder / "a_prefill.qdq.onnx"
    assert decodes == [folder / "a_decode.qdq.onnx", folder / "a_decode_256.qdq.onnx"]
    with pytest.raises(UserError, match="--model b: must be a .* built, got only a, tiny2_c;"):
        graphs.built_in("b")
