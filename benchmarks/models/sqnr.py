"""How far a quantized model is from its float model, layer by layer, and other ways to quantize it.

SQNR in dB: power of the float tensor over the power of the difference, both summed over all inputs.
Both models run in onnxruntime without optimisation, one after the other, and of each only the
tensors that the table names are kept: GPT-2 takes five gigabytes. Where noise comes in, the figure
falls: a row's `fall_db` is how far it lies below the worst of the tensors that it is made of.
"""

import pathlib
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import helper
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

from jacquard.compiler.frontend.mixed_ranges import Samples
from jacquard.compiler.frontend.quantize import METHODS
from jacquard.compiler.frontend.smooth import factors_of, with_factors

Arrays = Mapping[str, npt.NDArray[Any]]
_PRODUCTS = ("Conv", "Gemm", "MatMul")
_MOVES = ("Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
_SUFFIX = "_DequantizeLinear_Output"


@dataclass(frozen=True)
class Row:
    """One tensor of a model: which node gives it, in how many bits it is kept, its SQNR.

    `fall_db` is None where no other row is read, and negative where a layer averages noise away.
    `others`: how the same tensor comes out of other models: name -> dB.
    """

    tensor: str
    operator: str
    bits: int
    sqnr_db: float
    fall_db: float | None
    others: Mapping[str, float] = field(default_factory=dict)


def sqnr_table(
    model: onnx.ModelProto,
    quantized: onnx.ModelProto,
    inputs: Iterable[Arrays],
    others: Mapping[str, Callable[[], onnx.ModelProto]] | None = None,
) -> list[Row]:
    """A row per quantized activation that is no mere movement, and one per output, in order.

    Args:
      model: the float model as `import_model` gives it: tensors have the same names in both.
      quantized: its QDQ form.
      inputs: one array per input and sample.
      others: other QDQ forms of it by name; made one at a time.
    """
    samples = list(inputs)
    produced = {name: node for node in model.graph.node for name in node.output}
    bits = _bits(quantized, produced)
    outputs = {value.name for value in model.graph.output}
    levels = _levels(model, quantized, list(bits), samples)
    beside = {
        name: _levels(model, make(), list(bits), samples)
        for name, make in ({} if others is None else others).items()
    }
    return [
        Row(name, "output" if name in outputs else produced[name].op_type, width, levels[name],
            _fall(name, levels, produced), {key: found[name] for key, found in beside.items()})
        for name, width in bits.items()
    ]


def _levels(
    model: onnx.ModelProto, quantized: onnx.ModelProto, names: list[str], samples: list[Arrays]
) -> dict[str, float]:
    """SQNR of tensors of `model`. A smoothed model is compared with the float model smoothed alike:
    the same function, tensor by tensor."""
    factors = factors_of(quantized)
    kept = _run(with_factors(model, factors) if factors else model, names, samples)
    made = {name for node in quantized.graph.node for name in node.output}
    behind = {name: f"{name}{_SUFFIX}" for name in names}
    found = _run(quantized, [b if b in made else name for name, b in behind.items()], samples)
    signal, noise = np.zeros(len(names)), np.zeros(len(names))
    for exact, near in zip(kept, found, strict=True):
        for index, (left, right) in enumerate(zip(exact, near, strict=True)):
            signal[index] += np.square(left, dtype=np.float64).sum()
            noise[index] += np.square(np.subtract(left, right, dtype=np.float64)).sum()
    return {name: decibels(signal[index], noise[index]) for index, name in enumerate(names)}


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


def format_table(rows: Sequence[Row]) -> str:
    """Markdown that reads well as text, a line per row; a column for each other model."""
    others = list(rows[0].others) if rows else []
    cells = [["tensor", "operator", "bits", "SQNR dB", "fall dB", *others]]
    cells += [
        [row.tensor, row.operator, str(row.bits), f"{row.sqnr_db:.2f}",
         "" if row.fall_db is None else f"{row.fall_db:.2f}",
         *(f"{row.others[name]:.2f}" for name in others)]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        " | ".join(f"{text:<{w}}" if index < 2 else f"{text:>{w}}"
                   for index, (text, w) in enumerate(zip(line, widths, strict=True)))
        for line in cells
    ]
    rule = [":" + "-" * (w - 1) for w in widths[:2]] + ["-" * (w - 1) + ":" for w in widths[2:]]
    lines.insert(1, " | ".join(rule))
    return "\n".join(f"| {line} |" for line in lines)


def products_quantized(
    model: onnx.ModelProto, calibration: Iterable[Arrays], method: str = "minmax"
) -> onnx.ModelProto:
    """The yardstick: onnxruntime's QDQ of Conv, Gemm and MatMul alone, per channel."""
    with tempfile.TemporaryDirectory() as directory:
        source, target = (pathlib.Path(directory) / name for name in ("f.onnx", "q.onnx"))
        source.write_bytes(model.SerializeToString())
        quantize_static(
            str(source), str(target), Samples(calibration), quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_PRODUCTS), per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            calibrate_method=METHODS[method],
        )
        return onnx.load(str(target))


def _bits(
    quantized: onnx.ModelProto, produced: Mapping[str, onnx.NodeProto]
) -> dict[str, int]:
    """Float tensor -> bits in which it is kept."""
    types = {tensor.name: tensor.data_type for tensor in quantized.graph.initializer}
    outputs = {value.name for value in quantized.graph.output}
    found = {}
    for node in quantized.graph.node:
        if node.op_type != "DequantizeLinear":
            continue
        result = node.output[0]
        name = result if result in outputs else result.removesuffix(_SUFFIX)
        moved = name in produced and produced[name].op_type in _MOVES and result not in outputs
        if name not in produced or moved or node.input[0] in types:
            continue
        found[name] = helper.tensor_dtype_to_np_dtype(types[node.input[2]]).itemsize * 8
    return found | {name: 32 for name in sorted(outputs - set(found)) if name in produced}


def _run(
    model: onnx.ModelProto, names: list[str], samples: list[Arrays]
) -> list[list[npt.NDArray[Any]]]:
    """The tensors `names` of each sample."""
    outputs = {value.name for value in model.graph.output}
    count = len(model.graph.output)
    model.graph.output.extend(
        helper.make_empty_tensor_value_info(name) for name in names if name not in outputs
    )
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(model.SerializeToString(), options)
    finally:
        del model.graph.output[count:]
    return [session.run(names, dict(sample)) for sample in samples]
