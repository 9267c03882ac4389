"""What the import holds for each name of the ONNX graph while it walks it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from jacquard.compiler.codelets import base
from jacquard.compiler.graph.ir import QTensor


@dataclasses.dataclass(frozen=True)
class Masked:
    """A stored tensor to which something is added that may be a mask.

    Attributes:
      mask: float, from the host or known; its shape broadcasts against the tensor's.
      refusal: why nothing but an operator that takes a mask can read it, where that is so.
    """

    tensor: QTensor
    mask: base.Host | base.Constant
    refusal: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Real:
    """A real tensor on the device, clamped.

    One of: stored (`tensor`), pending (`parsed`, `node`: a codelet computes it when a
    QuantizeLinear says on which grid), or nothing but `masked`, for a codelet that takes a mask.

    Attributes:
      index: which of the pending operator's results.
      nodes: names of the ONNX nodes that it stands for.
    """

    shape: tuple[int, ...]
    tensor: QTensor | None = None
    parsed: base.Parsed | None = None
    node: base.Node | None = None
    index: int = 0
    nodes: tuple[str, ...] = ()
    lo: float = -math.inf
    hi: float = math.inf
    masked: Masked | None = None

    @property
    def clamped(self) -> bool:
        return not (math.isinf(self.lo) and math.isinf(self.hi))


@dataclasses.dataclass(frozen=True)
class FloatInput:
    """A graph input that a QuantizeLinear reads."""

    name: str
    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class NanTest:
    """IsNaN of a device's result: integers are numbers, so it is false everywhere."""

    of: Real


Value = Real | FloatInput | NanTest | QTensor | base.Constant | base.QuantizedConstant | base.Host
CONSTANTS = (base.Constant, base.QuantizedConstant)


def attribute(proto: onnx.AttributeProto) -> Any:
    """An attribute's value; tensors as arrays, bytes as str."""
    value = onnx.helper.get_attribute_value(proto)
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, bytes):
        return value.decode()
    return value


def along(array: np.ndarray, axis: int, rank: int) -> np.ndarray:
    """A scale or zero point, 0-d or broadcastable along `axis` of a tensor of that rank."""
    if array.size == 1:
        return array.reshape(())
    return array.reshape(tuple(-1 if i == axis % rank else 1 for i in range(rank)))
