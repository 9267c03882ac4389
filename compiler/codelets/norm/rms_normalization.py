"""RMSNormalization over the last axis: the root mean square is brought to 1."""

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
    return parse_normalization(node, centred=False)


def lower(op: Op, low: Lowering) -> None:
    lower_normalization(op, low, centred=False)


def row_cycles(op: Op, tiles: int) -> float:
    return cycles_per_row(op, tiles, centred=False)


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    """x [..., N]."""
    x = inputs[0]
    root = np.sqrt((x * x).mean(axis=-1, keepdims=True) + op.attrs["epsilon"])
    return [x / root * op.attrs["gamma"]]


def cases() -> Sequence[Case]:
    random = np.random.default_rng(9)

    def gains(n: int) -> dict[str, np.ndarray]:
        return {"gamma": random.normal(size=n).astype(np.float32)}

    wide: dict[str, Any] = {"input_dtype": "int16", "output_dtype": "int16", "tolerance": 0.8}
    return [
        Case("rows", {"x": (1, 9, 21)}, constants=gains(21)),
        Case("unsigned", {"x": (5, 64)}, {"epsilon": 0.1}, gains(64), unsigned=True),
        Case("wide", {"x": (1, 9, 37)}, constants=gains(37), **wide),
        Case("blocks", {"x": (40, 130)}, constants=gains(130), **wide),
        Case("long", {"x": (2, 1500)}, constants=gains(1500), **wide),
        Case("longest", {"x": (1, 32768)}, constants=gains(32768), **wide),
        Case("long_bytes", {"x": (3, 13001)}, constants=gains(13001), unsigned=True),
    ]


CODELET = Codelet("RMSNormalization", parse, lower, reference, cases, view="last", streams=row_cycles,
                  narrows=True, writes=SIGNED)
