"""Keys and values of a decoder: what a prefill gives, where a decode step keeps them.

A prefill has outputs present.N.key, present.N.value [1, heads, rows, depth] for each layer N. A
decode step holds a cache of B rows in one of two ways:

- in the device: states past.N.key, past.N.value [1, B, heads * depth], into which the step itself
  writes the new row, at argument `position` (CompileOptions.kv_cache);
- as inputs past.N.* [1, heads, B, depth] and outputs present.N.* [1, heads, B + 1, depth], whose
  last row is the new one; the host then moves that row to where it belongs.

Rows move as integers, so both sides must have the same grids.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.errors import UserError
from jacquard.runtime.api import layout
from jacquard.runtime.api.session import Session

POSITION = "position"  # the argument that says where the new row goes
_NAMES = re.compile(r"(past|present)\w*\.(\d+)\.(key|value)")

Part = tuple[int, str]  # layer, "key" or "value"
Rows = dict[Part, np.ndarray]  # integers [heads, rows, depth]


@dataclasses.dataclass(frozen=True)
class Stage:
    """A compiled graph and the session that runs it."""

    program: pb.Program
    session: Session


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


class Cache(Protocol):
    """Rows of keys and values for one decode stage."""

    rows: int  # B

    def write(self, rows: Mapping[Part, np.ndarray]) -> None:
        """Rows 0 to n - 1 are these; those behind are anything."""
        ...

    def read(self, count: int) -> Rows:
        """Rows 0 to count - 1."""
        ...

    def inputs(self) -> dict[str, np.ndarray]:
        """What a step reads of it through the host."""
        ...

    def arguments(self, position: int) -> dict[str, dict[str, int]]:
        """Keywords of the run of a step that puts its row at `position`."""
        ...

    def keep(self, position: int) -> None:
        """After a step: its row lies at `position`."""
        ...


class StateCache:
    """Rows in the device's memory."""

    def __init__(self, stage: Stage, heads: int) -> None:
        self._session, self._heads = stage.session, heads
        self._states = states(stage.program)
        self.rows = next(iter(self._states.values())).shape[1]

    def write(self, rows: Mapping[Part, np.ndarray]) -> None:
        for part, tensor in self._states.items():
            count = rows[part].shape[1]
            whole = np.full(tuple(tensor.shape), tensor.zero_point, layout.DTYPES[tensor.dtype])
            whole[0, :count] = rows[part].transpose(1, 0, 2).reshape(count, -1)
            self._session.write_state(tensor.name, whole)

    def read(self, count: int) -> Rows:
        found = {}
        for part, tensor in self._states.items():
            whole = self._session.read_state(tensor.name)[0, :count]
            found[part] = whole.reshape(count, self._heads, -1).transpose(1, 0, 2).copy()
        return found

    def inputs(self) -> dict[str, np.ndarray]:
        return {}

    def arguments(self, position: int) -> dict[str, dict[str, int]]:
        return {"arguments": {POSITION: position}}

    def keep(self, position: int) -> None:
        del position  # the step stored it itself


class HostCache:
    """Rows in the host's memory, given and taken with every step."""

    def __init__(self, stage: Stage) -> None:
        self._session = stage.session
        self._past = parts(stage.program.inputs, "past")
        self._present = parts(stage.program.outputs, "present")
        self._held = {
            part: np.full(tuple(tensor.shape), tensor.zero_point, layout.DTYPES[tensor.dtype])
            for part, tensor in self._past.items()
        }
        self.rows = next(iter(self._past.values())).shape[2]

    def write(self, rows: Mapping[Part, np.ndarray]) -> None:
        for part, held in self._held.items():
            held[0, :, : rows[part].shape[1]] = rows[part]

    def read(self, count: int) -> Rows:
        return {part: held[0, :, :count].copy() for part, held in self._held.items()}

    def inputs(self) -> dict[str, np.ndarray]:
        return {self._past[part].name: held for part, held in self._held.items()}

    def arguments(self, position: int) -> dict[str, dict[str, int]]:
        del position
        return {}

    def keep(self, position: int) -> None:
        integers = self._session.last.integers
        for part, held in self._held.items():
            held[0, :, position] = integers[self._present[part].name][0, :, -1]


def open_cache(stage: Stage, prefill: pb.Program) -> Cache:
    """The cache of a decode stage that goes on where `prefill` ends.

    Raises UserError: layers, heads or grids differ from the prefill's, a line for each tensor.
    """
    made = prefill_parts(prefill)
    heads = next(iter(made.values())).shape[1]
    in_place = states(stage.program)
    if in_place:
        held = in_place
        wrong = _state_shapes(held, made)
    else:
        held = parts(stage.program.inputs, "past")
        wrong = _past_shapes(stage.program, held, made)
    _check(stage.program, made, held, wrong)
    return StateCache(stage, heads) if in_place else HostCache(stage)


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


def _check(
    decode: pb.Program,
    made: Mapping[Part, pb.Tensor],
    held: Mapping[Part, pb.Tensor],
    wrong_shapes: Mapping[Part, str],
) -> None:
    """Raises UserError: one line for each way in which the cache is not the prefill's."""
    place = f"decode {decode.model}: cache"
    if set(made) != set(held):
        raise UserError(
            f"{place}: must be of the prefill's {len(made) // 2} layers, keys and values, got "
            f"{len(held) // 2}; export both graphs of one model"
        )
    for part in sorted(made):
        if part in wrong_shapes:
            raise UserError(
                f"{place}: layer {part[0]}'s {part[1]} must have {wrong_shapes[part]}; export both "
                "graphs of one model"
            )
    for part in sorted(made):
        wanted, got = grid(made[part]), grid(held[part])
        if wanted != got:
            raise UserError(
                f"{place}: layer {part[0]}'s {part[1]} must lie on the prefill's grid, {wanted}, "
                f"got {got}; quantize the decode graph with the prefill's scales"
            )


def grid(tensor: pb.Tensor) -> str:
    """`uint8 scale 0.043312143534421920 zero point 119`; equal where the grids are."""
    scales = list(tensor.scales) or tensor.scale
    return f"{layout.DTYPES[tensor.dtype]} scale {scales!r} zero point {tensor.zero_point}"


def _state_shapes(
    held: Mapping[Part, pb.Tensor], made: Mapping[Part, pb.Tensor]
) -> dict[Part, str]:
    """What is wrong with the shapes of states, by part."""
    wrong, rows = {}, {tensor.shape[1] for tensor in held.values()}
    for part in set(held) & set(made):
        _, heads, _, depth = made[part].shape
        features = held[part].shape[-1]
        if features != heads * depth:
            wrong[part] = f"the prefill's {heads} heads of {depth}, got rows of {features} numbers"
        elif len(rows) > 1:
            wrong[part] = f"as many rows as the others, got {sorted(rows)}"
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
