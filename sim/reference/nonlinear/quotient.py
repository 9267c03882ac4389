"""Div of two activations: docs/nonlinear.md, "log2, 1/sqrt, division of two activations"."""

import numpy as np

from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import (
    MAX_SHIFT,
    Float64Array,
    Int64Array,
    quantize_multipliers,
    rounding_shift,
)
from jacquard.sim.reference.node import Node
from jacquard.sim.reference.nonlinear.rows import exponent, held, product
from jacquard.sim.reference.nonlinear.table import interpolated
from jacquard.sim.reference.pending import Pending, Target
from jacquard.sim.reference.value import Term

MOST = 14  # the exponent of 65535
HIGHEST = 32767


def _inverse(t: Float64Array) -> Float64Array:
    """Of a signed argument; 0 is what a divisor of 0 gives."""
    return np.where(t == 0, HIGHEST, HIGHEST * 8192.0 / np.where(t == 0, 1.0, t))


INVERSE = interpolated(_inverse, -HIGHEST, HIGHEST, 0)


def quotient(node: Node, a: Term, b: Term) -> Pending:
    """a / b, broadcast; b = 0 stands for half a step of its grid."""
    for term in (a, b):
        if term.bits not in (8, 16) or term.scale.ndim:
            raise UserError(
                f"{node.place}: must divide 8- or 16-bit tensors of one scale each, got "
                f"{term.bits or 'no'} bits and scales of shape {term.scale.shape}; quantize its "
                "operands"
            )

    def integers(target: Target) -> Int64Array:
        real = float(a.scale) / (float(b.scale) * target.scale)
        (c,), shift = quantize_multipliers([real])
        if shift + 13 > MAX_SHIFT:
            raise UserError(
                f"{target.place}: the quotient's factor must be at least 2**-18, got {real!r}; "
                "recalibrate the model, every result would be 0"
            )
        up = MOST - exponent(np.abs(b.q))
        u = b.q << up
        t = INVERSE.look_up(rounding_shift(u, 1))
        inverse = held(rounding_shift(t * (2**30 - t * u), 14), "inverse")
        factor = held(rounding_shift(product(inverse, int(c), "factor"), 31), "factor")
        numerator = held(a.q << up, "numerator")
        y = rounding_shift(product(numerator, factor, "quotient"), shift + 13) + target.zero
        return np.minimum(np.maximum(y, target.lo), target.hi)

    def exact() -> Float64Array:
        with np.errstate(all="ignore"):
            return np.asarray(a.q * a.scale / (b.q * b.scale), np.float64)

    return Pending(np.broadcast_shapes(a.q.shape, b.q.shape), integers, exact)
