"""A configuration that differs from another in a few fields: --output NEW.textproto FIELD=VALUE ...

Fields and values are those of `explore --sweep`, one value each.
"""

from __future__ import annotations

import argparse
import pathlib

from google.protobuf import text_format

from jacquard.proto import arch_pb2
from jacquard.proto.lib.arch import find_config, read_message
from jacquard.proto.lib.errors import raise_if_any
from jacquard.runtime.explore.space import candidates, parse_sweeps


def machine(base: arch_pb2.Arch, values: list[str], name: str) -> arch_pb2.Arch:
    """The base with these values, under a name. Raises UserError where that breaks a rule."""
    (found,) = candidates(base, parse_sweeps(values, 1))
    raise_if_any(found.broken)
    message = arch_pb2.Arch()
    message.CopyFrom(found.message)
    message.name = name
    message.summary = f"{base.name} with {', '.join(values)}."
    return message


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="edge16")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("values", nargs="+")
    args = parser.parse_args()
    base = read_message(find_config(args.base, "base"))
    made = machine(base, args.values, args.output.name.removesuffix(".textproto"))
    args.output.write_text(text_format.MessageToString(made))


if __name__ == "__main__":
    main()
