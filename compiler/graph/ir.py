"""The graph IR: quantized tensors and the operators between them.

An `Op` reads stored integers and writes stored integers; everything real-valued between a
DequantizeLinear and the next QuantizeLinear has become one Op with a clamp. Immutable; passes make
new graphs. `text` is the form that --dump-after shows.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from jacquard.compiler.graph.host import HostPart

IntArray = npt.NDArray[np.integer[Any]]


@dataclasses.dataclass(frozen=True)
class View:
    """How a tensor of any rank is seen by the machine: channels x height x width.

    Four dimensions are N*C, H, W; anything else has its features (channels) last and all other
    dimensions as width, as Program.Tensor says.
    """

    channels: int
    height: int
    width: int

    @property
    def positions(self) -> int:
        return self.height * self.width


def view_of(shape: tuple[int, ...], features_last: bool = False) -> View:
    """The machine's view of a tensor of that shape; features_last: though it has four dimensions."""
    if len(shape) == 4 and not features_last:
        return View(shape[0] * shape[1], shape[2], shape[3])
    channels = shape[-1] if shape else 1
    return View(channels, 1, math.prod(shape[:-1]) if shape else 1)


@dataclasses.dataclass(frozen=True)
class Grid:
    """Which real number an integer stands for: `(q - zero_point) * scale`.

    Attributes:
      scale: a float32 value; the largest of `scales` where there are some.
      dtype: int8, uint8, int16, uint16; int32 for constants, indices and masks.
      scales: of the heads of keys and values: equal parts of one dimension (QTensor.axis), in
        order. Two at least; empty where one scale serves the tensor.
    """

    scale: float
    zero_point: int
    dtype: str
    scales: tuple[float, ...] = ()

    @property
    def lo(self) -> int:
        return int(np.iinfo(self.dtype).min)

    @property
    def hi(self) -> int:
        return int(np.iinfo(self.dtype).max)


@dataclasses.dataclass(frozen=True)
class QTensor:
    """A quantized tensor.

    Attributes:
      data: set for constants: integers in ONNX shape.
      features_last: of four dimensions the last is the channels (passes/views.py decides).
      axis: the dimension whose equal parts have grid.scales.
    """

    name: str
    shape: tuple[int, ...]
    grid: Grid
    data: IntArray | None = None
    features_last: bool = False
    axis: int = 0

    @property
    def image(self) -> bool:
        """Whether its channels are the second of four dimensions."""
        return len(self.shape) == 4 and not self.features_last

    @property
    def view(self) -> View:
        return view_of(self.shape, self.features_last)

    @property
    def steps(self) -> npt.NDArray[np.float64]:
        """The scale of every element: float64, 0-d or one for each index of `axis`."""
        if not self.grid.scales:
            return np.asarray(self.grid.scale, np.float64)
        scales = np.asarray(self.grid.scales, np.float64)
        whole = np.repeat(scales, self.shape[self.axis] // scales.size)
        return whole.reshape([-1 if i == self.axis else 1 for i in range(len(self.shape))])


@dataclasses.dataclass(frozen=True)
class Op:
    """One operator between stored tensors.

    Attributes:
      kind: name of the codelet that lowers it (an ONNX operator type).
      attrs: what the codelet's parse made of attributes and constants; fusions add to it.
      lo, hi: clamp of the real result before it is quantized.
      nodes: every ONNX node that this stands for, the principal one (`name`) included.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Any]
    lo: float = -math.inf
    hi: float = math.inf
    nodes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class State:
    """Tensors [.., rows, features] that outlive a run, and which of their rows a run writes.

    Attributes:
      argument: name of the number, in [0, rows), of the row that a run writes; "": it writes all.
      tensors: the program's name of a state -> tensor, in the order in which they share a row.
      masks: graph inputs whose host form has one element more per row, the last of which belongs
        to the written row.
    """

    argument: str
    rows: int
    tensors: Mapping[str, str]
    masks: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Graph:
    """Ops in topological order.

    Attributes:
      inputs: graph input name -> tensor.
      outputs: graph output name -> tensor.
      host: what the host computes of the inputs, where it does.
      state: what outlives a run, where something does.
    """

    name: str
    tensors: Mapping[str, QTensor]
    ops: tuple[Op, ...]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    host: HostPart | None = None
    state: State | None = None

    def consumers(self) -> dict[str, list[int]]:
        """Tensor -> indices of the ops that read it."""
        result: dict[str, list[int]] = {name: [] for name in self.tensors}
        for index, op in enumerate(self.ops):
            for name in op.inputs:
                result[name].append(index)
        return result

    def text(self) -> str:
        """One line per op."""
        lines = [f"graph {self.name}"]
        lines += [f"  input {name} = {self._tensor(t)}" for name, t in self.inputs.items()]
        for op in self.ops:
            outputs = ", ".join(self._tensor(name) for name in op.outputs)
            attrs = " ".join(f"{k}={_brief(v)}" for k, v in op.attrs.items())
            clamp = "" if (op.lo, op.hi) == (-math.inf, math.inf) else f" clamp=[{op.lo}, {op.hi}]"
            call = f"{op.kind}({', '.join(op.inputs)})"
            lines.append(f"  {outputs} = {call} {attrs}{clamp}  # {op.name}")
        lines += [f"  output {name} = {tensor}" for name, tensor in self.outputs.items()]
        if self.state is not None:
            lines += [f"  state {name} = {tensor}" for name, tensor in self.state.tensors.items()]
        return "\n".join(lines) + "\n"

    def _tensor(self, name: str) -> str:
        tensor = self.tensors[name]
        shape = "x".join(map(str, tensor.shape))
        grid = tensor.grid
        parts = f"/{len(grid.scales)} of {tensor.axis}" if grid.scales else ""
        return f"{name}: {grid.dtype}[{shape}]@{grid.scale:.6g}{parts}+{grid.zero_point}"


def _brief(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_brief, value))})"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (f"{f.name}={_brief(getattr(value, f.name))}" for f in dataclasses.fields(value))
        return f"{type(value).__name__}({', '.join(fields)})"
    return str(value)
