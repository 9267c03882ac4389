"""Writes one generated file: `main --isa F [--arch F] --emit KIND --output F`."""

import json
import pathlib
import sys
from collections.abc import Sequence

from absl import app, flags

from jacquard.proto.codegen import cc_isa, docs, python_isa, sv_arch, sv_isa, sv_roundtrip
from jacquard.proto.lib import arch as arch_lib
from jacquard.proto.lib import errors
from jacquard.proto.lib import isa as isa_lib

_OF_ISA = {
    "python_isa": python_isa.emit,
    "sv_isa": sv_isa.emit,
    "cc_isa": cc_isa.emit_isa,
    "isa_md": docs.emit_isa,
    "sv_roundtrip": sv_roundtrip.emit,
}
_OF_ARCH = {"sv_arch": sv_arch.emit, "cc_arch": cc_isa.emit_arch, "arch_md": docs.emit_arch}

_ISA = flags.DEFINE_string("isa", None, "Isa textproto.", required=True)
_ARCH = flags.DEFINE_string("arch", None, "Arch textproto, for kinds that describe one.")
_EMIT = flags.DEFINE_enum("emit", None, [*_OF_ISA, *_OF_ARCH], "What to write.", required=True)
_OPERATIONS = flags.DEFINE_string(
    "operations", None, "Measured operations (JSON), for isa_md: a section of their own."
)
_OUTPUT = flags.DEFINE_string("output", None, "File to write.", required=True)


def generate(kind: str, isa_path: str, arch_path: str | None) -> str:
    """Text of one generated file; raises UserError for mistakes in the textprotos."""
    isa = isa_lib.load_isa(isa_path)
    if kind in _OF_ISA:
        return _OF_ISA[kind](isa)
    if arch_path is None:
        raise errors.UserError(f"--emit={kind}: needs --arch, got none; name an Arch textproto")
    return _OF_ARCH[kind](isa, arch_lib.load_arch(arch_path, isa))


def main(argv: Sequence[str]) -> None:
    """See the module."""
    if len(argv) > 1:
        raise app.UsageError(f"no positional arguments are taken, got {argv[1:]}")
    try:
        text = generate(_EMIT.value, _ISA.value, _ARCH.value)
    except errors.UserError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    if _OPERATIONS.value is not None:
        measured = json.loads(pathlib.Path(_OPERATIONS.value).read_text(encoding="utf-8"))
        text += docs.emit_operations(measured["operations"])
    pathlib.Path(_OUTPUT.value).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    app.run(main)
