"""How far a quantized model is from its float model, layer by layer.

SQNR in dB: power of the float tensor over the power of the difference, both summed over all inputs.
Both models run in onnxruntime without optimisation. Where noise comes in, the figure falls: a
row's `fall_db` is how far it lies below the worst of the tensors that it is made of.
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
    """One tensor of a model: which node gives it, in how many bits it is kept, its SQNR.

    `fall_db` is None where no other row is read, and negative where a layer averages noise away.
    """

    tensor: str
    operator: str
    bits: int
    sqnr_db: float
    fall_db: float | None


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
    levels = {
        name: decibels(signal[index], noise[index]) for index, (name, _, _) in enumerate(pairs)
    }
    return [
        Row(name, "output" if name in outputs else produced[name].op_type, bits, levels[name],
            _fall(name, levels, produced))
        for name, _, bits in pairs
    ]


def _fall(
    name: str, levels: Mapping[str, float], produced: Mapping[str, onnx.NodeProto]
) -> float | None:
    """How far `name` lies below the worst of the nearest tensors before it that have a level."""
    waiting, seen, read = list(produced[name].input), set[str](), []
    while waiting:
        source = waiting.pop()
        if source in seen:
            continue
        seen.add(source)
        if source in levels:
            read.append(levels[source])
        elif source in produced:
            waiting += produced[source].input
    return min(read) - levels[name] if read else None


def decibels(signal: float, noise: float) -> float:
    """10 log10 of the quotient; infinite where there is no noise."""
    return float(10 * np.log10(signal / noise)) if noise > 0 else float("inf")


def format_table(rows: Iterable[Row]) -> str:
    """Markdown that reads well as text, a line per row."""
    cells = [("tensor", "operator", "bits", "SQNR dB", "fall dB")]
    cells += [
        (row.tensor, row.operator, str(row.bits), f"{row.sqnr_db:.2f}",
         "" if row.fall_db is None else f"{row.fall_db:.2f}")
        for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    lines = [
        f"| {a:<{widths[0]}} | {b:<{widths[1]}} | {c:>{widths[2]}} | {d:>{widths[3]}} "
        f"| {e:>{widths[4]}} |"
        for a, b, c, d, e in cells
    ]
    rule = [":" + "-" * (w - 1) for w in widths[:2]] + ["-" * (w - 1) + ":" for w in widths[2:]]
    return "\n".join([lines[0], f"| {' | '.join(rule)} |", *lines[1:]])


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
