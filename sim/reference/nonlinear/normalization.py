"""LayerNormalization and RMSNormalization in integers: docs/nonlinear.md."""

from dataclasses import dataclass

import numpy as np

from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import (
    OFFSET_STEP,
    Float64Array,
    Int64Array,
    quantize_multipliers,
    quantize_offset,
    rounding_shift,
)
from jacquard.sim.reference.node import Node
from jacquard.sim.reference.nonlinear.rows import exponent, held, norm, product
from jacquard.sim.reference.nonlinear.table import T_MAX, T_MIN, interpolated
from jacquard.sim.reference.pending import Pending, Target
from jacquard.sim.reference.value import Operand, Term, real_constant, single

LONGEST_ROW = 32768
LARGEST_EPSILON = 2**27

INVERSE_ROOT = interpolated(
    lambda t: 32768.0 / np.sqrt(np.maximum(t + 32768.0, 16384.0) / 16384.0),
    0,
    T_MAX,
    fraction_bits=0,
)


def layer_normalization(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """X [..., N], scale [N], B [N]: the mean is taken out."""
    return _normalization(node, inputs, centred=True)


def rms_normalization(node: Node, inputs: list[Operand | None]) -> list[Operand]:
    """X [..., N], scale [N]: RMSNormalization and SimplifiedLayerNormalization."""
    return _normalization(node, inputs, centred=False)


def _normalization(node: Node, inputs: list[Operand | None], centred: bool) -> list[Operand]:
    assert inputs[0] is not None
    term = single(inputs[0], node.place)
    rank = term.q.ndim
    axis = int(node.get("axis", -1)) % rank
    n = term.q.shape[-1]
    given = [real_constant(x).astype(np.float64) for x in inputs[1:] if x is not None]
    gamma = given[0] if given else np.ones(n)
    beta = given[1] if len(given) > 1 else None
    epsilon = float(np.float32(node.get("epsilon", 1e-5)))
    if axis != rank - 1 or any(x.size not in (1, n) for x in given):
        raise UserError(
            f"{node.place}: must run over the last axis with one gain per element, got axis {axis} "
            f"of {rank} and gains of shape {gamma.shape}; reshape the operand"
        )
    if any(node.outputs[1:]):
        raise UserError(
            f"{node.place}: must have one output, got {len(node.outputs)}; drop the mean and "
            "deviation"
        )
    if term.bits not in (8, 16) or term.scale.ndim:
        raise UserError(
            f"{node.place}: must read an 8- or 16-bit tensor of one scale, got "
            f"{term.bits or 'no'} bits and scales of shape {term.scale.shape}; quantize its "
            "operand to 16 bits"
        )
    if term.bits == 16 and term.zero:
        raise UserError(
            f"{node.place}: a 16-bit operand must have its zero point in the middle of its type, "
            f"got {term.zero} beside it; quantize the operand symmetrically"
        )
    if not 1 <= n <= LONGEST_ROW:
        raise UserError(
            f"{node.place}: rows must have 1 to {LONGEST_ROW} elements, got {n}; split the model"
        )
    gamma = np.broadcast_to(gamma.reshape(-1), (n,))
    beta = None if beta is None else np.broadcast_to(beta.reshape(-1), (n,))
    scale = float(term.scale)
    if not np.isfinite(gamma).all() or (beta is not None and not np.isfinite(beta).all()):
        raise UserError(f"{node.place}: gains must be finite, got inf or NaN; mend the weights")
    if _epsilon_steps(n, row_steps(n, term.bits, centred), scale, epsilon) > LARGEST_EPSILON:
        raise UserError(
            f"{node.place}: epsilon must be below the variance of a full row, got {epsilon:g} at "
            f"scale {scale:g}; recalibrate the operand"
        )

    def exact() -> Float64Array:
        x = term.q * scale
        d = x - x.mean(axis=-1, keepdims=True) if centred else x
        y: Float64Array = d / np.sqrt((d * d).mean(axis=-1, keepdims=True) + epsilon) * gamma
        return y if beta is None else y + beta

    cache: list[tuple[Int64Array, float]] = []

    def integers(target: Target) -> Int64Array:
        if not cache:
            cache.append(normalized(term, epsilon, centred))
        rows, unit = cache[0]
        return affine(rows, unit, gamma, beta, target)

    return [Pending(term.q.shape, integers, exact)]


@dataclass(frozen=True)
class Steps:
    """How rows of one length are scaled.

    Attributes:
      gain: d = (x - mean) * gain, a whole number over a power of two.
      times, shift: gain = N * times / 2**shift where the mean is taken out.
      variance_shift: k; the sum of squares of any row over 2**k stays below 2**31 - 2**27.
    """

    gain: float
    times: int
    shift: int
    variance_shift: int


def row_steps(n: int, bits: int, centred: bool) -> Steps:
    """The scaling of rows of n elements of 8 or 16 bits."""
    if not centred:  # an unsigned byte needs a bit more than a centred one
        b = 8 if bits == 16 else 15
        return Steps(2.0**b, 1 << b, 0, 15 + (n + n // 8).bit_length())
    b = 24 - bits
    length = n.bit_length() - 1
    cube = n**3
    k = 15 - 2 * length + (cube + cube // 8).bit_length()
    up, down = max(b - length, 0), max(length - b, 0)
    return Steps(n * 2.0 ** (b - length), 1 << up, down, k)


def _epsilon_steps(n: int, steps: Steps, scale: float, epsilon: float) -> int:
    real = epsilon * n * (steps.gain / scale) ** 2 / 2.0**steps.variance_shift
    return max(int(np.rint(real)), 1)


def normalized(term: Term, epsilon: float, centred: bool) -> tuple[Int64Array, float]:
    """Rows of mean 0 and deviation 1, without gains.

    Args:
      term: q int64 [..., N] with 8 or 16 bits.

    Returns:
      int64 [..., N], below 2**27, and the real value of one step.
    """
    x = term.q
    n, scale = x.shape[-1], float(term.scale)
    steps = row_steps(n, term.bits, centred)
    k = steps.variance_shift
    if centred:
        total = held(x.sum(axis=-1, keepdims=True), "norm sum")
        d = rounding_shift((x * n - total) * steps.times, steps.shift)
    else:
        d = x * steps.times
    held(d, "norm centred")
    squares = (d * d).sum(axis=-1, keepdims=True)
    assert squares.min(initial=0) >= 0, "norm squares"  # a wrapped sum would be negative
    v = held(rounding_shift(squares, k), "norm variance")
    v = held(v + _epsilon_steps(n, steps, scale, epsilon), "norm variance")
    half = exponent(v) >> 1
    mu = norm(v)
    t0 = np.clip(INVERSE_ROOT.look_up(rounding_shift(mu, 14) - 32768), T_MIN, T_MAX)
    square = held(t0 * t0, "norm root squared")
    z = held(rounding_shift(product(mu, square, "norm residue"), 29), "norm residue")
    step = held(z - 3 * 2**29, "norm step")
    t1 = np.minimum(rounding_shift(-product(step, t0, "norm root"), 14), 2**31 - 1)
    weight = np.int64(1) << (15 - half)
    factor = held(rounding_shift(product(t1, weight, "norm factor"), 15), "norm factor")
    r = k // 2 + 5
    rows = held(rounding_shift(product(d, factor, "norm result"), r), "norm result")
    return rows, 2.0 ** (r - 31) * float(np.sqrt(n / 2.0**k))


def affine(
    rows: Int64Array,
    unit: float,
    gamma: Float64Array,
    beta: Float64Array | None,
    target: Target,
) -> Int64Array:
    """`rows * unit * gamma + beta` on the target's grid, one rounding."""
    gains = np.abs(gamma) * unit / target.scale
    factors = gains if beta is None else np.append(gains, OFFSET_STEP)
    try:
        mult, shift = quantize_multipliers(factors)
    except UserError as error:
        raise UserError(f"{target.place}: {line}" for line in error.lines) from error
    g = np.sign(gamma).astype(np.int64) * mult[: gamma.size]
    total = product(rows, g, "norm gain")
    if beta is not None:
        offset = quantize_offset(beta, target.scale)
        total = total + product(offset, int(mult[-1]), "norm offset")
    y = rounding_shift(total, shift) + target.zero
    return np.minimum(np.maximum(y, target.lo), target.hi)
