"""Activations that lie in IBUF already: compiler/tile/kept.py."""

from __future__ import annotations

import dataclasses

from jacquard.compiler.tile.kept import Kept
from jacquard.compiler.tile.memory import Piece
from jacquard.compiler.tile.operand import BlockedOperand, Rect


@dataclasses.dataclass(frozen=True)
class KeptOperand(BlockedOperand):
    """A blocked tensor that MATRIX reads where VECTOR has put it: no rows are fetched."""

    kept: Kept

    def rows(self, height: int, width: int) -> int:
        return 0

    def run_bytes(self, height: int, width: int) -> tuple[int, int]:
        return 0, 0

    def first_row(self, rect: Rect) -> int:
        """The IBUF row of channel tile 0 under a rectangle's first window."""
        (sy, sx), (top, left, _, _) = self.window.strides, self.window.pads
        return self.kept.row(0, rect.y * sy - top, rect.x * sx - left)

    def strides(self, height: int, width: int) -> tuple[int, int, int, int, int]:
        (sy, sx), (dy, dx) = self.window.strides, self.window.dilations
        pitch = self.kept.pitch
        return sx, sy * pitch, dx, dy * pitch, self.kept.plane

    def anywhere(self) -> KeptOperand:
        return dataclasses.replace(
            self, place=dataclasses.replace(self.place, offset=0), fill=0,
            kept=dataclasses.replace(self.kept, name="", piece=Piece(0, 0)),
        )
