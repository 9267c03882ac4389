"""Additive masks in front of an operator that takes one (Softmax), and the NaN guard behind it.

An Add or Where whose other operand is a float of the host, or a constant, gives logits with a mask
beside them. The guard `Where(IsNaN(y), constant, y)` goes: it changes rows that are masked whole,
which are refused, here or by the runtime.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets import base
from jacquard.compiler.graph.ir import Grid, QTensor
from jacquard.compiler.passes.host_part import HostBuilder
from jacquard.compiler.passes.values import Masked, NanTest, Real, Value
from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.masks import LEAST_MASK, MASKED


class Masks:
    """Finds masks while the graph is walked. Equal constant masks become one tensor."""

    def __init__(self, host: HostBuilder) -> None:
        self._host = host
        self._constants: dict[tuple[tuple[int, ...], bytes], QTensor] = {}

    def found(self, op: str, name: str, operands: Sequence[Value | None]) -> Masked | None:
        """Node `name` as logits and a mask; None where it is something else."""
        if op == "Add" and len(operands) == 2:
            return self._added(name, operands)
        if op == "Where" and len(operands) == 3:
            return self._chosen(name, operands)
        return None

    def _added(self, name: str, operands: Sequence[Value | None]) -> Masked | None:
        for real, other in ((operands[0], operands[1]), (operands[1], operands[0])):
            if isinstance(other, (base.Host, base.Constant)) and _is_float(other):
                return self._beside(name, real, other)
        return None

    def _chosen(self, name: str, operands: Sequence[Value | None]) -> Masked | None:
        condition, *branches = operands
        for index, low in enumerate(branches):
            if not isinstance(low, base.Constant) or not _is_float(low):
                continue
            if not (low.value <= LEAST_MASK).all():
                continue
            if isinstance(condition, base.Constant):
                chosen = condition.value.astype(bool)
                mask = base.Constant(np.where(chosen if index == 0 else ~chosen, low.value, 0.0))
                return self._beside(name, branches[1 - index], mask)
            if isinstance(condition, base.Host) and _logits(branches[1 - index]) is not None:
                made = self._host.choice(name, condition, low.value, low_first=index == 0)
                return self._beside(name, branches[1 - index], made)
        return None

    def _beside(
        self, name: str, real: Value | None, mask: base.Host | base.Constant
    ) -> Masked | None:
        tensor = _logits(real)
        if tensor is None or not _broadcasts(_shape(mask), tensor.shape):
            return None
        assert isinstance(real, Real)
        if real.masked is not None:
            mask = self._total(name, real.masked.mask, mask)
        return Masked(tensor, mask)

    def _total(
        self, name: str, a: base.Host | base.Constant, b: base.Host | base.Constant
    ) -> base.Host | base.Constant:
        if isinstance(a, base.Host):
            return self._host.total(name, a, b)
        if isinstance(b, base.Host):
            return self._host.total(name, b, a)
        return base.Constant(a.value.astype(np.float64) + b.value)

    def tensor(self, name: str, place: str, masked: Masked) -> QTensor | None:
        """The device's form of the mask in front of node `name`; None where it hides nothing."""
        mask = masked.mask
        if isinstance(mask, base.Host):
            return self._host.bind_mask(mask)
        values = np.atleast_1d(mask.value)
        hidden = values <= LEAST_MASK
        bad = ~hidden & (values != 0)
        if bad.any():
            raise UserError(
                f"{place}: an additive mask must be 0 or at most {LEAST_MASK:g}, got "
                f"{values[bad].flat[0]:g}; quantize the sum in front of it instead"
            )
        if not hidden.any():
            return None
        if hidden.all(axis=-1).any():
            raise UserError(
                f"{place}: a mask must leave an element of every row, got row "
                f"{np.argwhere(hidden.all(axis=-1))[0].tolist()} masked whole; correct the mask"
            )
        data = np.where(hidden, MASKED, 0).astype(np.int32)
        key = (data.shape, data.tobytes())
        if key not in self._constants:
            self._constants[key] = QTensor(f"{name}.mask", data.shape, Grid(1.0, 0, "int32"), data)
        return self._constants[key]


def unguarded(place: str, operands: Sequence[Value | None]) -> Real | None:
    """What `Where(IsNaN(y), constant, y)` is: y. None where the condition is no such test.

    Raises:
      UserError: a choice by IsNaN between anything else.
    """
    if len(operands) != 3 or not isinstance(operands[0], NanTest):
        return None
    real, constant = operands[0].of, operands[1]
    if (
        operands[2] is not real
        or not isinstance(constant, base.Constant)
        or not _broadcasts(constant.value.shape, real.shape)
    ):
        raise UserError(
            f"{place}: must put a constant where IsNaN holds, and leave what it reads elsewhere, "
            "got another choice; rewrite the guard as Where(IsNaN(y), constant, y)"
        )
    return real


def _logits(value: Value | None) -> QTensor | None:
    """The stored tensor that a mask may be added to."""
    if not isinstance(value, Real) or value.clamped:
        return None
    return value.masked.tensor if value.masked is not None else value.tensor


def _shape(value: base.Host | base.Constant) -> tuple[int, ...]:
    return value.shape if isinstance(value, base.Host) else value.value.shape


def _is_float(value: base.Host | base.Constant) -> bool:
    if isinstance(value, base.Host):
        return value.dtype == "float32"
    return value.value.dtype.kind == "f"


def _broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, target) == target
    except ValueError:
        return False
