"""How far a quantized model is from its float model, layer by layer.

SQNR in dB: power of the float tensor over the power of the difference, both summed over all inputs.
Both models run in onnxruntime without optimisation. Where noise comes in, the figure falls; what a
layer adds itself shows in the difference to the tensors it reads.
"""

import pathlib
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from jacquard.compiler.frontend.quantize import METHODS

Arrays = Mapping[str, npt.NDArray[Any]]
_PRODUCTS = ("Conv", "Gemm", "MatMul")
_MOVES = ("Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
_SUFFIX = "_DequantizeLinear_Output"


@dataclass(frozen=True)
class Row:
    """One tensor of a model: which node gives it, in how many bits it is kept, its SQNR."""

    tensor: str
    operator: str
    bits: int
    sqnr_db: float


def sqnr_table(
    model: onnx.ModelProto, quantized: onnx.ModelProto, inputs: Iterable[Arrays]
) -> list[Row]:
    """A row per quantized activation that is no mere movement, and one per output, in order.

    Args:
      model: the float model as `import_model` gives it: tensors have the same names in both.
      quantized: its QDQ form.
      inputs: one array per input and sample.
    """
    produced = {name: node for node in model.graph.node for name in node.output}
    pairs = _pairs(quantized, produced)
    outputs = {value.name for value in model.graph.output}
    float_session = _session(model, [name for name, _, _ in pairs])
    session = _session(quantized, [result for _, result, _ in pairs])
    signal, noise = np.zeros(len(pairs)), np.zeros(len(pairs))
    for sample in inputs:
        exact = float_session.run([name for name, _, _ in pairs], dict(sample))
        found = session.run([result for _, result, _ in pairs], dict(sample))
        for index, (left, right) in enumerate(zip(exact, found, strict=True)):
            signal[index] += np.square(left, dtype=np.float64).sum()
            noise[index] += np.square(np.subtract(left, right, dtype=np.float64)).sum()
    return [
        Row(name, "output" if name in outputs else produced[name].op_type, bits,
            decibels(signal[index], noise[index]))
        for index, (name, _, bits) in enumerate(pairs)
    ]


def decibels(signal: float, noise: float) -> float:
    """10 log10 of the quotient; infinite where there is no noise."""
    return float(10 * np.log10(signal / noise)) if noise > 0 else float("inf")


def format_table(rows: Iterable[Row]) -> str:
    """As text, a line per row."""
    rows = list(rows)
    width = max((len(row.tensor) for row in rows), default=0)
    lines = [f"{'tensor':<{width}}  {'operator':<20} bits  SQNR dB"]
    lines += [f"{row.tensor:<{width}}  {row.operator:<20} {row.bits:>4}  {row.sqnr_db:7.2f}"
              for row in rows]
    return "\n".join(lines)


def products_quantized(
    model: onnx.ModelProto, calibration: Iterable[Arrays], method: str = "minmax"
) -> onnx.ModelProto:
    """The yardstick: onnxruntime's QDQ of Conv, Gemm and MatMul alone, per channel."""
    with tempfile.TemporaryDirectory() as directory:
        source, target = (pathlib.Path(directory) / name for name in ("f.onnx", "q.onnx"))
        source.write_bytes(model.SerializeToString())
        quantize_static(
            str(source), str(target), _Reader(calibration), quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_PRODUCTS), per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            calibrate_method=METHODS[method],
        )
        return onnx.load(str(target))


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, samples: Iterable[Arrays]) -> None:
        self._samples = iter(samples)

    def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
        sample = next(self._samples, None)
        return None if sample is None else dict(sample)


def _pairs(
    quantized: onnx.ModelProto, produced: Mapping[str, onnx.NodeProto]
) -> list[tuple[str, str, int]]:
    """(float tensor, dequantized tensor, bits)."""
    types = {tensor.name: tensor.data_type for tensor in quantized.graph.initializer}
    outputs = {value.name for value in quantized.graph.output}
    found = []
    for node in quantized.graph.node:
        if node.op_type != "DequantizeLinear":
            continue
        result = node.output[0]
        name = result if result in outputs else result.removesuffix(_SUFFIX)
        if name not in produced or produced[name].op_type in _MOVES or node.input[0] in types:
            continue
        kind = helper.tensor_dtype_to_np_dtype(types[node.input[2]])
        found.append((name, result, kind.itemsize * 8))
    named = {name for name, _, _ in found}
    found += [(name, name, 32) for name in sorted(outputs - named) if name in produced]
    return found


def _session(model: onnx.ModelProto, names: Iterable[str]) -> ort.InferenceSession:
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    outputs = {value.name for value in model.graph.output}
    whole.graph.output.extend(
        helper.make_empty_tensor_value_info(name) for name in names if name not in outputs
    )
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return ort.InferenceSession(whole.SerializeToString(), options)
