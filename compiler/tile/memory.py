"""Space in the on-chip memories while instructions are emitted one after another.

What is handed out stays untouched until it is freed, in the order of emission; that the engines run
apart is the token pass's business. So freeing is early and reuse is late: next-fit goes round the
memory, and the two ends of a memory take turns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable


class NoRoom(Exception):
    """The memory has no free piece of the size asked for."""

    def __init__(self, memory: str, wanted: int, size: int) -> None:
        super().__init__(f"{memory}: {wanted} wanted, {size} in all")
        self.memory, self.wanted, self.size = memory, wanted, size


@dataclasses.dataclass(frozen=True)
class Piece:
    """[base, base + size) of a memory, in its unit (rows or bytes)."""

    base: int
    size: int

    @property
    def end(self) -> int:
        return self.base + self.size


class NextFit:
    """Goes round the memory: the piece freed longest ago is used first."""

    def __init__(self, name: str, size: int, unit: int = 1) -> None:
        """Pieces start and end on multiples of `unit`."""
        self.name, self.size, self.unit = name, size, unit
        self._live: list[Piece] = []
        self._next = 0

    def take(self, size: int) -> Piece:
        """A free piece. NoRoom if there is none."""
        size = -(-size // self.unit) * self.unit
        for start in (self._next, 0):
            base = start
            for piece in sorted(self._live, key=lambda p: p.base):
                if piece.end <= base:
                    continue
                if base + size <= piece.base:
                    break
                base = piece.end
            if base + size <= self.size:
                found = Piece(base, size)
                self._live.append(found)
                self._next = base + size
                return found
        raise NoRoom(self.name, size, self.size)

    def free(self, piece: Piece) -> None:
        self._live.remove(piece)

    def restart(self) -> None:
        """Looks for the next piece from the start of the memory."""
        self._next = 0


class TwoEnds:
    """Takes turns between the lower and the upper end, so that successors do not overlap; between
    what stays there longer where both are taken, or where the piece freed last was, which may still
    be read for long."""

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size = name, size
        self._live: list[Piece] = []
        self._freed = Piece(0, 0)
        self._upper = True

    def take(self, size: int, again: bool = False, stays: bool = False) -> Piece:
        """A free piece; again: one of a layer's that follow each other; stays: longer than a layer.

        NoRoom: there is none.
        """
        self._upper = not self._upper
        bases = [self.size - size if upper else 0 for upper in (self._upper, not self._upper)]
        bases += sorted(p.end for p in self._live) + [p.base - size for p in self._live]
        free = [base for base in bases if self._free(base, size)]
        if not free:
            raise NoRoom(self.name, size, self.size)
        calm = [b for b in free if b >= self._freed.end or b + size <= self._freed.base]
        if stays:  # at an end, so that what is left is in one piece
            calm = [b for b in calm if b in bases[:2]]
        if again and 4 * size > self.size:  # in turns: next to large ones no room would be left
            calm = []
        found = Piece((calm or free)[0], size)
        if found.base in bases[:2]:
            self._upper = found.base > 0
        self._live.append(found)
        return found

    def _free(self, base: int, size: int) -> bool:
        return 0 <= base <= self.size - size and all(
            base >= p.end or base + size <= p.base for p in self._live
        )

    def free(self, piece: Piece) -> None:
        self._live.remove(piece)
        self._freed = piece


class Halves:
    """Takes turns between a memory's halves.

    A half that is held is nobody else's. One whose contents wait is: it is emptied in front.
    """

    def __init__(self, name: str, size: int) -> None:
        """size: of a half."""
        self.name, self.size = name, size
        self._base = 0
        self._held: set[int] = set()
        self._waiting: dict[int, Callable[[], None]] = {}

    def take(self) -> int:
        """The base of the other half than the last one if it is free. NoRoom: both are held."""
        for _ in range(2):
            self._base = self.size - self._base
            if self._base not in self._held:
                self.empty(self._base)
                return self._base
        raise NoRoom(self.name, self.size, 2 * self.size)

    def hold(self, base: int) -> None:
        self._held.add(base)

    def leave(self, base: int, empty: Callable[[], None]) -> None:
        """Holds it no more; `empty` is called when it is wanted, once."""
        self._held.remove(base)
        self._waiting[base] = empty

    def empty(self, base: int) -> None:
        """Empties a half that waits for it."""
        waiting = self._waiting.pop(base, None)
        if waiting is not None:
            waiting()
