"""Float models to QDQ models through onnxruntime.quantization; QDQ models are taken as they are.

uint8 activations with zero points, int8 weights per output channel, int32 biases. Calibration runs
on one thread, and the result is the same bytes each time.
"""

import contextlib
import io
import logging
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quant_utils,
    quantize_static,
)
from onnxruntime.quantization.operators.activation import QDQRemovableActivation
from onnxruntime.quantization.operators.qdq_base_operator import QDQOperatorBase
from onnxruntime.quantization.registry import QDQRegistry

from jacquard.compiler.frontend.fold import infer_shapes
from jacquard.compiler.frontend.mixed import quantize_mixed
from jacquard.compiler.frontend.mixed_plan import wants_plan
from jacquard.compiler.frontend.mixed_ranges import Samples
from jacquard.compiler.frontend.patterns.pipeline import raised
from jacquard.compiler.frontend.patterns.unread import without_unread
from jacquard.compiler.frontend.smooth import factors_of, smoothed, store, with_factors
from jacquard.proto.lib.errors import UserError, raise_if_any

METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
QUANTIZED_OPERATORS = (
    "Add", "AveragePool", "BatchNormalization", "Clip", "Concat", "Conv", "Flatten", "Gemm",
    "GlobalAveragePool", "LeakyRelu", "MatMul", "MaxPool", "Mul", "Pad", "ReduceMean", "Relu",
    "Reshape", "Resize", "Slice", "Split", "Squeeze", "Sub", "Transpose", "Unsqueeze",
)
# Functions, whose constants stay as they are: an exponent or a bound is no data.
FUNCTIONS = (
    "Abs", "Div", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "Log", "Max", "Min", "Neg",
    "Pow", "Reciprocal", "Sigmoid", "Sqrt", "Swish", "Tanh",
)
# What a calibrated activation can have: a mask of -3.4e38 taken for data gives 2.7e36.
MIN_SCALE = 1e-12
MAX_SCALE = 1e6
OPSET_OF_INT16 = 21
_QDQ = ("QuantizeLinear", "DequantizeLinear")


class _Activation(QDQRemovableActivation):  # type: ignore[misc]
    """Quantizes a Relu or Clip that reads a graph input too; onnxruntime leaves it in float."""

    def quantize(self) -> None:
        if not self.quantizer.is_tensor_quantized(self.node.input[0]):
            self.quantizer.quantize_activation_tensor(self.node.input[0])
        super().quantize()


class _Function(QDQOperatorBase):  # type: ignore[misc]
    """Quantizes what a function computes with, and not its constants."""

    def quantize(self) -> None:
        for name in (*self.node.input, *self.node.output):
            if name and name not in self.quantizer.initializers:
                self.quantizer.quantize_activation_tensor(name)


def is_quantized(model: onnx.ModelProto) -> bool:
    """Whether the model has QuantizeLinear or DequantizeLinear nodes."""
    return any(node.op_type in _QDQ for node in model.graph.node)


def quantize_model(
    model: onnx.ModelProto,
    calibration: Iterable[Mapping[str, np.ndarray]],
    method: str = "minmax",
    like: onnx.ModelProto | None = None,
    per_head: bool = True,
    smooth_quant: float | None = None,
    weight_bits: int = 8,
) -> onnx.ModelProto:
    """The QDQ form of `model`; a model that has one already is returned after a check.

    Args:
      model: as `import_model` gives it; static shapes.
      calibration: one array per input and sample.
      method: a name in `METHODS`.
      like: a quantized model that shares weights with this one, such as the prefill of a decode
        step; what they share has its grids (mixed precision alone).
      per_head: of transformers, keys and values of a cache have a scale per head.
      smooth_quant: of transformers, how much of the activations' outliers goes into weights, 0 to
        1 (smooth.py); with `like` it is that model's factors, whatever is given here.
      weight_bits: 8, or 4 for an array of 4-bit weights: int8 tensors of -7 to 7, a scale per
        output channel. Not of transformers.

    Raises:
      UserError: an unknown method, no calibration data, arrays that do not fit the inputs, or
        scales that are not finite or absurd.
    """
    if is_quantized(model):
        check_scales(model)
        return model
    if method not in METHODS:
        raise UserError(
            f"calibration method: must be one of {', '.join(METHODS)}, got {method}; choose one"
        )
    batches = [dict(batch) for batch in calibration]
    _check_batches(model, batches)
    if wants_plan(model):
        if weight_bits != 8:
            raise UserError(
                f"weight bits: must be 8 for a transformer (products of two activations), got "
                f"{weight_bits}; choose a configuration with 8-bit weights"
            )
        if like is not None:
            if factors := factors_of(like):  # else no copy of the model is needed
                model = with_factors(model, factors)
        elif smooth_quant is not None:
            model = smoothed(model, batches, smooth_quant)
        return _mixed(model, batches, method, like, per_head)
    if smooth_quant is not None:
        raise UserError(
            "smooth_quant: must be asked for of a transformer (a norm, or products of two "
            "activations), got none; quantize the model without"
        )
    with (
        tempfile.TemporaryDirectory() as directory, _quiet(), _one_thread(), _own_rules(),
        _weight_range(weight_bits),
    ):
        source = pathlib.Path(directory) / "float.onnx"
        target = pathlib.Path(directory) / "qdq.onnx"
        source.write_bytes(model.SerializeToString())
        try:
            quantize_static(
                str(source),
                str(target),
                Samples(batches),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=[*QUANTIZED_OPERATORS, *FUNCTIONS],
                per_channel=True,
                reduce_range=weight_bits < 8,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=METHODS[method],
                extra_options={
                    "ActivationSymmetric": False,
                    "WeightSymmetric": True,
                    "ForceQuantizeNoInputCheck": True,
                },
            )
        except Exception as error:  # onnxruntime's own classes share no base but this one
            raise _refused(error) from error
        quantized = onnx.load(str(target))
    _strip(quantized)
    check_scales(quantized)
    return quantized


def _mixed(
    model: onnx.ModelProto, batches: list[dict[str, np.ndarray]], method: str,
    like: onnx.ModelProto | None, per_head: bool,
) -> onnx.ModelProto:
    factors = factors_of(model)
    model = infer_shapes(raised(model, OPSET_OF_INT16))
    with tempfile.TemporaryDirectory() as directory, _quiet(), _one_thread():
        folder = pathlib.Path(directory)
        try:
            quantized = quantize_mixed(model, batches, method, folder, like, per_head)
        except UserError:
            raise
        except Exception as error:
            raise _refused(error) from error
    quantized = without_unread(infer_shapes(quantized))
    _strip(quantized)
    store(quantized, factors)
    check_scales(quantized)
    return quantized


def _refused(error: Exception) -> UserError:
    """What onnxruntime said, in its first line; an assertion may have none."""
    said = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return UserError(
        f"quantization: onnxruntime must be able to calibrate the model, got: "
        f"{' '.join(said.split())}; check the model and its calibration data"
    )


def check_scales(model: onnx.ModelProto) -> None:
    """Refuses scales that are not finite, not positive or absurd, all of them at once."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    constants[node.output[0]] = attribute.t
    produced = {node.output[0]: node for node in model.graph.node}
    problems = []
    judged: set[str] = set()  # a tensor's two nodes share their scale
    for node in model.graph.node:
        if node.op_type not in _QDQ or node.input[1] not in constants or node.input[1] in judged:
            continue
        judged.add(node.input[1])
        source = produced.get(node.input[0])
        constant = node.input[0] in constants or (
            source is not None and source.op_type in _QDQ and source.input[0] in constants
        )
        lowest = 0.0 if constant else MIN_SCALE  # weights may be tiny; activations may not
        scales = numpy_helper.to_array(constants[node.input[1]]).astype(np.float64)
        bad = ~(np.isfinite(scales) & (scales > lowest) & (scales < MAX_SCALE))
        if bad.any():
            problems.append(
                f"tensor {node.input[0]}: scale must be finite, positive and below {MAX_SCALE:g}, "
                f"got {float(scales[bad].flat[0])!r}; calibrate with data in its normal range, or "
                "keep a mask's constant out of the quantized part"
            )
    raise_if_any(problems)


def _check_batches(model: onnx.ModelProto, batches: list[dict[str, np.ndarray]]) -> None:
    if not batches:
        raise UserError(
            "calibration: must have at least one sample, got none; give a folder of .npz files"
        )
    constants = {tensor.name for tensor in model.graph.initializer}
    wanted = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in model.graph.input
        if value.name not in constants
    }
    types = {
        value.name: helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        for value in model.graph.input
    }
    tables = {tensor.name: tensor.dims[0] for tensor in model.graph.initializer if tensor.dims}
    rows: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type == "Gather" and node.input[0] in tables and node.input[1] in wanted:
            name = node.input[1]
            rows[name] = min(tables[node.input[0]], rows.get(name, tables[node.input[0]]))
    problems = []
    for index, batch in enumerate(batches):
        for name in sorted(set(batch) ^ set(wanted)):
            state = "missing" if name in wanted else "no input of the model"
            problems.append(
                f"calibration sample {index}: must have exactly the inputs "
                f"{', '.join(sorted(wanted))}, got {name} {state}; rename the arrays"
            )
        for name in sorted(set(batch) & set(wanted)):
            if list(batch[name].shape) != wanted[name]:
                problems.append(
                    f"calibration sample {index}: {name} must have shape {wanted[name]}, got "
                    f"{list(batch[name].shape)}; reshape it"
                )
            elif batch[name].dtype != types[name]:
                problems.append(
                    f"calibration sample {index}: {name} must be {types[name]}, got "
                    f"{batch[name].dtype}; convert it"
                )
            elif name in rows and not ((batch[name] >= 0) & (batch[name] < rows[name])).all():
                outside = batch[name][(batch[name] < 0) | (batch[name] >= rows[name])]
                problems.append(
                    f"calibration sample {index}: {name} must lie in [0, {rows[name]}), got "
                    f"{outside.flat[0]}; use the model's own vocabulary"
                )
            elif not np.isfinite(batch[name]).all():
                problems.append(
                    f"calibration sample {index}: {name} must be finite, got NaN or infinity; "
                    "leave this sample out"
                )
    raise_if_any(problems)


def _strip(model: onnx.ModelProto) -> None:
    """Takes out what does not compute: the producer's marks and inferred shapes of old tensors."""
    del model.metadata_props[:]
    model.producer_name, model.producer_version = "jacquard", ""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """onnxruntime.quantization logs advice through the root logger, and its histograms print."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(previous)


@contextlib.contextmanager
def _own_rules() -> Iterator[None]:
    """Puts the classes above into onnxruntime's registry for the time of one call."""
    original = dict(QDQRegistry)
    QDQRegistry.update(dict.fromkeys(("Relu", "Clip"), _Activation))
    QDQRegistry.update(dict.fromkeys(FUNCTIONS, _Function))
    try:
        yield
    finally:
        QDQRegistry.clear()
        QDQRegistry.update(original)


@contextlib.contextmanager
def _weight_range(bits: int) -> Iterator[None]:
    """onnxruntime's reduced range of weights, symmetric in `bits` for the time of a call."""
    ranges = quant_utils.ONNX_INT_TYPE_REDUCED_RANGE
    original = ranges[onnx.TensorProto.INT8]
    highest = np.int8((1 << bits - 1) - 1)
    ranges[onnx.TensorProto.INT8] = (np.array(-highest), np.array(highest))
    try:
        yield
    finally:
        ranges[onnx.TensorProto.INT8] = original


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """The calibrator makes its own sessions; their sums must not depend on the core count.

    Warnings about initializers that the calibrator itself leaves unused are no user's concern.
    """
    original = ort.InferenceSession

    def single_threaded(
        model: object, sess_options: ort.SessionOptions | None = None, **rest: object
    ) -> ort.InferenceSession:
        options = sess_options or ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors
        return original(model, options, **rest)

    ort.InferenceSession = single_threaded
    try:
        yield
    finally:
        ort.InferenceSession = original
