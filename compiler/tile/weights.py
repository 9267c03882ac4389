"""The segment of weights: constants that every Program of a model holds alike.

In: packed matrices and tables in whatever order layers come. Out: the segment, whose bytes follow
from these alone, so that they do not depend on positions, tiling, names or the order of layers,
and instructions that read it. A prefill and its decode steps thus have one image of their
weights.

Matrices come first, larger ones before smaller ones, then in the order of their bytes; behind
them tables of embeddings by what indexes them, in the same order. So a graph that has a table
less (positions that are known are added up while importing) has the beginning of the others'
image.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Iterable

from jacquard.compiler.tile.ir import WEIGHT_ARG, Step, WeightPart
from jacquard.proto import npu_isa as isa

ALIGN = 64  # of parts, in bytes


@dataclasses.dataclass(frozen=True)
class _Piece:
    layer: str
    data: bytes
    index: str


class Weights:
    """Collects parts; `add` gives an offset that `moved` replaces by the final one."""

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []
        self._starts: list[int] = []
        self._top = 0

    def add(self, layer: str, data: bytes, index: str = "") -> int:
        """A matrix of `layer`, or a table whose rows the model's inputs `index` name."""
        start = self._top
        self._pieces.append(_Piece(layer, data, index))
        self._starts.append(start)
        self._top += len(data) + -len(data) % ALIGN
        return start

    def segment(self) -> tuple[bytes, tuple[WeightPart, ...], dict[int, int]]:
        """(bytes, parts in their order, final offset by the one that `add` gave)."""
        def key(at: int) -> tuple[str, int, bytes]:
            piece = self._pieces[at]
            return piece.index, -len(piece.data), piece.data

        chunks: list[bytes] = []
        parts: list[WeightPart] = []
        offsets: dict[int, int] = {}
        top, last = 0, b""
        for at in sorted(range(len(self._pieces)), key=key):
            piece = self._pieces[at]
            if not parts or piece.data != last:
                padding = -len(piece.data) % ALIGN
                parts.append(WeightPart(piece.layer, top, len(piece.data)))
                chunks += [piece.data, b"\0" * padding]
                top, last = top + len(piece.data) + padding, piece.data
            offsets[self._starts[at]] = parts[-1].offset
        return b"".join(chunks), tuple(parts), offsets

    def moved(self, steps: Iterable[Step], offsets: dict[int, int]) -> tuple[Step, ...]:
        """Steps that read the segment where it is. Each reads one part.

        Their instructions are changed in place, once and before anybody else has them: a program
        has a hundred thousand.
        """
        found = tuple(steps)
        loads = {
            id(step.instruction): step.instruction for step in found
            if isinstance(step.instruction, isa.Load) and step.instruction.arg == WEIGHT_ARG
        }
        for load in loads.values():
            start = self._starts[bisect.bisect_right(self._starts, load.dram) - 1]
            object.__setattr__(load, "dram", load.dram - start + offsets[start])
        return found
