"""Operations on integers: arithmetic, logic, comparison, conversion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.fixed_point import Float64Array, quantize_multipliers
from jacquard.sim.operations.operation import (
    ALL32,
    EACH32,
    Operation,
    Real,
    clipped,
    limits,
    pairs,
    sample,
    type_name,
    vectors_of,
)
from jacquard.sim.operations.sequence import VECTORS, Int64, Sequence, Tensor

_D, _OP = isa.Dtype, isa.VectorOp
_S8, _S16, _S32 = _D.S8, _D.S16, _D.S32
_ALL16 = "all of int16: corners with each other, random"


def whole(function: Callable[..., Any]) -> Real:
    """Bits have no float64 of their own: exact on integers, and the result is a float64."""
    return lambda *inputs: np.asarray(function(*inputs), np.float64)


def _wrapped(x: Int64) -> Int64:
    return ((x + 2**31) & 0xFFFFFFFF) - 2**31


def _binary(
    name: str, group: str, op: isa.VectorOp, exact: Real, kinds: tuple[isa.Dtype, ...], domain: str,
    **fields: Any,
) -> Operation:  # fmt: skip
    """Of two tensors; kinds: the types of both and of the result."""

    def emit(s: Sequence) -> Tensor:
        return s.vector(op, kinds[2], s.given(kinds[0]), s.given(kinds[1]), **fields)

    types = f"{type_name(kinds[0])}, {type_name(kinds[1])} -> {type_name(kinds[2])}"
    return Operation(name, group, types, domain, emit, lambda: pairs(kinds[0], kinds[1], op), exact)


def _unary(
    name: str, group: str, op: isa.VectorOp, exact: Real, source: isa.Dtype, result: isa.Dtype,
    domain: str, **fields: Any,
) -> Operation:  # fmt: skip
    def emit(s: Sequence) -> Tensor:
        return s.vector(op, result, s.given(source, vectors_of(source)), **fields)

    types = f"{type_name(source)} -> {type_name(result)}"
    return Operation(name, group, types, domain, emit, lambda: (sample(source, op),), exact)


def _arithmetic() -> list[Operation]:
    three, narrow = (_S32, _S32, _S32), (_S16, _S16, _S16)
    (half,), half_shift = quantize_multipliers([3.1e-5])
    (gain_a, gain_b), shift = quantize_multipliers([0.71, 0.043])
    (up, down), leak = quantize_multipliers([0.37, 0.0037])

    def fused(s: Sequence) -> Tensor:
        a, b, c = s.given(_S16), s.given(_S16), s.given(_S32)
        return s.vector(_OP.ADD, _S32, s.vector(_OP.MUL, _S32, a, b), c)

    def dot(s: Sequence) -> Tensor:
        a, b = s.given(_S16), s.given(_S16)
        step = 2 * s.arch.lanes
        return s.vector(_OP.MUL, s.tensor(_S32, VECTORS // 16), a, b, n0=16, n1=VECTORS // 16,
                        reduce_loops=1, src1_stride1=16 * step, src2_stride1=16 * step,
                        dst_stride0=0, dst_stride1=4 * s.arch.lanes)

    def per_block(x: Float64Array) -> Float64Array:
        return np.asarray(x.reshape(x.shape[0], VECTORS // 16, 16, -1).sum(axis=2))

    arithmetic = "arithmetic"
    a16 = "int16, int16"
    return [
        _binary("add", arithmetic, _OP.ADD, clipped(_S32, np.add), three, ALL32),
        _binary("add of two scales", arithmetic, _OP.SADD,
                clipped(_S8, lambda a, b: 0.71 * a + 0.043 * (b - 5) + 3), (_S8, _S8, _S8),
                "all pairs", mult1=int(gain_a), mult2=int(gain_b), shift=shift, imm2=-5,
                zero_point=3),
        _binary("subtract", arithmetic, _OP.SUB, clipped(_S32, np.subtract), three, ALL32),
        _binary("multiply", arithmetic, _OP.MUL, clipped(_S32, np.multiply), three, ALL32),
        _binary("multiply, scaled", arithmetic, _OP.MUL,
                clipped(_S16, lambda a, b: a * b * 3.1e-5), narrow, _ALL16, mult1=int(half),
                shift=half_shift),
        Operation("multiply-accumulate", arithmetic, f"{a16}, int32 -> int32", _ALL16, fused,
                  lambda: (*pairs(_S16, _S16, 7), sample(_S32, 8)),
                  clipped(_S32, lambda a, b, c: np.clip(a * b, *limits(_S32)) + c)),
        Operation("multiply-accumulate along a loop", arithmetic, f"{a16} -> int32",
                  "16 products a sum; " + _ALL16, dot, lambda: pairs(_S16, _S16, 9),
                  clipped(_S32, lambda a, b: per_block(a * b))),
        _binary("minimum", arithmetic, _OP.MIN, clipped(_S32, np.minimum), three, ALL32),
        _binary("maximum", arithmetic, _OP.MAX, clipped(_S32, np.maximum), three, ALL32),
        _unary("relu", arithmetic, _OP.RELU, clipped(_S32, lambda a: np.maximum(a, 0)), _S32, _S32,
               EACH32),
        _unary("leaky relu, scaled", arithmetic, _OP.LEAKY,
               clipped(_S8, lambda a: np.where(a < 0, 0.0037, 0.37) * a), _S16, _S8, "all of int16",
               mult1=int(up), mult2=int(down), shift=leak),
    ]


def _logic() -> list[Operation]:
    three, shifts = (_S32, _S32, _S32), "by the low 5 bits; " + ALL32

    def select(s: Sequence) -> Tensor:
        kept, a, condition = s.given(_S32), s.given(_S32), s.given(_S8)
        return s.vector(_OP.SELECT, kept, a, condition)

    logic = "logic and movement"
    return [
        _binary("shift left", logic, _OP.SHL, whole(lambda a, b: _wrapped(a << (b & 31))), three,
                shifts),
        _binary("shift right, arithmetic", logic, _OP.SHR,
                lambda a, b: np.floor(a / 2.0 ** (b & 31)), three, shifts),
        _binary("shift right, logical", logic, _OP.SHRL,
                whole(lambda a, b: _wrapped((a % 2**32) >> (b & 31))), three, shifts),
        _binary("and", logic, _OP.AND, whole(np.bitwise_and), three, ALL32),
        _binary("or", logic, _OP.OR, whole(np.bitwise_or), three, ALL32),
        _binary("exclusive or", logic, _OP.XOR, whole(np.bitwise_xor), three, ALL32),
        _unary("not", logic, _OP.NOT, clipped(_S32, lambda a: -1.0 - a), _S32, _S32, EACH32),
        _unary("move", logic, _OP.MOVE, clipped(_S32, lambda a: a), _S32, _S32, EACH32),
        Operation("conditional move", logic, "int32, int32, int8 -> int32", ALL32, select,
                  lambda: (*pairs(_S32, _S32, 1), sample(_S8, 2, VECTORS)),
                  clipped(_S32, _chosen)),
        _unary("exponent, even", logic, _OP.EXPONENT,
               whole(lambda a: np.where(a > 0, np.log2(np.maximum(a, 1)) // 2 * 2, 0)), _S32, _S32,
               EACH32),
        _unary("normalize", logic, _OP.NORM,
               whole(lambda a: np.where(a > 0, _normal(np.maximum(a, 1)), 0)), _S32, _S32, EACH32),
    ]


def _chosen(kept: Float64Array, a: Float64Array, condition: Float64Array) -> Float64Array:
    return np.asarray(np.where(condition != 0, a, kept), np.float64)


def _normal(a: Int64) -> Float64Array:
    """a * 4**k in [2**28, 2**30), rounded down."""
    return np.floor(a * 4.0 ** (14 - np.log2(a) // 2))


def _comparison() -> list[Operation]:
    compare = {
        "equal": (_OP.EQ, np.equal), "not equal": (_OP.NE, np.not_equal), "less": (_OP.LT, np.less),
        "less or equal": (_OP.LE, np.less_equal), "greater": (_OP.GT, np.greater),
        "greater or equal": (_OP.GE, np.greater_equal),
    }  # fmt: skip
    return [
        _binary(name, "comparison", op, whole(function), (_S32, _S32, _S8), ALL32)
        for name, (op, function) in compare.items()
    ]


# Types of four bits are an 8-bit element within bounds: storage has no nibbles.
_CASTS: dict[str, tuple[isa.Dtype, int, int]] = {
    "int4": (_S8, -8, 7), "uint4": (_D.U8, 0, 15),
    "int8": (_S8, -128, 127), "uint8": (_D.U8, 0, 255),
    "int16": (_S16, -(2**15), 2**15 - 1), "uint16": (_D.U16, 0, 2**16 - 1),
    "int32": (_S32, -(2**31), 2**31 - 1),
}  # fmt: skip


def _cast(name: str) -> Operation:
    """From each of the seven types, all in one tile, saturating."""
    dtype, lo, hi = _CASTS[name]
    vectors = 8

    def emit(s: Sequence) -> Tensor:
        result = s.tensor(dtype, len(_CASTS) * vectors)
        fields: dict[str, Any] = {"clamp": 1, "lo": lo, "hi": hi} if name.endswith("4") else {}
        for number, (source, _, _) in enumerate(_CASTS.values()):
            base = result.base + number * vectors * s.arch.lanes * result.element_bytes
            s.vector(_OP.MOVE, Tensor(dtype, base, vectors), s.given(source, vectors), **fields)
        return result

    def samples() -> tuple[Int64, ...]:
        return tuple(
            np.clip(sample(_S32, number, vectors), low, high)
            for number, (_, low, high) in enumerate(_CASTS.values())
        )

    return Operation(
        f"cast to {name}", "conversion", f"any -> {name}", "each of the seven types", emit, samples,
        lambda *x: np.clip(np.concatenate(x, axis=1).astype(np.float64), lo, hi),
    )  # fmt: skip


def _requantize() -> Operation:
    """An accumulator with the bias and the multiplier of its channel."""
    scales = np.linspace(2e-8, 6e-8, 16)
    biases = np.arange(16) * 10**8 - 10**9

    def emit(s: Sequence) -> Tensor:
        mult, shift = quantize_multipliers(scales)
        s.parameters = (biases.tolist(), mult.tolist())
        return s.vector(_OP.MOVE, _S8, s.given(_S32), scale=int(isa.ScaleMode.PER_LANE),
                        shift=shift, zero_point=-7)

    return Operation("requantize", "conversion", "int32 -> int8", EACH32, emit,
                     lambda: (sample(_S32, 5),),
                     clipped(_S8, lambda a: (a + biases) * scales - 7))  # fmt: skip


def _conversion() -> list[Operation]:
    return [*(_cast(name) for name in _CASTS), _requantize()]


def operations() -> list[Operation]:
    """In the order of the page."""
    return [*_arithmetic(), *_logic(), *_comparison(), *_conversion()]
