"""Results that stay in IBUF for the products that read them.

VECTOR writes such a result as MATRIX wants it, beside the copy that STORE takes or instead of it,
so the next product starts as soon as the sums before it are requantized: nothing is loaded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from jacquard.compiler.graph.ir import Graph, QTensor
from jacquard.compiler.tile.memory import Piece, TwoEnds
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch


@dataclasses.dataclass(frozen=True)
class Keep:
    """What is decided of a result: passes/kept.py.

    margin: positions around the image, on every side. readers: how many products read it.
    stored: it goes to DRAM, too.
    """

    margin: int
    readers: int
    stored: bool


@dataclasses.dataclass(frozen=True)
class Kept:
    """A result in IBUF: [channel tile][row][column], `margin` positions of zero point around it.

    What is right of a row is also left of the next one. block: bytes of an IBUF row.
    """

    name: str
    tiles: int
    height: int
    width: int
    margin: int
    block: int
    piece: Piece = Piece(0, 0)

    @property
    def pitch(self) -> int:
        """IBUF rows from a row of the image to the next."""
        return self.width + self.margin

    @property
    def plane(self) -> int:
        """IBUF rows from a channel tile to the next."""
        return (self.height + 2 * self.margin) * self.pitch + self.margin

    @property
    def rows(self) -> int:
        """IBUF rows in all."""
        return self.tiles * self.plane

    def row(self, tile: int, y: int, x: int) -> int:
        """The IBUF row of a position, which may lie in the margin."""
        return (self.piece.base + tile * self.plane + (y + self.margin) * self.pitch
                + x + self.margin)

    def place(self, tile: int, y: int, x: int) -> int:
        """The IBUF byte of a position."""
        return self.row(tile, y, x) * self.block

    def margins(self, zero: int, dtype: isa.Dtype) -> Iterator[isa.Vector]:
        """Sets what is not the image's to the zero point.

        By VECTOR, which has to wait for the place anyway; LOAD's next weights would have to, too.
        """
        margin, plane = self.margin, self.plane * self.block
        common = {"op": int(isa.VectorOp.MOVE), "imm1": zero, "n3": 1,
                  "dst_buffer": int(isa.Buffer.IBUF), "dst_dtype": int(dtype),
                  "dst_stride0": self.block}
        if not margin:
            return
        for y, x in ((-margin, -margin), (self.height - 1, self.width)):  # above; below
            yield isa.Vector(**common, n0=margin * (self.pitch + 1), n1=self.tiles, n2=1,
                             dst_base=self.place(0, y, x), dst_stride1=plane)
        if self.height > 1:
            yield isa.Vector(**common, n0=margin, n1=self.height - 1, n2=self.tiles,
                             dst_base=self.place(0, 0, self.width),
                             dst_stride1=self.pitch * self.block, dst_stride2=plane)


def form(tensor: QTensor, margin: int, arch: Arch) -> Kept:
    """How a tensor would lie in IBUF; the piece is still to be taken."""
    view = tensor.view
    tiles = -(-view.channels // arch.rows)
    return Kept(tensor.name, tiles, view.height, view.width, margin, arch.rows)


class Residents:
    """The results that are in IBUF while instructions are emitted one after another."""

    def __init__(
        self, keeps: Mapping[str, Keep], graph: Graph, arch: Arch, ibuf: TwoEnds
    ) -> None:
        self._keeps, self._tensors, self._arch, self._ibuf = keeps, graph.tensors, arch, ibuf
        self._there: dict[str, tuple[Kept, int]] = {}  # and how many products are still to read it

    def wanted(self, name: str) -> bool:
        """Whether a result is to be in IBUF."""
        return name in self._keeps

    def stored(self, name: str) -> bool:
        """Whether a result goes to DRAM."""
        return name not in self._keeps or self._keeps[name].stored

    def margin(self, *names: str) -> int:
        """The widest margin of those that are to be in IBUF."""
        return max((self._keeps[name].margin for name in names if name in self._keeps), default=0)

    def take(self, name: str) -> Kept:
        """The place of a result that is to be in IBUF, before it is made. NoRoom if there is none.
        """
        found = form(self._tensors[name], self._keeps[name].margin, self._arch)
        found = dataclasses.replace(found, piece=self._ibuf.take(found.rows, stays=True))
        self._there[name] = found, self._keeps[name].readers
        return found

    def find(self, name: str) -> Kept | None:
        """Where a result is; None where it is not in IBUF."""
        return self._there[name][0] if name in self._there else None

    def release(self, name: str) -> None:
        """One product more that reads it is emitted."""
        found, readers = self._there.pop(name)
        if readers > 1:
            self._there[name] = found, readers - 1
        else:
            self._ibuf.free(found.piece)

    def room(self, name: str = "") -> Arch:
        """The machine with what these leave of IBUF, and with them a result that is to come."""
        rows = sum(kept.rows for kept, _ in self._there.values())
        if name:
            rows += form(self._tensors[name], self._keeps[name].margin, self._arch).rows
        if not rows:
            return self._arch
        left = self._arch.ibuf_bytes - rows * self._arch.ibuf_row_bytes
        return dataclasses.replace(self._arch, ibuf_bytes=left)
