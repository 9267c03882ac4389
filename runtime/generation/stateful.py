"""A run of a program with states beside its graph, which has none.

A prefill gives keys and values, a decode graph reads them and gives them back with one row more.
Their programs (CompileOptions.kv_cache) keep them instead. A decode step's new row goes where
argument `position` says, and what stood there counts for nothing: so the graph computes the same
where its mask hides that row. Programs without states pass through unchanged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import onnx

from jacquard.proto import program_pb2 as pb
from jacquard.proto import report_pb2
from jacquard.proto.lib.errors import UserError
from jacquard.runtime.api import layout
from jacquard.runtime.api.host import HostModel
from jacquard.runtime.api.session import Session
from jacquard.runtime.generation.cache import POSITION
from jacquard.runtime.generation.decoder import MASK, POSITIONS
from jacquard.sim.reference.interpreter import ReferenceResult


def kept(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    """States that a program of this graph may have, past.N.key and past.N.value -> the output
    present.N.key or present.N.value that a run gives instead."""
    outputs = [v for v in model.graph.output if v.name.startswith("present")]
    return {f"past{value.name.removeprefix('present')}": value for value in outputs}


def step_inputs(model: onnx.ModelProto, position: int) -> dict[str, np.ndarray]:
    """Position and mask of a decode step that attends to the rows before it and to itself."""
    made = {}
    for value in model.graph.input:
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        if value.name == POSITIONS:
            made[value.name] = np.full(shape, position, dtype)
        elif value.name == MASK:
            made[value.name] = np.zeros(shape, dtype)
            made[value.name][..., :position] = made[value.name][..., -1] = 1
    return made


class Stateful:
    """A program's states before and behind one run.

    Raises UserError: states that are not past.N.key and past.N.value of a graph that gives
    present.N.key and present.N.value.
    """

    def __init__(
        self,
        program: pb.Program,
        session: Session,
        qdq: onnx.ModelProto,
        numbers: Mapping[str, int],
    ) -> None:
        """qdq: what the program was compiled from. numbers: the run's arguments, all of them."""
        self._program, self._session, self._numbers = program, session, numbers
        self._present = kept(qdq)
        strange = [t.name for t in program.states if t.name not in self._present]
        if strange:
            raise UserError(
                f"program {program.model}: states must be past.N.key and past.N.value of outputs "
                f"present.N.key and present.N.value, got {', '.join(strange)}; rename them"
            )
        self._before: dict[str, np.ndarray] = {}
        self._expected: dict[str, np.ndarray] = {}

    def graph_inputs(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The same, but masks hide the row that the run overwrites."""
        made = dict(inputs)
        host = self._program.host_model
        sources = HostModel(host, self._program.model).sources if host else {}
        for tensor in self._program.inputs:
            if tensor.position_argument:
                place = self._numbers[tensor.position_argument]
                for name in sources.get(tensor.name, (tensor.name,)):
                    mask = made[name].copy()
                    mask[..., place] = -np.inf if mask.dtype.kind == "f" else 0
                    made[name] = mask
        return made

    def write(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Sets the states to what the graph reads as past: float32 [1, heads, rows, depth]."""
        for name, tensor in self._session.states.items():
            if name in inputs:
                self._session.write_state(name, layout.quantize(_rows(inputs[name]), tensor))
            self._before[name] = self._session.read_state(name)

    def expected(self, reference: ReferenceResult) -> ReferenceResult:
        """The reference, and the states as layers leave them: as before but for this run's rows."""
        for name, before in self._before.items():
            rows = _rows(reference.integer_outputs[self._present[name].name])
            self._expected[name] = before.copy()
            if POSITION in self._numbers:
                self._expected[name][:, self._numbers[POSITION]] = rows[:, -1]
            else:
                self._expected[name][:, : rows.shape[1]] = rows
        places = {(t.segment, t.offset_bytes): t.name for t in self._program.states}
        tensors = dict(reference.tensors)
        for layer in self._program.layers:
            state = places.get((layer.output.segment, layer.output.offset_bytes))
            if state is not None:
                tensors[layer.output.name] = self._expected[state]
        return dataclasses.replace(reference, tensors=tensors)

    def compare(self, report: report_pb2.Report) -> list[str]:
        """Adds the states to the report's bit_exact and elements_compared.

        Returns a line for each state that differs from what `expected` said.
        """
        lines = []
        for name, wanted in self._expected.items():
            found = self._session.read_state(name)
            wrong = np.argwhere(found != wanted)
            report.elements_compared += found.size
            if len(wrong):
                first = tuple(int(i) for i in wrong[0])
                lines.append(
                    f"state {name}: {len(wrong)} of {found.size} elements differ, first at "
                    f"{list(first)}: {int(found[first])}, reference {int(wanted[first])}"
                )
        report.bit_exact = report.bit_exact and not lines
        return lines

    def read(self) -> dict[str, np.ndarray]:
        """The states behind the run, float32 [1, heads, rows, depth]."""
        found = {}
        for name, tensor in self._session.states.items():
            heads = self._present[name].type.tensor_type.shape.dim[1].dim_value
            rows = layout.dequantize(self._session.read_state(name), tensor)
            found[name] = rows.reshape(1, rows.shape[1], heads, -1).transpose(0, 2, 1, 3).copy()
        return found


def _rows(array: np.ndarray) -> np.ndarray:
    """[1, heads, rows, depth] -> [1, rows, heads * depth]."""
    return array.transpose(0, 2, 1, 3).reshape(1, array.shape[2], -1)
