"""Judges a run: bit for bit against the integer reference, and against onnxruntime for accuracy.

In: the QDQ model, the float model if there is one, inputs, a finished run. Out: the comparison
fields of report.proto.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING

import numpy as np
import onnx

from jacquard.proto import program_pb2 as pb
from jacquard.proto import report_pb2
from jacquard.proto.lib.errors import UserError
from jacquard.runtime.api import layout
from jacquard.runtime.api.host import first_line, session
from jacquard.runtime.api.session import Run
from jacquard.sim.reference.interpreter import ReferenceResult

if TYPE_CHECKING:
    import onnxruntime


def onnxruntime_outputs(
    model: onnx.ModelProto, inputs: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Runs a model in onnxruntime with graph optimisation off, on one thread. UserError."""
    running = onnxruntime_session(model)
    names = [output.name for output in running.get_outputs()]
    try:
        return dict(zip(names, running.run(names, inputs), strict=True))
    except Exception as error:  # onnxruntime's own classes share no base but this one
        raise _refused(model, error) from error


def onnxruntime_session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A model that onnxruntime has taken. Raises UserError where it does not."""
    try:
        return session(model.SerializeToString())
    except Exception as error:
        raise _refused(model, error) from error


def _refused(model: onnx.ModelProto, error: Exception) -> UserError:
    return UserError(
        f"model {model.graph.name}: onnxruntime must be able to run it, got {first_line(error)}; "
        "correct the model, or export it again"
    )


def sqnr_db(reference: np.ndarray, value: np.ndarray) -> float:
    """Signal to quantization noise in dB; 200 where there is no noise."""
    signal = float(np.sum(reference.astype(np.float64) ** 2))
    noise = float(np.sum((reference.astype(np.float64) - value.astype(np.float64)) ** 2))
    if noise == 0.0:
        return 200.0
    return float(10 * np.log10(max(signal, 1e-300) / noise))


def same_top1(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Same largest element of every row; elements tied with the largest count as the largest."""
    rows_a, rows_b = ours.reshape(-1, ours.shape[-1]), theirs.reshape(-1, theirs.shape[-1])
    best_a, best_b = rows_a.argmax(axis=1), rows_b.argmax(axis=1)
    index = np.arange(len(rows_a))
    ties_a = rows_a[index, best_b] == rows_a[index, best_a]
    ties_b = rows_b[index, best_a] == rows_b[index, best_b]
    return bool(np.all(ties_a | ties_b))


EQUAL, DIFFERS, INTERNAL = "equal", "differs", "internal"  # LayerReport.output_check


SAME, OTHER, NO_SCORES = "same", "other", ""  # OutputReport.top1


@dataclasses.dataclass(frozen=True)
class OutputAccuracy:
    """One output, against float and against onnxruntime on the QDQ graph."""

    name: str
    bits: int
    elements: int
    sqnr_db: float
    sqnr_db_onnxruntime: float
    max_lsb_error: int  # in LSB of the output's own grid
    top1: str


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """All outputs of a run; the figures without one are the worst."""

    outputs: tuple[OutputAccuracy, ...]

    @property
    def sqnr_db(self) -> float:
        return min((output.sqnr_db for output in self.outputs), default=0.0)

    @property
    def sqnr_db_onnxruntime(self) -> float:
        return min((output.sqnr_db_onnxruntime for output in self.outputs), default=0.0)

    @property
    def max_lsb_error(self) -> int:
        return max((output.max_lsb_error for output in self.outputs), default=0)

    @property
    def judges_top1(self) -> bool:
        """Whether all outputs are rows of scores; among hidden states nothing is one's class."""
        return all(output.top1 != NO_SCORES for output in self.outputs)

    @property
    def top1_match(self) -> bool:
        return not self.judges_top1 or all(output.top1 == SAME for output in self.outputs)

    def fill(self, report: report_pb2.Report) -> None:
        """Writes all of it into the report."""
        report.sqnr_db = self.sqnr_db
        report.sqnr_db_onnxruntime = self.sqnr_db_onnxruntime
        report.max_lsb_error = self.max_lsb_error
        report.top1_match = self.top1_match
        for output in self.outputs:
            report.outputs.add(**dataclasses.asdict(output))


def accuracy(
    qdq: onnx.ModelProto,
    float_model: onnx.ModelProto | None,
    program: pb.Program,
    inputs: dict[str, np.ndarray],
    outputs: dict[str, np.ndarray],
) -> Accuracy:
    """Compares a run's outputs with onnxruntime's. Without a float model the SQNRs are 0.

    Args:
      inputs: of the models, in their own dtypes.
      outputs: of the run, float32.
    """
    theirs = onnxruntime_outputs(qdq, inputs)
    exact = onnxruntime_outputs(float_model, inputs) if float_model is not None else None
    return Accuracy(
        tuple(
            compare_output(
                tensor,
                outputs[tensor.name],
                theirs[tensor.name],
                None if exact is None else exact[tensor.name],
            )
            for tensor in program.outputs
        )
    )


def compare_output(
    tensor: pb.Tensor, ours: np.ndarray, theirs: np.ndarray, exact: np.ndarray | None
) -> OutputAccuracy:
    """One output of a run, of onnxruntime on the QDQ graph, and of the float model if there is."""
    if exact is not None and exact.shape != ours.shape:
        raise UserError(
            f"output {tensor.name}: float model must give shape {list(ours.shape)}, got "
            f"{list(exact.shape)}; give the float model of this network"
        )
    top1 = NO_SCORES
    if ours.ndim == 2:
        top1 = SAME if same_top1(ours, theirs) else OTHER
    return OutputAccuracy(
        name=tensor.name,
        bits=8 * layout.DTYPES[tensor.dtype].itemsize,
        elements=ours.size,
        sqnr_db=0.0 if exact is None else sqnr_db(exact, ours),
        sqnr_db_onnxruntime=0.0 if exact is None else sqnr_db(exact, theirs),
        max_lsb_error=int(np.rint((np.abs(ours - theirs) / layout.steps(tensor)).max())),
        top1=top1,
    )


def compare_bits(
    report: report_pb2.Report, program: pb.Program, run: Run, reference: ReferenceResult
) -> None:
    """Fills bit_exact, elements_compared and the layers' digests and matches into the report."""
    exact, compared = True, 0
    for tensor in program.outputs:
        expected = reference.integer_outputs[tensor.name]
        exact = exact and np.array_equal(run.integers[tensor.name], expected)
        compared += int(expected.size)
    if run.layer_outputs is not None:
        for layer, entry, value in zip(
            program.layers, report.layers, run.layer_outputs, strict=True
        ):
            entry.output_digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
            expected = reference.tensors.get(layer.output.name)
            if expected is None:
                entry.output_check = INTERNAL
                continue
            equal = value.shape == expected.shape and bool(np.array_equal(value, expected))
            entry.output_check = EQUAL if equal else DIFFERS
            exact = exact and equal
            compared += int(expected.size)
    report.bit_exact, report.bit_exact_judged = exact, True
    report.elements_compared = compared


def describe_mismatch(program: pb.Program, run: Run, reference: ReferenceResult) -> list[str]:
    """A line per layer that differs: how many elements, and the first of them."""
    lines = []
    for layer, value in zip(program.layers, run.layer_outputs or [], strict=False):
        expected = reference.tensors.get(layer.output.name)
        if expected is None:
            continue
        if value.shape != expected.shape:
            lines.append(f"layer {layer.name}: shape {value.shape}, reference {expected.shape}")
            continue
        wrong = np.argwhere(value != expected)
        if len(wrong):
            first = tuple(int(i) for i in wrong[0])
            lines.append(
                f"layer {layer.name} ({layer.op}): {len(wrong)} of {value.size} elements differ, "
                f"first at {list(first)}: {int(value[first])}, reference {int(expected[first])}"
            )
    return lines
