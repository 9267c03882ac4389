"""Backends by name."""

from __future__ import annotations

from jacquard.proto.lib.arch import Arch
from jacquard.runtime.device.base import Device

BACKENDS = ("func", "perf", "rtl")


def open_device(name: str, arch: Arch, simulator: str | None = None) -> Device:
    """The backend `name` for a configuration. simulator: path of the RTL simulator to use."""
    if name == "func":
        from jacquard.runtime.device.func import FuncDevice

        return FuncDevice(arch)
    if name == "perf":
        from jacquard.runtime.device.perf import PerfDevice

        return PerfDevice(arch)
    if name == "rtl":
        from jacquard.runtime.device.rtl import RtlDevice

        return RtlDevice(arch, simulator)
    raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {name}")
