"""Ranges of a float model's tensors, by onnxruntime.quantization's calibrators.

16-bit tensors take the whole range by every method; each head of keys and values has its own.
"""

import contextlib
import copy
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper
from onnxruntime.quantization.calibrate import (
    CalibrationDataReader,
    EntropyCalibrater,
    MinMaxCalibrater,
    PercentileCalibrater,
)

from jacquard.compiler.frontend.mixed_heads import Heads
from jacquard.compiler.frontend.mixed_plan import Plan
from jacquard.proto.lib.errors import raise_if_any

_LARGEST = 3e10  # what a scale of 1e6 reaches in 16 bits
_CALIBRATORS = {
    "minmax": MinMaxCalibrater,
    "entropy": EntropyCalibrater,
    "percentile": PercentileCalibrater,
}


@dataclass(frozen=True)
class Range:
    """Of one tensor: as calibrated, and whole."""

    lo: float
    hi: float
    lowest: float
    highest: float

    def with_(self, other: "Range") -> "Range":
        return Range(min(self.lo, other.lo), max(self.hi, other.hi),
                     min(self.lowest, other.lowest), max(self.highest, other.highest))


def calibrate(
    model: onnx.ModelProto,
    plan: Plan,
    heads: Mapping[str, Mapping[str, Heads]],
    batches: Iterable[Mapping[str, npt.NDArray[np.generic]]],
    method: str,
    directory: pathlib.Path,
) -> dict[str, Range]:
    """The ranges of all tensors that are quantized, and of each head of keys and values."""
    wanted = {
        name
        for node in plan.view.nodes
        for name in (*node.output, *node.input)
        if plan.is_activation(name) and name not in plan.kept
    }
    wanted.update(head_of(root, i) for root in heads for i in range(heads[root][root].count))
    source = directory / "float.onnx"
    with _with_heads(model, plan, heads):
        source.write_bytes(model.SerializeToString())
        infos = (*model.graph.input, *model.graph.value_info, *model.graph.output)
        kinds = {v.name: copy.deepcopy(v) for v in infos}
    calibrator = _CALIBRATORS[method](
        source, augmented_model_path=str(directory / "augmented.onnx")
    )
    calibrator.select_tensors_to_calibrate = lambda _: (wanted, kinds)
    calibrator.augment_graph()
    calibrator.create_inference_session()
    # Ranges merge exactly, so memory for one sample is enough; histograms merge into others.
    for group in ([batch] for batch in batches) if method == "minmax" else [list(batches)]:
        calibrator.collect_data(Samples(group))
    found = {}
    for name, data in calibrator.compute_data().items():
        lo, hi = (float(np.asarray(bound).reshape(())) for bound in data.range_value)
        edges = getattr(data, "hist_edges", None)
        whole = (lo, hi) if edges is None else (float(edges[0]), float(edges[-1]))
        found[name] = Range(lo, hi, *whole)
    raise_if_any(
        f"tensor {name}: must be finite and below {_LARGEST:.0e} in calibration, got "
        f"{at.lowest:g} .. {at.highest:g}; calibrate with data in its normal range, or keep a "
        "mask's constant out of the quantized part"
        for name, at in sorted(found.items())
        if not max(abs(at.lowest), abs(at.highest)) < _LARGEST
    )
    return found


def head_of(root: str, index: int) -> str:
    """The tensor that has one head of `root` during calibration."""
    return f"{root}.head{index}"


@contextlib.contextmanager
def _with_heads(
    model: onnx.ModelProto, plan: Plan, heads: Mapping[str, Mapping[str, Heads]]
) -> Iterator[None]:
    """Meanwhile the model has a Split of each root into its heads."""
    graph = model.graph
    nodes, infos = len(graph.node), len(graph.value_info)
    for root, family in heads.items():
        at, shape = family[root], list(plan.view.shapes[root])
        shape[at.axis] //= at.count
        names = [head_of(root, index) for index in range(at.count)]
        graph.node.append(helper.make_node(
            "Split", [root], names, name=f"{root}.heads", axis=at.axis, num_outputs=at.count))
        graph.value_info.extend(
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in names)
    try:
        yield
    finally:
        del graph.node[nodes:], graph.value_info[infos:]


class Samples(CalibrationDataReader):  # type: ignore[misc]
    """Some samples, once, as onnxruntime's calibrators read them."""

    def __init__(self, samples: Iterable[Mapping[str, npt.NDArray[np.generic]]]) -> None:
        self._samples = iter(samples)

    def get_next(self) -> dict[str, npt.NDArray[np.generic]] | None:
        sample = next(self._samples, None)
        return None if sample is None else dict(sample)
