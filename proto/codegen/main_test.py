"""The generator: mistakes in textprotos, and facts of the output that other languages rely on."""

import pathlib
import re

import pytest

from jacquard.proto.codegen import docs, main
from jacquard.proto.lib import arch, errors, isa

ISA = str(isa.DEFAULT_PATH)
NANO = str(arch.find_config("nano4"))
KINDS = ["python_isa", "sv_isa", "cc_isa", "isa_md", "sv_arch", "cc_arch", "arch_md"]


@pytest.mark.parametrize("kind", KINDS)
def test_output_is_the_same_every_time(kind: str) -> None:
    assert main.generate(kind, ISA, NANO) == main.generate(kind, ISA, NANO)


def test_a_configuration_is_needed() -> None:
    with pytest.raises(errors.UserError) as caught:
        main.generate("sv_arch", ISA, None)
    assert str(caught.value) == "--emit=sv_arch: needs --arch, got none; name an Arch textproto"


def test_a_bad_configuration_gives_no_output(tmp_path: pathlib.Path) -> None:
    bad = tmp_path / "nano4.textproto"
    bad.write_text(pathlib.Path(NANO).read_text().replace("rows: 4", "rows: 12"))
    with pytest.raises(
        errors.UserError, match="matrix.rows must be a power of two, got 12; try 8 or 16"
    ):
        main.generate("sv_arch", ISA, str(bad))


@pytest.mark.parametrize("name", ["load", "matrix", "vector", "store", "end", "header"])
def test_packed_structs_cover_the_whole_instruction(name: str) -> None:
    text = main.generate("sv_isa", ISA, None)
    enums = {
        k: int(w) + 1
        for w, k in re.findall(r"typedef enum logic \[(\d+):0\] \{.*?\} (\w+);", text, re.DOTALL)
    }
    body = re.search(rf"typedef struct packed \{{([^}}]*)\}} {name}_t;", text).group(1)
    total = 0
    for line in body.strip().splitlines():
        declaration = line.split("//")[0]
        width = re.search(r"\[(\d+):0\]", declaration)
        kind = declaration.split()[0]
        total += int(width.group(1)) + 1 if width else enums.get(kind, 1)
    assert total == isa.load_isa().instruction_bits


def test_operations_are_rows_of_their_group() -> None:
    row = {"name": "add", "group": "arithmetic", "types": "int32", "domain": "all", "passes": 2.0,
           "sequence": ["MUL", "ADD + scale"], "max": 0.5, "rms": 0.289}  # fmt: skip
    text = docs.emit_operations([row, row | {"group": "other", "name": "or"}])
    assert "| add | int32 | MUL; ADD + scale | 2 | all | 0.5 | 0.289 |" in text
    assert text.index("### Arithmetic") < text.index("| add |") < text.index("### Other")


def test_a_field_named_like_a_reserved_word() -> None:
    fields = main.generate("sv_isa", ISA, None)
    assert re.search(r"^ +logic table_;", fields, re.MULTILINE)
    assert not re.search(r"^ +logic table;", fields, re.MULTILINE)


def test_languages_agree_on_registers() -> None:
    sv = dict(
        re.findall(r"logic \[11:0\] Reg(\w+) = 12'h(\w+);", main.generate("sv_isa", ISA, None))
    )
    cc = dict(re.findall(r"uint32_t kReg(\w+) = 0x(\w+);", main.generate("cc_isa", ISA, None)))
    assert {k: int(v, 16) for k, v in sv.items()} == {k: int(v, 16) for k, v in cc.items()}
    assert {int(v, 16) for v in sv.values()} == {r.offset for r in isa.load_isa().registers}


def test_pages_name_every_field() -> None:
    page = main.generate("isa_md", ISA, None)
    for instruction in isa.load_isa().instructions:
        section = page.split(f"\n## {instruction.name}\n")[1].split("\n## ")[0]
        for field in instruction.fields[4:]:
            assert (
                f"| {field.offset + field.width - 1}:{field.offset} | `{field.name}` |" in section
            )
