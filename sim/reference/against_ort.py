"""Compares the reference with onnxruntime (graph optimisation off), layer by layer, for tests.

Each QuantizeLinear is judged on the integers that onnxruntime itself gave to its layer, so that a
difference is charged to the layer that makes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort

from jacquard.sim.reference.interpreter import steps
from jacquard.sim.reference.pending import Pending
from jacquard.sim.reference.quantization import per_axis
from jacquard.sim.reference.value import AnyArray, Value

TIE_MARGIN = 2.0**-12  # of an LSB: nearer to a rounding tie float decides by chance


@dataclass(frozen=True)
class Comparison:
    """Over the activation tensors of one model.

    Attributes:
      compared: elements judged, those near a tie left out.
      left_out: elements whose exact value lies within 2**-12 LSB of a tie.
      different: judged elements that differ.
      max_lsb: the largest difference among the judged.
      worst: the tensor with the most differences, "" where none differs.
    """

    compared: int
    left_out: int
    different: int
    max_lsb: int
    worst: str

    @property
    def accepted(self) -> bool:
        """At most 1 LSB in at most 0.1 % of elements (one element where there are few)."""
        return self.max_lsb <= 1 and self.different <= max(self.compared // 1000, 1)


@dataclass(frozen=True)
class Distance:
    """How far the integers of one kind of operator lie from its float64 value, in output steps.

    Attributes:
      elements: judged.
      largest, rms: distance from the unrounded value (0.5 and 0.289 at best).
      far: share of elements more than 1 from the rounded value.
    """

    elements: int
    largest: float
    rms: float
    far: float


def run_onnxruntime(
    model: onnx.ModelProto, inputs: Mapping[str, AnyArray], names: list[str]
) -> dict[str, AnyArray]:
    """The tensors `names` of a model, on one thread, graph optimisation off."""
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    present = {output.name for output in exposed.graph.output}
    for name in names:
        if name not in present:
            exposed.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(exposed.SerializeToString(), options)
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def compare(
    model: onnx.ModelProto, inputs: Mapping[str, AnyArray]
) -> Comparison:
    """Runs both and counts; each tensor once."""
    names = [n.output[0] for n in model.graph.node if n.op_type == "QuantizeLinear"]
    theirs = run_onnxruntime(model, inputs, names)
    compared = left_out = different = max_lsb = most = 0
    worst = ""
    for step in steps(model, inputs, forced=theirs):
        source = step.operands[0] if step.operands else None
        if step.node.op != "QuantizeLinear" or not isinstance(source, Value):
            continue
        if any(term.weighted for term in source.terms):
            continue  # rule 10: float has no such integers
        name = step.node.outputs[0]
        ours = step.results[0]
        assert isinstance(ours, np.ndarray)
        scale = step.operands[1]
        assert isinstance(scale, np.ndarray)
        scale = per_axis(step.node, scale.astype(np.float64), len(source.shape))
        exact = source.real() / scale
        near_tie = np.abs(exact - np.floor(exact) - 0.5) < TIE_MARGIN
        error = np.abs(ours.astype(np.int64) - theirs[name].astype(np.int64))[~near_tie]
        count = int(np.count_nonzero(error))
        compared += error.size
        left_out += int(np.count_nonzero(near_tie))
        different += count
        max_lsb = max(max_lsb, int(error.max(initial=0)))
        if count > most:
            most, worst = count, name
    return Comparison(compared, left_out, different, max_lsb, worst)


def nonlinear_distances(
    model: onnx.ModelProto, inputs: Mapping[str, AnyArray]
) -> dict[str, Distance]:
    """Operator and output type (`Softmax uint8`) -> distance, each on onnxruntime's integers."""
    names = [n.output[0] for n in model.graph.node if n.op_type == "QuantizeLinear"]
    theirs = run_onnxruntime(model, inputs, names)
    producers = {o: n.op_type for n in model.graph.node for o in n.output}
    found: dict[str, list[AnyArray]] = {}
    for step in steps(model, inputs, forced=theirs):
        source = step.operands[0] if step.operands else None
        if step.node.op != "QuantizeLinear" or not isinstance(source, Pending):
            continue
        if step.weights:
            continue
        ours, scale, zero = step.results[0], step.operands[1], step.operands[2]
        assert isinstance(ours, np.ndarray)
        assert isinstance(scale, np.ndarray) and isinstance(zero, np.ndarray)
        limits = np.iinfo(ours.dtype)
        exact = source.exact() / float(scale) + int(zero)
        held = np.clip(exact, limits.min, limits.max)
        off = np.stack([ours - held, ours - np.rint(held)])
        found.setdefault(f"{producers[step.node.inputs[0]]} {ours.dtype}", []).append(
            np.abs(off.reshape(2, -1))
        )
    distances = {}
    for name, parts in found.items():
        near, rounded = np.concatenate(parts, axis=1)
        distances[name] = Distance(
            near.size, float(near.max()), float(np.sqrt((near**2).mean())),
            float((rounded > 1).mean()),
        )
    return distances
