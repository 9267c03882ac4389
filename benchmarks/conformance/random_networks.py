"""Random quantized networks: operators chained and branched with odd shapes, from a seed.

Used to find what single operators cannot show: fusions, memories reused across layers, tensors with
several readers. Ranges come from running the float graph in onnxruntime.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper, numpy_helper

Array = npt.NDArray[Any]
OPSET, IR_VERSION = 21, 10  # the first with 16-bit QuantizeLinear
CHANNELS = (1, 2, 3, 4, 5, 8, 16, 17, 20, 33)
FILTERS = (1, 3, 4, 7, 8, 16, 18, 32, 40, 65)
MOVES = ("MaxPool", "Flatten", "Slice", "Resize", "Transpose", "Pad")
UNARY = ("Gelu", "Tanh", "Sigmoid", "Erf", "HardSwish", "HardSigmoid", "Abs", "Neg")
OF_POSITIVE = ("Sqrt", "Log", "Reciprocal")
CHOICES = ("Greater", "LessOrEqual")
# What reads and what makes tensors of 16 bits.
WIDE_READERS = frozenset((*UNARY, *OF_POSITIVE, *CHOICES, "Add", "Mul", "Div", "Relu", "LeakyRelu",
                          "Clip", "Min", "Max", "Where", "Flatten", "Slice", "Transpose"))
WIDE_MAKERS = WIDE_READERS | {"Conv", "Gemm"}


@dataclasses.dataclass(frozen=True)
class Network:
    """A QDQ model, its input and the operators in it."""

    model: onnx.ModelProto
    x: Array
    operators: tuple[str, ...]


def network(seed: int) -> Network:
    """The network of a seed; the same every time."""
    return _Builder(seed).run()


class _Builder:
    """Grows a float graph, then puts Q and DQ around its tensors."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}
        self.weights: set[str] = set()
        self.shapes: dict[str, tuple[int, ...]] = {}

    def run(self) -> Network:
        r = self.random
        self.shapes["x"] = (
            1, int(r.choice(CHANNELS)), int(r.integers(4, 40)), int(r.integers(4, 40))
        )
        for _ in range(int(r.integers(2, 9))):
            names = list(self.shapes)
            name = names[-1] if r.random() < 0.75 else names[int(r.integers(len(names)))]
            if len(self.shapes[name]) == 4:
                self._step(name)
            else:
                self._gemm(name)
        if not self.nodes:
            self._convolution("x", grouped=False)
        x = r.normal(size=self.shapes["x"]).astype(np.float32)
        return Network(self._quantized(x), x, tuple(n.op_type for n in self.nodes))

    # --- the float graph --------------------------------------------------------------------------

    def _add(self, op: str, inputs: list[str], shape: tuple[int, ...], **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"n_{name}", **attributes))
        if op not in CHOICES:  # booleans are for a Where alone
            self.shapes[name] = shape
        return name

    def _constant(self, value: Array, weight: bool = False) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        if weight:
            self.weights.add(name)
        return name

    def _normal(self, *shape: int) -> Array:
        return self.random.normal(size=shape).astype(np.float32)

    def _integers(self, *values: int) -> str:
        return self._constant(np.array(values, np.int64))

    def _step(self, name: str) -> None:
        """One more operator (or a small pattern) on an image."""
        r, shape = self.random, self.shapes[name]
        _, c, h, w = shape
        steps = (
            "conv", "conv", "conv", "grouped", "grouped", "pool", "pool", "conv_pool", "conv_pool",
            "add", "mul", "add_constant", "Relu", "LeakyRelu", "clip", "concat", "slice", "resize",
            "mean", "flatten", "pad", "transpose", "residual", "unary", "unary", "positive",
            "extreme", "choice", "divide",
        )
        step = str(r.choice(steps))
        if step in ("conv", "grouped"):
            self._convolution(name, step == "grouped")
        elif step == "pool":
            self._pool(name, str(r.choice(["MaxPool", "AveragePool"])))
        elif step == "conv_pool":
            self._pool(self._convolution(name, grouped=False), "MaxPool")
        elif step in ("add", "mul"):
            self._add(step.capitalize(), [name, self._alike(shape)], shape)
        elif step == "add_constant":
            self._add("Add", [name, self._constant(self._normal(c, 1, 1))], shape)
        elif step in ("Relu", "LeakyRelu"):
            self._add(step, [name], shape)
        elif step == "clip":
            bounds = [self._constant(np.array(v, np.float32)) for v in (-0.5, 1.0)]
            self._add("Clip", [name, *bounds], shape)
        elif step == "concat":
            same = [n for n, s in self.shapes.items() if len(s) == 4 and s[2:] == shape[2:]]
            other = same[int(r.integers(len(same)))]
            self._add("Concat", [name, other], (1, c + self.shapes[other][1], h, w), axis=1)
        elif step == "slice":
            start = int(r.integers(0, c))
            end = int(r.integers(start + 1, c + 1))
            cut = [self._integers(start), self._integers(end), self._integers(1)]
            self._add("Slice", [name, *cut], (1, end - start, h, w))
        elif step == "resize" and h * w < 600:
            scales = self._constant(np.array([1, 1, 2, 2], np.float32))
            self._add("Resize", [name, "", scales], (1, c, 2 * h, 2 * w),
                      coordinate_transformation_mode="asymmetric", nearest_mode="floor")
        elif step == "mean":
            self._add("GlobalAveragePool", [name], (1, c, 1, 1))
        elif step == "flatten" and c * h * w < 3000:
            self._add("Flatten", [name], (1, c * h * w))
        elif step == "pad":
            pads = self._integers(0, 0, 1, 0, 0, 0, 2, 1)
            self._add("Pad", [name, pads], (1, c, h + 3, w + 1))
        elif step == "transpose" and c * h * w < 2000:
            self._add("Transpose", [name], (1, c, w, h), perm=[0, 1, 3, 2])
        elif step == "unary":
            self._add(str(r.choice(UNARY)), [name], shape)
        elif step == "positive":
            size = self._add("Abs", [name], shape)
            above = self._add("Add", [size, self._constant(np.array(0.25, np.float32))], shape)
            self._add(str(r.choice(OF_POSITIVE)), [above], shape)
        elif step == "divide":
            self._add("Div", [name, self._constant(self._normal(c, 1, 1) + 4)], shape)
        elif step == "extreme":
            self._add(str(r.choice(["Min", "Max"])), [name, self._alike(shape)], shape)
        elif step == "choice":
            bound = self._constant(np.array(r.normal(), np.float32))
            condition = self._constant(r.random((c, 1, w)) < 0.5)
            if r.random() < 0.7:
                condition = self._add(str(r.choice(CHOICES)), [name, bound], shape)
            self._add("Where", [condition, name, self._alike(shape)], shape)
        elif step == "residual":
            weights = self._constant(self._normal(c, c, 3, 3) / c, weight=True)
            inner = self._add("Conv", [name, weights], shape, kernel_shape=[3, 3],
                              pads=[1, 1, 1, 1])
            self._add("Relu", [self._add("Add", [inner, name], shape)], shape)

    def _alike(self, shape: tuple[int, ...]) -> str:
        """Any tensor of that shape."""
        same = [n for n, s in self.shapes.items() if s == shape]
        return same[int(self.random.integers(len(same)))]

    def _convolution(self, name: str, grouped: bool) -> str:
        r = self.random
        _, c, h, w = self.shapes[name]
        kernel = [int(r.integers(1, min(6, n + 1))) for n in (h, w)]
        dilations = [
            int(r.integers(1, 3)) if (k - 1) * 2 + 1 <= n else 1
            for k, n in zip(kernel, (h, w), strict=True)
        ]
        groups, filters = 1, int(r.choice(FILTERS))
        if grouped:
            groups = int(r.choice([g for g in (c, c, 2, 3, 4) if c % g == 0]))
            filters = groups * int(r.integers(1, max(2, 40 // groups)))
        pads = [int(n) for n in r.integers(0, 3, 4)]
        strides = [int(n) for n in r.integers(1, 4, 2)]
        size = [
            (n + pads[i] + pads[i + 2] - ((kernel[i] - 1) * dilations[i] + 1)) // strides[i] + 1
            for i, n in enumerate((h, w))
        ]
        inputs = [name, self._constant(self._normal(filters, c // groups, *kernel), weight=True)]
        if r.random() < 0.7:
            inputs.append(self._constant(self._normal(filters)))
        return self._add("Conv", inputs, (1, filters, *size), kernel_shape=kernel, pads=pads,
                         strides=strides, dilations=dilations, group=groups)

    def _pool(self, name: str, op: str) -> None:
        r = self.random
        _, c, h, w = self.shapes[name]
        kernel = [int(r.integers(1, min(4, n + 1))) for n in (h, w)]
        strides = [int(n) for n in r.integers(1, 4, 2)]
        pads = [int(r.integers(0, kernel[i % 2])) for i in range(4)]
        size = [
            (n + pads[i] + pads[i + 2] - kernel[i]) // strides[i] + 1 for i, n in enumerate((h, w))
        ]
        self._add(op, [name], (1, c, *size), kernel_shape=kernel, strides=strides, pads=pads)

    def _gemm(self, name: str) -> None:
        rows, depth = self.shapes[name]
        outputs = int(self.random.integers(1, 80))
        weights = self._constant(self._normal(outputs, depth), weight=True)
        self._add("Gemm", [name, weights, self._constant(self._normal(outputs))], (rows, outputs),
                  transB=1)

    # --- quantization -----------------------------------------------------------------------------

    def _values(self, x: Array) -> dict[str, Array]:
        """Every tensor of the float graph."""
        outputs = [node.output[0] for node in self.nodes if node.op_type not in CHOICES]
        graph = helper.make_graph(
            self.nodes, "float",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, self.shapes["x"])],
            [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in outputs],
            [numpy_helper.from_array(v, n) for n, v in self.constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)],
                                  ir_version=IR_VERSION)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(model.SerializeToString(), options,
                                               providers=["CPUExecutionProvider"])
        return {"x": x, **dict(zip(outputs, session.run(outputs, {"x": x}), strict=True))}

    def _quantized(self, x: Array) -> onnx.ModelProto:
        r, values = self.random, self._values(x)
        unsigned = bool(r.random() < 0.7)
        nodes: list[onnx.NodeProto] = []
        constants: list[onnx.TensorProto] = []
        renamed: dict[str, str] = {}
        grids: dict[str, tuple[Array, Array]] = {}

        def quantize(name: str, grid: tuple[Array, Array]) -> None:
            grids[name] = grid
            parameters = [f"{name}_scale", f"{name}_zero"]
            constants.extend(
                numpy_helper.from_array(v, n) for v, n in zip(grid, parameters, strict=True)
            )
            nodes.append(helper.make_node("QuantizeLinear", [name, *parameters], [f"{name}_int"],
                                          name=f"{name}_q"))
            nodes.append(helper.make_node("DequantizeLinear", [f"{name}_int", *parameters],
                                          [f"{name}_real"], name=f"{name}_dq"))
            renamed[name] = f"{name}_real"

        quantize("x", _grid(x, unsigned))
        for name, value in self.constants.items():
            if name in self.weights:
                nodes.append(self._weights(name, value, constants))
                renamed[name] = f"{name}_real"
            else:
                constants.append(numpy_helper.from_array(value, name))
        readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                readers.setdefault(name, []).append(node)
        for node in self.nodes:
            inner = onnx.NodeProto()
            inner.CopyFrom(node)
            inner.input[:] = [renamed.get(n, n) for n in node.input]
            nodes.append(inner)
            name = node.output[0]
            if node.op_type in CHOICES:
                continue
            mine = readers.get(name, [])
            if len(mine) == 1 and mine[0].op_type in ("Relu", "Clip") and r.random() < 0.6:
                continue  # an activation that joins its producer
            joined = node.op_type in ("Relu", "Clip") and node.input[0] not in renamed
            wide = (
                node.op_type in WIDE_MAKERS and not joined
                and {m.op_type for m in mine} <= WIDE_READERS
            )
            moved = node.op_type in MOVES and node.input[0] in grids and r.random() < 0.5
            if moved and (wide or grids[node.input[0]][1].dtype.itemsize == 1):
                quantize(name, grids[node.input[0]])
            elif wide and r.random() < 0.4:
                quantize(name, _wide_grid(values[name]))
            else:
                quantize(name, _grid(values[name], unsigned))
        outputs = [n for n in self.shapes if n != "x" and n not in readers]
        graph = helper.make_graph(
            nodes, f"random{self.seed}",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, self.shapes["x"])],
            [helper.make_tensor_value_info(renamed[n], onnx.TensorProto.FLOAT, self.shapes[n])
             for n in outputs],
            constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)],
                                 ir_version=IR_VERSION)

    def _weights(
        self, name: str, value: Array, constants: list[onnx.TensorProto]
    ) -> onnx.NodeProto:
        """int8 weights, per output channel or per tensor, behind a DequantizeLinear."""
        per_channel = bool(self.random.random() < 0.7)
        axes = tuple(range(1, value.ndim)) if per_channel else None
        scale = np.maximum(np.asarray(np.abs(value).max(axis=axes) / 127, np.float32), 1e-6)
        along = scale.reshape((-1,) + (1,) * (value.ndim - 1)) if per_channel else scale
        q = np.clip(np.rint(value / along), -127, 127).astype(np.int8)
        for suffix, array in (("q", q), ("s", scale), ("z", np.zeros(scale.shape, np.int8))):
            constants.append(numpy_helper.from_array(array, f"{name}_{suffix}"))
        axis = {"axis": 0} if per_channel else {}
        return helper.make_node("DequantizeLinear", [f"{name}_q", f"{name}_s", f"{name}_z"],
                                [f"{name}_real"], name=f"{name}_dq", **axis)


def _grid(value: Array, unsigned: bool) -> tuple[Array, Array]:
    """(scale, zero point) that cover the values and zero."""
    lo, hi = min(float(value.min()), 0.0), max(float(value.max()), 0.0)
    scale = np.float32(max(hi - lo, 1e-3) / 255)
    limits = np.iinfo(np.uint8 if unsigned else np.int8)
    zero = np.clip(np.rint(-lo / scale) + limits.min, limits.min, limits.max)
    return np.array(scale), np.array(zero).astype(limits.dtype)


def _wide_grid(value: Array) -> tuple[Array, Array]:
    """(scale, zero point) of 16 bits, symmetric."""
    scale = np.float32(max(float(np.abs(value).max()), 1e-3) / 32767)
    return np.array(scale), np.array(0, np.int16)
