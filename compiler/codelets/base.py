"""What an operator is to the compiler: one Codelet, one file.

`parse` turns an ONNX node into attributes and shapes, `lower` emits tile instructions, `reference`
is the operator in real arithmetic, `cases` are the models it is tested with. Files are found by the
registry; nothing else names them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from jacquard.compiler.graph.ir import Grid, Op, QTensor
from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import quantize_bound

if TYPE_CHECKING:
    from jacquard.compiler.tile.lowering import Lowering
    from jacquard.compiler.tile.table import TableStage

Array = npt.NDArray[Any]

DTYPES = ("int8", "uint8", "int16", "uint16")  # of activations
NARROW = DTYPES[:2]
SIGNED = DTYPES[:3]  # what VECTOR's zero point and clamp can hold


@dataclasses.dataclass(frozen=True)
class Activation:
    """An operand that is stored on the device: the reals of `tensor`."""

    tensor: QTensor


@dataclasses.dataclass(frozen=True)
class Constant:
    """An operand known at compile time: floats, or integers such as a shape."""

    value: Array


@dataclasses.dataclass(frozen=True)
class QuantizedConstant:
    """A DequantizeLinear of constant integers: `(q - zero) * scale`, per tensor or along `axis`.

    scale float64, zero int64: 0-d or broadcastable to q.
    """

    name: str
    q: Array
    scale: Array
    zero: Array

    @property
    def real(self) -> Array:
        """float32, as DequantizeLinear gives it."""
        return ((self.q.astype(np.int64) - self.zero) * self.scale).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Host:
    """An operand that the host computes before the device runs: ids, masks, their parts.

    dtype: NumPy's name of it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclasses.dataclass(frozen=True)
class Result:
    """To `Codelet.absorb`: the operand that is the operator's own result, not stored yet."""

    shape: tuple[int, ...]


Operand = Activation | Constant | QuantizedConstant | Host | Result | None


@dataclasses.dataclass(frozen=True)
class Node:
    """An ONNX node with its operands resolved."""

    op: str
    name: str
    attributes: Mapping[str, Any]
    operands: tuple[Operand, ...]
    opset: int
    output_count: int = 1

    @property
    def place(self) -> str:
        return f"node {self.name} ({self.op})"

    def get(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)

    def operand(self, index: int) -> Operand:
        return self.operands[index] if index < len(self.operands) else None

    def activation(self, index: int) -> QTensor:
        """Operand `index` as a stored tensor. UserError if it is a constant or absent."""
        operand = self.operand(index)
        if not isinstance(operand, Activation):
            self._on_device(index)
            raise UserError(
                f"{self.place}: input {index} must be a quantized activation, got a constant; "
                "fold the model"
            )
        return operand.tensor

    def constant(self, index: int) -> Array | None:
        """Operand `index` as a plain array of reals or integers; None where absent."""
        operand = self.operand(index)
        if operand is None:
            return None
        if isinstance(operand, Activation):
            raise UserError(
                f"{self.place}: input {index} must be a constant, got an activation; "
                "fold it into the model"
            )
        self._on_device(index)
        assert isinstance(operand, (Constant, QuantizedConstant))
        return operand.real if isinstance(operand, QuantizedConstant) else operand.value

    def indices(self, index: int) -> QTensor:
        """Operand `index` as int32 numbers that the host binds. UserError if it has none."""
        operand = self.operand(index)
        if not isinstance(operand, Host) or np.dtype(operand.dtype).kind not in "iu":
            raise UserError(
                f"{self.place}: input {index} must be integers of a graph input, or made of one on "
                "the host; read them from an input"
            )
        return QTensor(operand.name, operand.shape, Grid(1.0, 0, "int32"))

    def _on_device(self, index: int) -> None:
        operand = self.operand(index)
        if isinstance(operand, Host):
            raise UserError(
                f"{self.place}: input {index} must not come from the host, got {operand.name}, "
                "which is made of inputs that nothing quantizes; quantize those inputs"
            )


@dataclasses.dataclass(frozen=True)
class Parsed:
    """What `parse` makes of a node.

    Attributes:
      inputs: stored operands; constants among them carry their data.
      attrs: whatever the codelet needs to lower.
      shapes: of the outputs.
      grid: on which the result lies exactly although nothing has quantized it (moves, maxima);
        None where a QuantizeLinear must follow.
      limits: of the inputs that are indices: name -> the first index that is too large.
    """

    inputs: tuple[QTensor, ...]
    attrs: Mapping[str, Any]
    shapes: tuple[tuple[int, ...], ...]
    grid: Grid | None = None
    limits: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Case:
    """A quantized operator to test: float inputs, one node, its attributes.

    Attributes:
      inputs: name -> shape of the activations.
      constants: name -> float weights (quantized per channel along axis 0 where `weights` names
        them; float32 as they are otherwise) or integer parameters.
      order: of the node's operands, where inputs do not all stand before constants.
      unsigned: activations are uint8 where nothing else is said.
      input_dtype, output_dtype: int8, uint8, int16 or uint16; 16 bits are symmetric.
      mask: float32, added to the first input directly in front of the operator; not quantized.
      spread: of the inputs; positive: they are made so.
      tolerance: largest distance from `reference`, in output LSB.
    """

    name: str
    inputs: Mapping[str, tuple[int, ...]]
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    constants: Mapping[str, Array] = dataclasses.field(default_factory=dict)
    weights: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    outputs: int = 1
    unsigned: bool = False
    relu: bool = False
    input_dtype: str = ""
    output_dtype: str = ""
    mask: Array | None = None
    spread: float = 1.0
    positive: bool = False
    tolerance: float = 0.501


Lower = Callable[[Op, "Lowering"], None]
Reference = Callable[[Op, Sequence[Array]], Sequence[Array]]


@dataclasses.dataclass(frozen=True)
class Codelet:
    """One ONNX operator.

    Attributes:
      op: operator type.
      parse: raises UserError for what the machine cannot do.
      lower: None for operators that never reach lowering (a clamp joins its producer).
      reference: op, inputs as reals (float64, ONNX shapes) -> outputs as reals.
      clamp: for Relu and Clip: the node -> (lo, hi).
      view: where its operands' and results' channels lie: "image" (second of four dimensions),
        "last", "same" (any, but one for all of them), "move" (each tensor its own).
      absorb: what becomes of the operator with a node behind it that reads its result (a Result
        among the operands) and constants; None where the result must be quantized first.
      masked: takes an additive mask as one operand more: int32, 0 or MASKED, of a shape
        that broadcasts against the first operand.
      host: the operands that may come from the host.
      table: for functions of one operand: the look-up that computes the op from a 16-bit operand's
        grid to its result's, where it is one of the plain form (t = q), the op's clamp included.
      streams: of ops whose results are made row after row, the last ones while the next op runs
        already (Lowering.produce), so that their operands live one layer longer: op, channel tiles
        -> VECTOR's cycles for a row.
      narrows: an op of it may have a second output: the first one's integers requantized.
      reads, writes: types of its stored operands, and of its results, that it can be lowered for.
    """

    op: str
    parse: Callable[[Node], Parsed] | None
    lower: Lower | None
    reference: Reference
    cases: Callable[[], Sequence[Case]]
    clamp: Callable[[Node], tuple[float, float]] | None = None
    view: Literal["image", "last", "same", "move"] = "same"
    absorb: Callable[[Parsed, Node], Parsed | None] | None = None
    masked: bool = False
    host: tuple[int, ...] = ()
    table: Callable[[Op, Grid, Grid], TableStage | None] | None = None
    streams: Callable[[Op, int], float] | None = None
    narrows: bool = False
    reads: tuple[str, ...] = DTYPES
    writes: tuple[str, ...] = DTYPES


def bounds(op: Op, grid: Grid) -> tuple[int, int]:
    """The clamp of an op on its output's grid: (lo, hi) integers, inclusive."""
    lo = quantize_bound(op.lo, grid.scale, grid.zero_point, grid.lo, grid.hi)
    hi = quantize_bound(op.hi, grid.scale, grid.zero_point, grid.lo, grid.hi)
    return lo, hi


def check_signed(op: Op, grid: Grid) -> None:
    """UserError for a result that VECTOR would have to put onto a grid of uint16."""
    if grid.dtype not in SIGNED:
        raise UserError(
            f"node {op.name} ({op.kind}): its result must be {' or '.join(SIGNED)} or lie on its "
            f"operands' grid, got {grid.dtype}; requantize it to int16"
        )


def clamped(op: Op) -> bool:
    """Whether an op has a clamp of its own."""
    return not (math.isinf(op.lo) and math.isinf(op.hi))
