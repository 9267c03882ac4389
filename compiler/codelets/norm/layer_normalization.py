"""LayerNormalization over the last axis: the mean is taken out, the deviation brought to 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jacquard.compiler.codelets.base import SIGNED, Array, Case, Codelet, Node, Parsed
from jacquard.compiler.codelets.norm._normalization import cycles_per_row, lower_normalization
from jacquard.compiler.codelets.norm._steps import parse_normalization
from jacquard.compiler.graph.ir import Op
from jacquard.compiler.tile.lowering import Lowering


def parse(node: Node) -> Parsed:
    return parse_normalization(node, centred=True)


def lower(op: Op, low: Lowering) -> None:
    lower_normalization(op, low, centred=True)


def row_cycles(op: Op, tiles: int) -> float:
    return cycles_per_row(op, tiles, centred=True)


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    """x [..., N]."""
    d = inputs[0] - inputs[0].mean(axis=-1, keepdims=True)
    y = d / np.sqrt((d * d).mean(axis=-1, keepdims=True) + op.attrs["epsilon"]) * op.attrs["gamma"]
    return [y if op.attrs["beta"] is None else y + op.attrs["beta"]]


def cases() -> Sequence[Case]:
    random = np.random.default_rng(8)

    def gains(n: int, *names: str) -> dict[str, np.ndarray]:
        return {name: random.normal(size=n).astype(np.float32) for name in names}

    wide: dict[str, Any] = {"input_dtype": "int16", "output_dtype": "int16", "tolerance": 0.8}
    return [
        Case("rows", {"x": (1, 9, 21)}, constants=gains(21, "gamma", "beta")),
        Case("unsigned", {"x": (5, 64)}, {"epsilon": 0.1}, gains(64, "gamma", "beta"),
             unsigned=True),
        Case("wide", {"x": (1, 9, 37)}, constants=gains(37, "gamma", "beta"), **wide),
        Case("narrowing", {"x": (3, 256)}, constants=gains(256, "gamma", "beta"),
             input_dtype="int16"),
        Case("gain", {"x": (2, 2, 5, 37)}, constants=gains(37, "gamma"), **wide),
        Case("blocks", {"x": (40, 130)}, constants=gains(130, "gamma", "beta"), **wide),
        Case("long", {"x": (2, 768)}, constants=gains(768, "gamma", "beta"), **wide),
        Case("longest", {"x": (2, 32768)}, constants=gains(32768, "gamma", "beta"), **wide),
        Case("long_bytes", {"x": (3, 3001)}, constants=gains(3001, "gamma"), unsigned=True),
        Case("clamped", {"x": (3, 21)}, constants=gains(21, "gamma", "beta"), relu=True),
        Case("one", {"x": (3, 1)}, constants=gains(1, "gamma", "beta")),
    ]


CODELET = Codelet("LayerNormalization", parse, lower, reference, cases, view="last", streams=row_cycles,
                  narrows=True, writes=SIGNED)
