"""The real functions behind the unary operators, in float64."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import Float64Array
from jacquard.sim.reference.node import Node
from jacquard.sim.reference.nonlinear.table import RealFunction


@dataclass(frozen=True)
class Function:
    """A real function.

    Attributes:
      of: float64 -> float64; NaN and infinities where it has no value.
      reach: beyond [-reach, reach] it is constant to a quarter of a 16-bit step; inf otherwise.
    """

    of: RealFunction
    reach: float = np.inf


def _elementwise(f: Callable[[float], float]) -> RealFunction:
    return lambda x: np.asarray(np.frompyfunc(f, 1, 1)(x), np.float64)


erf = _elementwise(math.erf)


def sigmoid(x: Float64Array) -> Float64Array:
    y: Float64Array = 1.0 / (1.0 + np.exp(-x))
    return y


def _gelu_erf(x: Float64Array) -> Float64Array:
    y: Float64Array = 0.5 * x * (1.0 + erf(x / math.sqrt(2.0)))
    return y


def _gelu_tanh(x: Float64Array) -> Float64Array:
    inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)
    y: Float64Array = 0.5 * x * (1.0 + np.tanh(inner))
    return y


def _gelu(node: Node) -> Function:
    form = node.get("approximate", "none")
    if form not in ("none", "tanh"):
        raise UserError(f"{node.place}: approximate must be none or tanh, got {form}; correct it")
    return Function(_gelu_tanh if form == "tanh" else _gelu_erf)


def _hard_sigmoid(node: Node) -> Function:
    alpha = float(np.float32(node.get("alpha", 0.2)))
    beta = float(np.float32(node.get("beta", 0.5)))
    reach = max(abs(beta), abs(1.0 - beta)) / abs(alpha) if alpha else np.inf
    return Function(lambda x: np.clip(alpha * x + beta, 0.0, 1.0), reach)


def _swish(node: Node) -> Function:
    alpha = float(np.float32(node.get("alpha", 1.0)))
    return Function(lambda x: x * sigmoid(alpha * x))


FUNCTIONS: dict[str, Callable[[Node], Function]] = {
    "Erf": lambda node: Function(erf, 4.0),
    "Exp": lambda node: Function(np.exp),
    "FastGelu": lambda node: Function(_gelu_tanh),
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda node: Function(lambda x: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0)),
    "Log": lambda node: Function(np.log),
    "Reciprocal": lambda node: Function(lambda x: 1.0 / x),
    "Sigmoid": lambda node: Function(sigmoid, 12.0),
    "Silu": lambda node: Function(lambda x: x * sigmoid(x)),
    "Sqrt": lambda node: Function(np.sqrt),
    "Swish": _swish,
    "Tanh": lambda node: Function(np.tanh, 6.0),
}


def power(exponent: float) -> Function:
    """x ** exponent; NaN where IEEE pow gives it."""
    return Function(lambda x: np.power(x, exponent))
