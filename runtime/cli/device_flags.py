"""Flags of the commands that run programs: the device, its simulator, the report.

Apart from options.py, so that `compile` depends on no device.
"""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

from jacquard.proto.lib.errors import UserError
from jacquard.runtime.cli import options
from jacquard.runtime.device import open_device


def add_flags(
    values: flags.FlagValues, backends: Sequence[str] = open_device.BACKENDS
) -> None:
    """What commands that run programs share: the device, of `backends`, and the report."""
    flags.DEFINE_enum("backend", "func", backends, "what runs it", flag_values=values)
    flags.DEFINE_string("report", None, "JSON file for the report", flag_values=values)
    flags.DEFINE_string(
        "simulator", None, "RTL simulator; default: the configuration's own", flag_values=values
    )
    flags.DEFINE_bool(
        "report_failure",
        False,
        "exit 0 and let the report tell a failed run (for build actions)",
        flag_values=values,
    )


def check_flags(values: flags.FlagValues) -> None:
    """What can be refused of them before any work. Raises UserError."""
    options.check_writable(values["report"].value, "report")
    if values["simulator"].value and values["backend"].value != "rtl":
        raise UserError("--simulator: must come with --backend=rtl, which runs it")
