"""Identity: dropped at import; its result is its first operand."""

from __future__ import annotations

from collections.abc import Sequence

from jacquard.compiler.codelets.base import Array, Case, Codelet
from jacquard.compiler.graph.ir import Op


def reference(op: Op, inputs: Sequence[Array]) -> Sequence[Array]:
    del op
    return [inputs[0]]


def cases() -> Sequence[Case]:
    return [Case("dropped", {"x": (1, 5, 3, 4)})]


CODELET = Codelet("Identity", None, None, reference, cases)
