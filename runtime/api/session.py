"""A program on a device: load, run, report.

>>> session = Session(program, device)
>>> outputs = session.run({"input": image})   # float32 or ids and masks in, float32 out
>>> session.report().cycles

States, as a decoder's caches, go on from run to run, in one DeviceMemory from program to program:
>>> session.run({"ids": [[464]]}, arguments={"position": 0})
>>> session.read_state("past.0.key")
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from jacquard.proto import program_pb2 as pb
from jacquard.proto import report_pb2
from jacquard.proto.lib.arch import Arch
from jacquard.proto.lib.errors import UserError
from jacquard.proto.npu_isa import Error
from jacquard.runtime.api import layout, states
from jacquard.runtime.api.inputs import ModelInputs
from jacquard.runtime.api.instructions import last_stores
from jacquard.runtime.api.memory import DeviceMemory
from jacquard.runtime.api.program import check_fingerprint
from jacquard.runtime.api.report import build_report
from jacquard.runtime.device.base import Checkpoint, Device, DeviceResult, Progress


class DeviceError(UserError):
    """The machine stopped with an error code."""


@dataclasses.dataclass(frozen=True)
class Run:
    """One finished run."""

    result: DeviceResult
    integers: dict[str, np.ndarray]  # graph output name -> quantized values
    outputs: dict[str, np.ndarray]  # graph output name -> float32
    layer_outputs: list[np.ndarray] | None  # per layer, quantized, ONNX shape
    to_device_bytes: int = 0  # written by the host for this run: its inputs
    from_device_bytes: int = 0  # read by the host: its outputs


class Session:
    """Binds tensors by name and runs a program; one run at a time."""

    def __init__(
        self, program: pb.Program, device: Device, arch: Arch, memory: DeviceMemory | None = None
    ) -> None:
        """memory: of the programs that share it, this one among them; None: one of its own."""
        check_fingerprint(program, device.fingerprint(), device.name)
        self._program, self._device, self._arch = program, device, arch
        self._inputs = ModelInputs(program)
        self.memory = memory or DeviceMemory([program], device)
        self._placement = self.memory.placement(program)
        self._states = states.States(program, self.memory)
        self._last: Run | None = None

    @property
    def input_shapes(self) -> dict[str, tuple[int, ...]]:
        """Of each input that `run` wants; those of the model that nothing reads are not here."""
        return dict(self._inputs.shapes)

    @property
    def last(self) -> Run:
        """The most recent run. Raises UserError before the first."""
        if self._last is None:
            raise UserError("report: the session must have run once; call run() first")
        return self._last

    @property
    def arguments(self) -> dict[str, int]:
        """How many numbers each argument that `run` wants has: name -> count."""
        return {a.name: a.count for a in self._program.arguments}

    @property
    def states(self) -> dict[str, pb.Tensor]:
        """What outlives a run, by name."""
        return {t.name: t for t in self._program.states}

    def reset(self) -> None:
        """All states are zero again, as before the first run."""
        self._states.reset()

    def read_state(self, name: str) -> np.ndarray:
        """A state as the last run left it: integers in its shape. Raises UserError: no such."""
        return self._states.read(name)

    def write_state(self, name: str, integers: np.ndarray) -> None:
        """Sets a state for the next run. Raises UserError: no such, another shape or dtype."""
        self._states.write(name, integers)

    def run(
        self,
        inputs: Mapping[str, np.ndarray],
        keep_layers: bool = False,
        progress: Callable[[Progress], None] | None = None,
        arguments: Mapping[str, int] | None = None,
    ) -> dict[str, np.ndarray]:
        """Runs once. What a run that fails had stored of states by then stays.

        Args:
          inputs: by the model's names; float32 (quantized here) or already in the tensor's integer
            dtype, and integers for ids and masks.
          arguments: a number for each of the program's arguments.

        A backend without data (`perf`) gives no outputs and leaves the states as they were.

        Raises UserError for wrong names, shapes, dtypes, ids, masks or numbers, DeviceError if the
        machine stops.
        """
        numbers = states.numbers(self._program, arguments or {})
        bound = self._inputs.bind(inputs, numbers)
        memory, place = self.memory, self._placement
        before = memory.to_device_bytes, memory.from_device_bytes
        for tensor in self._program.inputs:
            memory.write(place.address(tensor), layout.pack(bound[tensor.name], tensor))
        layers = list(self._program.layers) if keep_layers else []
        stores = last_stores(self._program) if keep_layers else []
        checkpoints = [
            Checkpoint(store, place.address(layer.output), layout.extent_bytes(layer.output))
            for layer, store in zip(layers, stores, strict=True)
        ]
        result = self._device.run(
            memory.image,
            place.program_address,
            place.registers(self._program, numbers),
            checkpoints,
            progress,
        )
        if result.status != Error.OK:
            raise DeviceError(describe_error(self._program, result))
        if not result.has_data:
            self._last = Run(result, {}, {}, None)
            return {}
        integers = {
            tensor.name: layout.unpack_rows(
                memory.read(place.address(tensor), layout.rows_shape(tensor)), tensor
            )
            for tensor in self._program.outputs
        }
        outputs = {t.name: layout.dequantize(integers[t.name], t) for t in self._program.outputs}
        kept = None
        if keep_layers:
            pairs = zip(result.snapshots, layers, strict=True)
            kept = [layout.unpack(data, layer.output) for data, layer in pairs]
        self._last = Run(
            result, integers, outputs, kept, memory.to_device_bytes - before[0],
            memory.from_device_bytes - before[1],
        )
        return outputs

    def report(self) -> report_pb2.Report:
        """Cycles, bytes, engines and layers of the last run (without a comparison)."""
        return build_report(self._program, self._arch, self._device.name, self.last.result)


def describe_error(program: pb.Program, result: DeviceResult) -> str:
    """One line: what the machine reported, where, and in which layer."""
    index = result.error_index
    inside = [x.name for x in program.layers if x.first_instruction <= index < x.end_instruction]
    where = f" in layer {inside[0]}" if inside else ""
    name = Error(result.status).name
    return f"device: run stopped with {name} at instruction {index}{where} (cycle {result.cycles})"
