"""`jacquard generate` with a tokenizer file: text in, text out, as it comes."""

from __future__ import annotations

import pathlib

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from jacquard.benchmarks.generation.tiny_pair import save
from jacquard.runtime.cli import main
from jacquard.runtime.cli.entry import guarded
from jacquard.runtime.cli.text import Text

WORDS = ["the dog is a very good friend of the cat", "a snowman ☃ and a cat wörld"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """prefill.onnx, decode.onnx, and tokenizer.json of 512 ids: bytes in pairs, as GPT-2's."""
    made = tmp_path_factory.mktemp("pair")
    save(made)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=512, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(3 * WORDS, trainer)
    tokenizer.add_tokens([f"filler{number}" for number in range(512 - tokenizer.get_vocab_size())])
    tokenizer.save(str(made / "tokenizer.json"))
    return made


def generate(folder: pathlib.Path, *argv: str) -> int:
    pair = [f"--prefill={folder}/prefill.onnx", f"--decode={folder}/decode.onnx"]
    return guarded(main.main, ["generate", *pair, "--config=nano4", "--tokens=4", *argv])


def test_text_gives_its_ids_and_what_follows(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Text(f"{folder}/tokenizer.json")
    prompt = text.ids("the dog is")
    assert len(prompt) == 3 and text.text(prompt) == "the dog is"
    ids = ",".join(map(str, prompt))
    assert generate(folder, f"--prompt-ids={ids}") == 0
    (wanted,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("tokens: ")]
    argv = ["--prompt=the dog is", f"--tokenizer={folder}/tokenizer.json"]
    assert generate(folder, *argv) == 0
    lines = capsys.readouterr().out.splitlines()
    assert wanted in lines
    tokens = [int(token) for token in wanted.removeprefix("tokens: ").split(",")]
    added = text.stream(prompt)
    for number, token in enumerate(tokens, 1):
        assert lines[number].startswith(f"token {number}: {token} {added(token)!r}")
    (said,) = [line for line in lines if line.startswith("text: ")]
    assert said == f"text: {text.text([*prompt, *tokens])}"
    assert said.startswith("text: the dog is")


def test_bytes_of_one_character_come_together(folder: pathlib.Path) -> None:
    text = Text(f"{folder}/tokenizer.json")
    alphabet = text.ids("é")  # two bytes that training has not seen together
    assert len(alphabet) == 2
    added = text.stream(text.ids("a cat"))
    assert [added(token) for token in alphabet] == ["", "é"]


def test_an_empty_text(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate(folder, "--prompt=", f"--tokenizer={folder}/tokenizer.json") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "must have at least one token id, got none" in line


def test_a_tokenizer_of_another_model(
    folder: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Tokenizer.from_file(f"{folder}/tokenizer.json")
    other.add_tokens(["jacquard"])
    other.save(f"{tmp_path}/t.json")
    assert generate(folder, "--prompt=jacquard", f"--tokenizer={tmp_path}/t.json") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "prompt: token ids must be from 0 to 511, got 512" in line
