"""Runs a Program on the functional simulator, for conformance tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.arch import Arch
from jacquard.runtime.api import layout
from jacquard.runtime.api.inputs import ModelInputs
from jacquard.runtime.api.program import fill_image, place
from jacquard.sim.func.machine import Machine

Array = npt.NDArray[Any]


def run(program: pb.Program, arch: Arch, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The model's inputs by name -> the integers of every output.

    AssertionError if the machine stops, UserError for ids and masks that must not be.
    """
    bound = ModelInputs(program).bind(inputs)
    (placement,) = place([program])
    image = np.zeros(placement.size_bytes, np.uint8)
    fill_image([program], [placement], image)
    for tensor in program.inputs:
        data = layout.pack(bound[tensor.name], tensor)
        address = placement.address(tensor)
        image[address : address + data.size] = data
    result = Machine(arch, image).run(placement.program_address, placement.args)
    assert result.status == 0, f"stopped with {result.status} at {result.error_index}"
    found = {}
    for tensor in program.outputs:
        address = placement.address(tensor)
        found[tensor.name] = layout.unpack(image[address : address + tensor.size_bytes], tensor)
    return found
