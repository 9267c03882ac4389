"""Programs on disk and in device memory.

In: a file or a Program message. Out: a checked Program, and the DRAM image that runs it: code
first, then each segment on a page of its own, addresses in the argument registers.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping

import numpy as np

from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.errors import UserError

PAGE_BYTES = 4096
NUM_ARGS = 8


def digest(program: pb.Program) -> bytes:
    """sha256 over the deterministic serialisation with the digest field empty."""
    bare = pb.Program()
    bare.CopyFrom(program)
    bare.ClearField("sha256")
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).digest()


def save(program: pb.Program, path: pathlib.Path) -> None:
    """Writes the program with its digest; the file appears whole or not at all."""
    program.sha256 = digest(program)
    part = path.with_name(path.name + ".part")
    part.write_bytes(program.SerializeToString(deterministic=True))
    part.replace(path)


def load(path: pathlib.Path) -> pb.Program:
    """Reads and checks a program file. Raises UserError if missing, truncated or corrupted."""
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise UserError(f"{path}: program file does not exist; compile one with `compile`")
    program = pb.Program()
    try:
        program.ParseFromString(path.read_bytes())
        intact = program.sha256 == digest(program) and bool(program.code)
    except DecodeError:
        intact = False
    if not intact:
        raise UserError(f"{path}: not a whole Jacquard program (truncated or corrupted); recompile")
    return program


def check_fingerprint(program: pb.Program, device_fingerprint: int, device: str) -> None:
    """Refuses a program made for another instruction set or configuration."""
    if program.fingerprint != device_fingerprint:
        raise UserError(
            f"program {program.model}: fingerprint {program.fingerprint:016x} (config "
            f"{program.config}) must equal the device's, {device_fingerprint:016x} ({device}); "
            "recompile for this device"
        )


def check_model(program: pb.Program, model_sha256: bytes, place: str) -> None:
    """Refuses a program compiled from another model than the one with this digest."""
    if program.model_sha256 != model_sha256:
        raise UserError(
            f"{place}: must be compiled from this very model (quantized: "
            f"{model_sha256.hex()[:16]}), got one of {program.model} "
            f"({program.model_sha256.hex()[:16] or 'no digest'}); recompile, with the same "
            "--calibration and --seed if the model is float"
        )


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where a program lies in DRAM. Addresses in bytes."""

    program_address: int
    args: tuple[int, ...]  # eight argument registers, those of segments set
    segments: dict[str, int]  # name -> address
    size_bytes: int

    def address(self, tensor: pb.Tensor) -> int:
        """DRAM address of a tensor's first byte."""
        return self.segments[tensor.segment] + tensor.offset_bytes

    def registers(self, program: pb.Program, numbers: Mapping[str, int]) -> tuple[int, ...]:
        """The eight argument registers of a run with a number for each argument."""
        args = list(self.args)
        for a in program.arguments:
            args[a.arg] = self.segments[a.segment] + a.step_bytes * numbers[a.name]
        return tuple(args)


def place(program: pb.Program) -> Placement:
    """Lays code and segments out in DRAM, each on its own page."""

    def page(value: int) -> int:
        return -(-value // PAGE_BYTES) * PAGE_BYTES

    args = [0] * NUM_ARGS
    segments: dict[str, int] = {}
    top = PAGE_BYTES + page(len(program.code))  # page 0 stays empty: a stray null address shows
    for segment in program.segments:
        segments[segment.name] = args[segment.arg] = top
        top += page(segment.size_bytes)
    return Placement(PAGE_BYTES, tuple(args), segments, top)


def fill_image(program: pb.Program, placement: Placement, image: np.ndarray) -> None:
    """Writes code and constants into a uint8 image of placement.size_bytes."""
    at = placement.program_address
    image[at : at + len(program.code)] = np.frombuffer(program.code, np.uint8)
    for segment in program.segments:
        data = np.frombuffer(segment.data, np.uint8)
        start = placement.segments[segment.name]
        image[start : start + data.size] = data
