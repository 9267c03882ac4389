"""What a run is given besides tensors: numbers for its arguments, and states from the run before.

In: a Program. States are kept as the bytes of its STATE segments between runs; they go into the
DRAM image before a run and come out of it behind one that ended well.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.errors import UserError, raise_if_any
from jacquard.runtime.api import layout
from jacquard.runtime.api.program import Placement


class States:
    """States of one program on one device."""

    def __init__(self, program: pb.Program) -> None:
        self._tensors = {t.name: t for t in program.states}
        self._bytes = {
            s.name: np.zeros(s.size_bytes, np.uint8)
            for s in program.segments
            if s.kind == pb.Segment.STATE
        }

    def reset(self) -> None:
        """All bytes are zero again."""
        for data in self._bytes.values():
            data[:] = 0

    def put(self, image: np.ndarray, placement: Placement) -> None:
        """Into a DRAM image."""
        for name, data in self._bytes.items():
            start = placement.segments[name]
            image[start : start + data.size] = data

    def take(self, image: np.ndarray, placement: Placement) -> None:
        """Out of a DRAM image behind a run."""
        for name, data in self._bytes.items():
            start = placement.segments[name]
            data[:] = image[start : start + data.size]

    def read(self, name: str) -> np.ndarray:
        """A state's integers in its shape. Raises UserError: no such state."""
        tensor = self._tensor(name)
        return layout.unpack(self._place(tensor), tensor)

    def write(self, name: str, integers: np.ndarray) -> None:
        """Sets a state. Raises UserError: no such state, another shape or dtype."""
        tensor = self._tensor(name)
        wanted, shape = layout.DTYPES[tensor.dtype], tuple(tensor.shape)
        if integers.shape != shape or integers.dtype != wanted:
            raise UserError(
                f"state {name}: must be {wanted}{list(shape)}, got {integers.dtype}"
                f"{list(integers.shape)}; give it as `read_state` does"
            )
        self._place(tensor)[:] = layout.pack(integers, tensor)

    def _tensor(self, name: str) -> pb.Tensor:
        if name not in self._tensors:
            raise UserError(
                f"state {name}: must be a state of the program; it has "
                f"{', '.join(self._tensors) or 'none'}"
            )
        return self._tensors[name]

    def _place(self, tensor: pb.Tensor) -> np.ndarray:
        """The tensor's bytes, as a view."""
        data = self._bytes[tensor.segment]
        return data[tensor.offset_bytes : tensor.offset_bytes + tensor.size_bytes]


def numbers(program: pb.Program, given: Mapping[str, int]) -> dict[str, int]:
    """A number for each argument. Raises UserError: what is missing, too many or out of range."""
    counts = {a.name: a.count for a in program.arguments}
    problems = [
        f"argument {name}: must be an argument of the program; it has {', '.join(counts) or 'none'}"
        for name in sorted(set(given) - set(counts))
    ]
    for name, count in counts.items():
        if name not in given:
            problems.append(f"argument {name}: is missing; give a number from 0 to {count - 1}")
            continue
        number = given[name]
        if isinstance(number, bool) or not isinstance(number, int | np.integer):
            problems.append(
                f"argument {name}: must be an integer, got {number!r}; give a number from 0 to "
                f"{count - 1}"
            )
        elif not 0 <= number < count:
            problems.append(
                f"argument {name}: must be from 0 to {count - 1}, got {number}; the program is "
                "made for those: compile for more"
            )
    raise_if_any(problems)
    return {name: int(given[name]) for name in counts}
