"""What a run is given besides tensors: numbers for its arguments, and states in device memory.

States stay where they are from run to run; the host looks at them only when it is asked to.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.errors import UserError, raise_if_any
from jacquard.runtime.api import layout
from jacquard.runtime.api.memory import DeviceMemory


class States:
    """States of one program in a device's memory."""

    def __init__(self, program: pb.Program, memory: DeviceMemory) -> None:
        self._tensors = {t.name: t for t in program.states}
        self._memory, self._placement = memory, memory.placement(program)
        self._segments = [s for s in program.segments if s.kind == pb.Segment.STATE]

    def reset(self) -> None:
        """All bytes are zero again."""
        for s in self._segments:
            self._memory.write(self._placement.segments[s.name], np.zeros(s.size_bytes, np.uint8))

    def read(self, name: str) -> np.ndarray:
        """A state's integers in its shape. Raises UserError: no such state."""
        tensor = self._tensor(name)
        found = self._memory.read(
            self._placement.address(tensor), layout.rows_shape(tensor), tensor.layout.row_bytes
        )
        return layout.unpack_rows(found, tensor)

    def write(self, name: str, integers: np.ndarray) -> None:
        """Sets a state. Raises UserError: no such state, another shape or dtype."""
        tensor = self._tensor(name)
        wanted, shape = layout.DTYPES[tensor.dtype], tuple(tensor.shape)
        if integers.shape != shape or integers.dtype != wanted:
            raise UserError(
                f"state {name}: must be {wanted}{list(shape)}, got {integers.dtype}"
                f"{list(integers.shape)}; give it as `read_state` does"
            )
        data = layout.pack(integers, tensor).reshape(layout.rows_shape(tensor))
        self._memory.write(self._placement.address(tensor), data, tensor.layout.row_bytes)

    def _tensor(self, name: str) -> pb.Tensor:
        if name not in self._tensors:
            raise UserError(
                f"state {name}: must be a state of the program; it has "
                f"{', '.join(self._tensors) or 'none'}"
            )
        return self._tensors[name]


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
