"""asm, disasm and info through the command line: a compiled program's text gives its code back."""

from __future__ import annotations

import pathlib

import pytest

from jacquard.proto import npu_isa
from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.arch import load_config
from jacquard.runtime.api import program as programs
from jacquard.runtime.cli import main
from jacquard.runtime.cli.entry import guarded

CODE = npu_isa.encode_program(
    [
        npu_isa.Load(n0=64, n1=1, n2=1, n3=1, dst=0x40, push=1 << npu_isa.Engine.MATRIX),
        npu_isa.End(),
    ]
)
TEXT = "load dst=0x40 n0=64 n1=1 n2=1 n3=1 push=MATRIX"


@pytest.fixture
def program(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "m.npu"
    message = pb.Program(model="m", config="nano4", code=CODE, instruction_count=2)
    programs.save(message, path)
    return path


def command(*argv: object) -> int:
    return guarded(main.main, [str(word) for word in argv])


def test_disasm_prints_a_program(program, capsys):
    assert command("disasm", f"--input={program}") == 0
    load, end = capsys.readouterr().out.splitlines()
    assert set(load.split()) == set(TEXT.split()) | {w for w in load.split() if "buffer" in w}
    assert end == "end"


def test_text_and_code_are_the_same(program, tmp_path):
    text, code = tmp_path / "m.asm", tmp_path / "m.bin"
    assert command("disasm", f"--input={program}", f"--output={text}") == 0
    assert command("asm", f"--input={text}", f"--output={code}") == 0
    assert code.read_bytes() == CODE
    again = tmp_path / "again.asm"
    assert command("disasm", "--raw", f"--input={code}", f"--output={again}") == 0
    assert again.read_text() == text.read_text()


@pytest.mark.parametrize(
    "argv,content,message",
    [
        (["disasm", "--raw"], b"\xee" * 32, "must hold encoded instructions, got byte 0: unknown"),
        (["disasm", "--raw"], CODE[:-5], "cut short"),
        (["disasm"], b"\xee" * 32, "not a whole Jacquard program"),
        (["asm"], b"\xee\xff", "must be text, got byte 0"),
        (["asm"], b"end\nfly away\n", ":2: must start with an instruction, got 'fly'"),
    ],
)
def test_what_cannot_be_read_is_refused(argv, content, message, tmp_path, capsys):
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(content)
    assert command(*argv, f"--input={source}", f"--output={target}") == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {source}") and message in error
    assert not target.exists()


@pytest.mark.parametrize("name", ["asm", "disasm"])
def test_missing_input_and_unwritable_output(name, tmp_path, capsys):
    assert command(name, f"--input={tmp_path}/none", f"--output={tmp_path}/out") == 1
    assert "does not exist" in capsys.readouterr().err
    (tmp_path / "in").write_text("end\n")
    assert command(name, f"--input={tmp_path}/in", f"--output={tmp_path}/no/out") == 1
    assert (
        f"must be a file that can be written, got no folder {tmp_path}/no"
        in capsys.readouterr().err
    )


def test_info_describes_programs_and_configurations(program, capsys):
    assert command("info", f"--program={program}", "--config=nano4") == 0
    out = capsys.readouterr().out
    assert "m for nano4" in out and "2 instructions" in out
    assert f"ibuf_bytes: {load_config('nano4').ibuf_bytes}" in out.splitlines()
    assert command("info") == 1
