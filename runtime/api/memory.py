"""Device memory: one DRAM image for the Programs that run in it, kept from run to run.

In: Programs of one model. Code, constants and weights are copied once, when the memory is made.
Weights that are equal, or begin another's, lie there once. Activations share one place, since one
Program runs at a time; and so do states, whose rows stay where they are when another Program goes
on with them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from jacquard.proto import program_pb2 as pb
from jacquard.runtime.api.program import Placement, fill_image, place
from jacquard.runtime.device.base import Device

Bytes = npt.NDArray[np.uint8]


class DeviceMemory:
    """What the host reads and writes of it is counted.

    Attributes:
      image: uint8, what the device runs in.
      loaded_bytes: code, constants and weights, copied when it was made.
      to_device_bytes, from_device_bytes: what the host has written and read since.
    """

    def __init__(self, programs: Sequence[pb.Program], device: Device) -> None:
        self._programs = list(programs)
        self._placements = place(self._programs)
        self.image = device.allocate(max(p.size_bytes for p in self._placements))
        self.loaded_bytes = fill_image(self._programs, self._placements, self.image)
        self.to_device_bytes = self.from_device_bytes = 0

    def placement(self, program: pb.Program) -> Placement:
        """Where one of its programs lies. Raises ValueError for another."""
        for known, placement in zip(self._programs, self._placements, strict=True):
            if known is program:
                return placement
        raise ValueError(f"program {program.model}: must be one of those that the memory holds")

    def write(self, address: int, data: Bytes, row_bytes: int = 0) -> None:
        """data: uint8[size], or [rows, size] whose rows lie `row_bytes` apart."""
        self._rows(address, data.shape, row_bytes)[...] = data
        self.to_device_bytes += data.size

    def read(self, address: int, shape: tuple[int, ...], row_bytes: int = 0) -> Bytes:
        """A copy: uint8[size], or [rows, size] of rows that lie `row_bytes` apart."""
        data = self._rows(address, shape, row_bytes).copy()
        self.from_device_bytes += data.size
        return data

    def _rows(self, address: int, shape: tuple[int, ...], row_bytes: int) -> Bytes:
        strides = (row_bytes, 1)[-len(shape) :]
        return np.ndarray(shape, np.uint8, self.image, address, strides)
