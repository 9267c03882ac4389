"""Programs on disk and in device memory.

In: a file or a Program message. Out: a checked Program, and the DRAM image that runs it, and others
beside it: code first, then segments, addresses in the argument registers.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.errors import UserError
from jacquard.runtime.api.files import write_whole

PAGE_BYTES = 4096
NUM_ARGS = 8
CONSTANT = (pb.Segment.CONSTANT, pb.Segment.WEIGHTS)  # segments that nothing writes


def digest(program: pb.Program) -> bytes:
    """sha256 over the deterministic serialisation with the digest field empty."""
    bare = pb.Program()
    bare.CopyFrom(program)
    bare.ClearField("sha256")
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).digest()


def save(program: pb.Program, path: pathlib.Path) -> None:
    """Writes the program with its digest; the file appears whole or not at all."""
    program.sha256 = digest(program)
    write_whole(path, program.SerializeToString(deterministic=True))


def load(path: pathlib.Path) -> pb.Program:
    """Reads and checks a program file. Raises UserError if missing, truncated or corrupted."""
    from google.protobuf.message import DecodeError

    if not path.is_file():
        got = "is a folder" if path.is_dir() else "does not exist"
        raise UserError(f"{path}: program file {got}; compile one with `compile`")
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
    size_bytes: int  # of the whole DRAM

    def address(self, tensor: pb.Tensor) -> int:
        """DRAM address of a tensor's first byte."""
        return self.segments[tensor.segment] + tensor.offset_bytes

    def registers(self, program: pb.Program, numbers: Mapping[str, int]) -> tuple[int, ...]:
        """The eight argument registers of a run with a number for each argument."""
        args = list(self.args)
        for a in program.arguments:
            args[a.arg] = self.segments[a.segment] + a.step_bytes * numbers[a.name]
        return tuple(args)


def place(programs: Sequence[pb.Program]) -> tuple[Placement, ...]:
    """Lays programs out in one DRAM, each piece on a page of its own.

    They run one at a time: segments of kinds SCRATCH and STATE of one name share a place as large
    as the largest of them, so states go on from program to program. Constant segments share one
    where their bytes are equal, or begin the other's.
    """

    def page(value: int) -> int:
        return -(-value // PAGE_BYTES) * PAGE_BYTES

    top = PAGE_BYTES  # page 0 stays empty: a stray null address shows
    codes: list[int] = []
    for program in programs:
        codes.append(top)
        top += page(len(program.code))
    shared: dict[tuple[int, str], int] = {}
    sizes: dict[tuple[int, str], int] = {}
    everything = [segment for program in programs for segment in program.segments]
    for s in everything:
        if s.kind not in CONSTANT:
            sizes[s.kind, s.name] = max(sizes.get((s.kind, s.name), 0), s.size_bytes)
    for key, size in sizes.items():
        shared[key] = top
        top += page(size)
    held: list[tuple[bytes, int]] = []  # constants and where they lie
    for s in sorted(everything, key=lambda s: -s.size_bytes):
        # protobuf copies `data`, hundreds of MB of it, whenever it is read.
        if s.kind in CONSTANT and _found(data := s.data, held) is None:
            held.append((data, top))
            top += page(s.size_bytes)
    placements = []
    for program, code in zip(programs, codes, strict=True):
        args = [0] * NUM_ARGS
        segments: dict[str, int] = {}
        for s in program.segments:
            at = _found(s.data, held) if s.kind in CONSTANT else shared[s.kind, s.name]
            assert at is not None
            segments[s.name] = args[s.arg] = at
        placements.append(Placement(code, tuple(args), segments, top))
    return tuple(placements)


def _found(data: bytes, held: Sequence[tuple[bytes, int]]) -> int | None:
    """Address of bytes that begin with these."""
    return next((at for known, at in held if known.startswith(data)), None)


def fill_image(
    programs: Sequence[pb.Program], placements: Sequence[Placement], image: np.ndarray
) -> int:
    """Writes code and constants into a uint8 image of that size; returns how many bytes that is."""
    pieces: dict[int, bytes] = {}  # address -> the longest that lies there
    for program, placement in zip(programs, placements, strict=True):
        pieces[placement.program_address] = program.code
        for segment in program.segments:
            at = placement.segments[segment.name]
            if segment.kind in CONSTANT and segment.size_bytes > len(pieces.get(at, b"")):
                pieces[at] = segment.data
    for at, data in pieces.items():
        image[at : at + len(data)] = np.frombuffer(data, np.uint8)
    return sum(map(len, pieces.values()))
