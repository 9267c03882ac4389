"""Keys and values of a decoder: what a prefill gives, where a decode step keeps them.

A prefill has outputs present.N.key, present.N.value [1, heads, rows, depth] for each layer N. A
decode step holds a cache of B rows in one of two ways:

- in the device: states past.N.key, past.N.value [1, B, heads * depth], into which the step itself
  writes the new row, at argument `position` (CompileOptions.kv_cache). A prefill compiled so has
  the same states and writes their first rows. All programs find them at one place of one
  DeviceMemory: row p lies where row p lies, however many there are, so nothing moves when another
  step goes on;
- as inputs past.N.* [1, heads, B, depth] and outputs present.N.* [1, heads, B + 1, depth], whose
  last row is the new one; the host then moves that row to where it belongs.

Rows are integers, so all programs must have the same grids.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

import numpy as np

from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.arch import Arch
from jacquard.proto.lib.errors import UserError, raise_if_any
from jacquard.runtime.api import layout
from jacquard.runtime.api.memory import DeviceMemory
from jacquard.runtime.api.session import Session
from jacquard.runtime.device.base import Device

POSITION = "position"  # the argument that says where the new row goes
_NAMES = re.compile(r"(past|present)\w*\.(\d+)\.(key|value)")

Part = tuple[int, str]  # layer, "key" or "value"
Rows = dict[Part, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Stage:
    """A compiled graph and the session that runs it."""

    program: pb.Program
    session: Session


def open_stages(
    programs: Sequence[pb.Program], device: Device, arch: Arch
) -> tuple[DeviceMemory, list[Stage]]:
    """The programs of one decoder in one memory."""
    memory = DeviceMemory(programs, device)
    return memory, [Stage(program, Session(program, device, arch, memory)) for program in programs]


def parts(tensors: Sequence[pb.Tensor], kind: str) -> dict[Part, pb.Tensor]:
    """The tensors named KIND.N.key or KIND.N.value (KIND: past or present), by layer and part."""
    found = {}
    for tensor in tensors:
        name = _NAMES.fullmatch(tensor.name)
        if name and name[1] == kind:
            found[int(name[2]), name[3]] = tensor
    return found


def states(program: pb.Program) -> dict[Part, pb.Tensor]:
    """Caches in the device's memory."""
    return parts(program.states, "past")


class HostCache:
    """Rows in the host's memory, given and taken with every step (states are in the device's).

    In the host's form: integers [1, heads, rows, depth] of each layer's keys and values.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        """stages: decode steps; the rows are as many as the longest of them has."""
        self._held: Rows = {}
        for stage in stages:
            for part, tensor in parts(stage.program.inputs, "past").items():
                if tensor.shape[2] > self._held.get(part, np.zeros((1, 1, 0, 1))).shape[2]:
                    dtype = layout.DTYPES[tensor.dtype]
                    self._held[part] = np.full(tuple(tensor.shape), tensor.zero_point, dtype)

    def fill(self, prefill: Stage) -> None:
        """After a prefill: its rows, as many as there is room for."""
        integers = prefill.session.last.integers
        for part, tensor in parts(prefill.program.outputs, "present").items():
            rows = integers[tensor.name][:, :, : self._held[part].shape[2]]
            self._held[part][:, :, : rows.shape[2]] = rows

    def inputs(self, stage: Stage) -> dict[str, np.ndarray]:
        """What a step reads."""
        return {
            tensor.name: self._held[part][:, :, : tensor.shape[2]]
            for part, tensor in parts(stage.program.inputs, "past").items()
        }

    def keep(self, stage: Stage, position: int) -> None:
        """After a step: its row, the last that it gives, lies at `position`."""
        integers = stage.session.last.integers
        for part, tensor in parts(stage.program.outputs, "present").items():
            self._held[part][:, :, position] = integers[tensor.name][:, :, -1]


def cache_rows(prefill: pb.Program, decode: pb.Program) -> int:
    """How many rows the cache of a decode step has, which goes on where `prefill` ends.

    Raises UserError: it keeps its rows elsewhere, or layers, heads, places or grids differ; the
    first tensor that does not fit.
    """
    in_place = bool(states(prefill))
    made = states(prefill) or prefill_parts(prefill)
    held = states(decode) or parts(decode.inputs, "past")
    if held and in_place != bool(states(decode)):
        ways = ("the device", "the host")
        raise UserError(
            f"decode {decode.model}: cache: must be kept in {ways[not in_place]}, as the prefill's "
            f"is, got {ways[in_place]}; compile both with kv_cache, or none"
        )
    place = f"decode {decode.model}: cache"
    if set(made) != set(held):
        raise UserError(
            f"{place}: must be of the prefill's {len(made) // 2} layers, keys and values, got "
            f"{len(held) // 2}; export both graphs of one model"
        )
    wrong = _state_shapes(held, made) if in_place else _past_shapes(decode, held, made)
    problems = [
        f"{place}: layer {layer}'s {part} must have {wrong[layer, part]}; export both graphs of "
        "one model"
        for layer, part in sorted(wrong)
    ]
    for part in sorted(set(made) - set(wrong)):
        wanted, got = grid(made[part]), grid(held[part])
        if wanted != got:
            problems.append(
                f"{place}: layer {part[0]}'s {part[1]} must lie on the prefill's grid, {wanted}, "
                f"got {got}; quantize the decode graph with the prefill's scales"
            )
    raise_if_any(problems[:1])
    return next(iter(held.values())).shape[1 if in_place else 2]


def prefill_parts(prefill: pb.Program) -> dict[Part, pb.Tensor]:
    """The keys and values that a prefill gives. Raises UserError: none, or not of four dimensions.
    """
    made = parts(prefill.outputs, "present")
    if not made or any(len(tensor.shape) != 4 for tensor in made.values()):
        names = ", ".join(tensor.name for tensor in prefill.outputs)
        raise UserError(
            f"prefill {prefill.model}: must have outputs present.N.key and present.N.value "
            f"[1, heads, rows, depth] for each layer N, got {names}; export it with its cache"
        )
    return made


def grid(tensor: pb.Tensor) -> str:
    """`uint8 scale 0.043312143534421920 zero point 119`; equal where the grids are."""
    scales = list(tensor.scales) or tensor.scale
    return f"{layout.DTYPES[tensor.dtype]} scale {scales!r} zero point {tensor.zero_point}"


def _state_shapes(
    held: Mapping[Part, pb.Tensor], made: Mapping[Part, pb.Tensor]
) -> dict[Part, str]:
    """What is wrong with shapes and places of states, by part."""
    wrong, rows = {}, {tensor.shape[1] for tensor in held.values()}
    for part in made:
        ours, theirs = held[part], made[part]
        place, wanted = ((t.offset_bytes, t.layout.row_bytes) for t in (ours, theirs))
        if ours.shape[-1] != theirs.shape[-1]:
            wrong[part] = (
                f"the prefill's rows of {theirs.shape[-1]} numbers, got rows of {ours.shape[-1]}"
            )
        elif len(rows) > 1:
            wrong[part] = f"as many rows as the others, got {sorted(rows)}"
        elif place != wanted:
            wrong[part] = (
                f"the prefill's place, byte {wanted[0]} of rows of {wanted[1]}, got byte "
                f"{place[0]} of rows of {place[1]}"
            )
    return wrong


def _past_shapes(
    decode: pb.Program, held: Mapping[Part, pb.Tensor], made: Mapping[Part, pb.Tensor]
) -> dict[Part, str]:
    """What is wrong with the shapes and grids of past and present, by part."""
    wrong, present = {}, parts(decode.outputs, "present")
    rows = {tuple(tensor.shape)[2:3] for tensor in held.values()}
    for part in set(held) & set(made):
        _, heads, _, depth = made[part].shape
        shape = list(held[part].shape)
        if len(shape) != 4 or shape[1] != heads or shape[3] != depth:
            wrong[part] = f"the prefill's {heads} heads of {depth}, got {shape}"
        elif len(rows) > 1:
            wrong[part] = f"as many rows as the others, got {sorted(r for (r,) in rows)}"
        elif part not in present or list(present[part].shape) != [1, heads, shape[2] + 1, depth]:
            got = list(present[part].shape) if part in present else "none"
            wrong[part] = f"an output present of one more row than its past {shape}, got {got}"
        elif grid(present[part]) != grid(held[part]):
            wrong[part] = (
                f"one grid for past and present, got {grid(held[part])} and {grid(present[part])}"
            )
    return wrong
