"""Scaled dot-product attention of all heads, as passes/fuse_attention.py finds it.

Operands: projections [.., rows, heads * depth] and a mask [.., 1 or rows, keys]; result: contexts side by
side. Logits are rounded as the graph says, weights and their sums as docs/nonlinear.md does; none of
them leaves the chip.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.compiler.codelets._linear import scaled
from jacquard.compiler.codelets.attention._softmax import product_factors, weight_tables
from jacquard.compiler.codelets.base import Array, Case, Codelet, bounds
from jacquard.compiler.codelets.elementwise._scaling import factors_to_multipliers
from jacquard.compiler.graph.ir import Op, QTensor
from jacquard.compiler.tile.attention import Attention, Requantize, Source, emit_attention
from jacquard.compiler.tile.lowering import Lowering, dtype_of
from jacquard.proto.lib.fixed_point import requantization_scale
from jacquard.sim.timing.cycles import pass_cycles


def _requantize(op: Op, a: QTensor, steps: Array, y: QTensor) -> tuple[Requantize, ...]:
    """The accumulators of a product of two activations to its result, for each scale of the second."""
    steps = scaled(np.float64(a.grid.scale) * steps.reshape(-1), op.attrs.get("gains", ()))
    factors = requantization_scale([steps], np.float64(y.grid.scale))
    mults, shift = factors_to_multipliers(op, factors.tolist())
    lo, hi = bounds(op, y.grid)
    return tuple(
        Requantize(mult, shift, y.grid.zero_point, lo, hi, dtype_of(y)) for mult in mults
    )


def lower(op: Op, low: Lowering) -> None:
    attrs = op.attrs
    query, key, value = (low.tensor(name) for name in op.inputs[:3])
    y = low.tensor(op.outputs[0])
    logits = attrs["logits"]
    factor_mults, shift = product_factors(attrs["context"], attrs["value_steps"], y)
    lo, hi = bounds(attrs["context"], y.grid)
    context = Requantize(1, shift, y.grid.zero_point, lo, hi, dtype_of(y))
    heads, depth, block = attrs["heads"], attrs["depth"], low.arch.rows

    def source(index: int, tensor: QTensor) -> Source:
        return Source(tensor.name, low.place(tensor.name), attrs["first_columns"][index] // block,
                      tensor.grid.zero_point, tensor.grid.dtype == "uint8")

    problem = Attention(
        heads=heads, group=attrs["group"], depth_tiles=depth // block,
        query=source(0, query), key=source(1, key), value=source(2, value),
        mask=low.stored(op.inputs[3]) if len(op.inputs) > 3 else None,
        logits=_requantize(attrs["product"], query, attrs["key_steps"], logits),
        weights=weight_tables(attrs["softmax"], logits.grid.scale, factor_mults), context=context,
        out=low.stored(op.outputs[0]),
        keep=y.name if low.residents.wanted(y.name) else "",
    )
    key_tiles = -(-problem.keys // block)
    passes = 2 * heads * key_tiles * problem.depth_tiles
    low.begin_layer(op, macs=2 * heads * problem.rows * problem.keys * depth,
                    array_cycles=passes * pass_cycles(problem.rows, block))
    emit_attention(low, problem)


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    """Softmax(Q K^T + mask) V of each head, in real numbers; the mask's integers count as they are."""
    attrs = op.attrs
    heads, group, depth = attrs["heads"], attrs["group"], attrs["depth"]
    query, key, value = (x.reshape(-1, x.shape[-1]) for x in inputs[:3])
    contexts = []
    for head in range(heads):
        q, k, v = (
            x[:, first + h * depth : first + (h + 1) * depth]
            for x, first, h in zip((query, key, value), attrs["first_columns"],
                                   (head, head // group, head // group), strict=True)
        )
        x = q @ k.T + (inputs[3].reshape(-1, len(k)) if len(inputs) > 3 else 0.0)
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        contexts.append(e / e.sum(axis=-1, keepdims=True) @ v)
    return [np.concatenate(contexts, axis=-1)]


def cases() -> Sequence[Case]:
    return []  # no node: benchmarks/conformance/attention_test.py compiles whole graphs


# The pass makes these; parse is never called.
CODELET = Codelet("Attention", None, lower, reference, cases, view="last")
