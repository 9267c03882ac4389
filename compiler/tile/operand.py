"""How the inputs of a contraction reach the array: activations through IBUF, weights through WBUF.

An activation operand knows how a rectangle of output positions is loaded, and with which strides
MATRIX walks over it. A weight operand knows where the tiles of an output column tile lie.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np
import numpy.typing as npt

from jacquard.compiler.tile.ir import WEIGHT_ARG
from jacquard.compiler.tile.lowering import Packed, Stored
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.errors import UserError


@dataclasses.dataclass(frozen=True)
class Window:
    """A sliding window in two dimensions; pads are top, left, bottom, right."""

    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def pointwise(self) -> bool:
        """Every output position reads the input position of the same number, and only that."""
        return self.kernel == self.strides == (1, 1) and not any(self.pads)


@dataclasses.dataclass(frozen=True)
class Rect:
    """Output positions [y, y + height) x [x, x + width)."""

    y: int
    x: int
    height: int
    width: int

    @property
    def positions(self) -> int:
        return self.height * self.width


class ActivationOperand(Protocol):
    """What the tiler and the emitter ask of an activation operand."""

    def __hash__(self) -> int:
        """Equal operands are tiled once."""
        ...

    @property
    def tiles(self) -> int:
        """Channel tiles of the reduction."""
        ...

    @property
    def taps_y(self) -> int:
        """Kernel rows that are passes of their own."""
        ...

    @property
    def taps_x(self) -> int:
        """Kernel columns that are passes of their own."""
        ...

    @property
    def splittable(self) -> bool:
        """Whether a fetch may cover a part of the channel tiles."""
        ...

    def rows(self, height: int, width: int) -> int:
        """IBUF rows of one channel tile for a rectangle of that size."""
        ...

    def run_bytes(self, height: int, width: int) -> tuple[int, int]:
        """(runs, bytes of a run) that LOAD reads per channel tile, padding left out of account."""
        ...

    def load(self, rect: Rect, first: int, count: int, base: int) -> isa.Load:
        """Loads `count` channel tiles from tile `first` to IBUF row `base`."""
        ...

    def strides(self, height: int, width: int) -> tuple[int, int, int, int, int]:
        """MATRIX's s_x, s_y, s_kx, s_ky, s_c for a rectangle of that size."""
        ...

    def anywhere(self) -> ActivationOperand:
        """The same at offset 0, padded with zeros: what operands of equal layers have in common."""
        ...


@dataclasses.dataclass(frozen=True)
class BlockedOperand:
    """A blocked tensor under a window: padding and striding happen while loading and reading."""

    place: Stored
    window: Window
    fill: int  # byte that pads

    @property
    def splittable(self) -> bool:
        return True

    @property
    def tiles(self) -> int:
        return self.place.tiles

    @property
    def taps_y(self) -> int:
        return self.window.kernel[0]

    @property
    def taps_x(self) -> int:
        return self.window.kernel[1]

    @property
    def _row_step(self) -> int:
        """Input rows from one loaded row to the next: a 1-row kernel skips what it never reads."""
        return self.window.strides[0] if self.window.kernel[0] == 1 else 1

    def _extent(self, height: int, width: int) -> tuple[int, int]:
        """Loaded rows and columns for a rectangle, padding included."""
        (ky, kx), (sy, sx), (dy, dx) = (
            self.window.kernel, self.window.strides, self.window.dilations,
        )
        rows = height if self._row_step > 1 else (height - 1) * sy + (ky - 1) * dy + 1
        return rows, (width - 1) * sx + (kx - 1) * dx + 1

    def rows(self, height: int, width: int) -> int:
        rows, columns = self._extent(height, width)
        return rows * columns

    def run_bytes(self, height: int, width: int) -> tuple[int, int]:
        rows, columns = self._extent(height, width)
        rows, columns = min(rows, self.place.height), min(columns, self.place.width)
        size = self.place.position_bytes
        if columns == self.place.width and self.place.dense and self._row_step == 1:
            return 1, rows * columns * size
        return rows, columns * size

    def load(self, rect: Rect, first: int, count: int, base: int) -> isa.Load:
        place, block, step = self.place, self.place.block, self._row_step
        rows, columns = self._extent(rect.height, rect.width)
        y = rect.y * self.window.strides[0] - self.window.pads[0]
        x = rect.x * self.window.strides[1] - self.window.pads[1]
        left = min(max(-x, 0), columns)
        right = min(max(x + columns - place.width, 0), columns - left)
        # Rows of padding: loaded row i is input row y + i * step.
        top = min(max(-(y // step), 0), rows)
        bottom = min(max(y + (rows - 1) * step - place.height + step, 0) // step, rows - top)
        dram = (
            place.offset
            + first * place.plane_bytes
            + (y + top * step) * place.row_bytes
            + (x + left) * block
        )
        common = {
            "buffer": isa.Buffer.IBUF, "arg": place.arg, "fill": self.fill & 0xFF,
            "dst": base * block,
        }
        whole = not left and not right and columns == place.width and place.dense and step == 1
        if top + bottom == rows or left + right == columns:  # nothing but padding
            return isa.Load(
                **common, dram=0, n0=rows * columns * block, n1=count, n2=1, n3=1,
                d1=rows * columns * block, before0=rows * columns * block,
            )
        if whole:
            return isa.Load(
                **common, dram=dram, n0=rows * columns * block, n1=count, n2=1, n3=1,
                d1=rows * columns * block, s1=place.plane_bytes,
                before0=top * columns * block, after0=bottom * columns * block,
            )
        return isa.Load(
            **common, dram=dram, n0=columns * block, n1=rows, n2=count, n3=1,
            d1=columns * block, s1=step * place.row_bytes,
            d2=rows * columns * block, s2=place.plane_bytes,
            before0=left * block, after0=right * block, before1=top, after1=bottom,
        )

    def strides(self, height: int, width: int) -> tuple[int, int, int, int, int]:
        rows, columns = self._extent(height, width)
        (sy, sx), (dy, dx) = self.window.strides, self.window.dilations
        s_y = columns if self._row_step > 1 else sy * columns
        return sx, s_y, dx, dy * columns, rows * columns

    def anywhere(self) -> BlockedOperand:
        return dataclasses.replace(self, place=dataclasses.replace(self.place, offset=0), fill=0)


@dataclasses.dataclass(frozen=True)
class PackedOperand:
    """A graph input with few channels: kernel columns x channels lie side by side in IBUF rows.

    LOAD's overlapping strides copy, for each output column, the kernel's columns of one input row
    (whole: of all kernel rows) next to each other, so a pass reduces over up to `block` of them
    instead of over the three channels.
    """

    place: Packed
    window: Window
    block: int
    whole: bool  # all kernel rows in one IBUF group, at the price of loading rows again

    @property
    def splittable(self) -> bool:
        return False

    @property
    def _run(self) -> int:
        """Bytes of one kernel row."""
        return self.window.kernel[1] * self.place.channels

    @property
    def tiles(self) -> int:
        size = self._run * (self.window.kernel[0] if self.whole else 1)
        return -(-size // self.block)

    @property
    def taps_y(self) -> int:
        return 1 if self.whole else self.window.kernel[0]

    @property
    def taps_x(self) -> int:
        return 1

    def _lines(self, height: int) -> int:
        """Groups of rows in IBUF: output rows, or the input rows under them."""
        if self.whole:
            return height
        return (height - 1) * self.window.strides[0] + self.window.kernel[0]

    def rows(self, height: int, width: int) -> int:
        return self._lines(height) * width

    def run_bytes(self, height: int, width: int) -> tuple[int, int]:
        kernel_rows = self.window.kernel[0] if self.whole else 1
        runs = self._lines(height) * width * kernel_rows
        return -(-runs // self.tiles), self._run

    def load(self, rect: Rect, first: int, count: int, base: int) -> isa.Load:
        assert first == 0 and count == self.tiles
        place, group = self.place, self.tiles * self.block
        (sy, sx), row = self.window.strides, self.place.row_bytes
        # The host's padding covers the window's: position 0 of the window is byte 0 of the row.
        top, left = place.pads[0] - self.window.pads[0], place.pads[1] - self.window.pads[1]
        dram = (
            place.offset + (rect.y * sy + top) * row + (rect.x * sx + left) * place.channels
        )
        lines = self._lines(rect.height)
        common = {
            "buffer": isa.Buffer.IBUF, "arg": place.arg, "dst": base * self.block, "dram": dram,
            "n0": self._run,
        }
        if self.whole:
            return isa.Load(
                **common, n1=self.window.kernel[0], d1=self._run, s1=row,
                n2=rect.width, d2=group, s2=sx * place.channels,
                n3=lines, d3=rect.width * group, s3=sy * row,
            )
        return isa.Load(
            **common, n1=rect.width, d1=group, s1=sx * place.channels,
            n2=lines, d2=rect.width * group, s2=row, n3=1,
        )

    def strides(self, height: int, width: int) -> tuple[int, int, int, int, int]:
        line = width * self.tiles
        if self.whole:
            return self.tiles, line, 0, 0, 1
        return self.tiles, self.window.strides[0] * line, 0, line, 1

    def anywhere(self) -> PackedOperand:
        return dataclasses.replace(self, place=dataclasses.replace(self.place, offset=0))

    def weights(self, weights: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Weights [M, C, ky, kx] as this operand's reduction sees them: [M, depth, taps_y, 1]."""
        moved = weights.transpose(0, 2, 3, 1)  # M, ky, kx, C
        if self.whole:
            return moved.reshape(weights.shape[0], -1, 1, 1)
        return moved.reshape(weights.shape[0], weights.shape[2], -1).transpose(0, 2, 1)[..., None]


class WeightOperand(Protocol):
    """Tiles of weights: rows x cols bytes per (output tile, channel tile, kernel position)."""

    def span(self, output_tile: int) -> tuple[int, int]:
        """Channel tiles [first, end) that an output tile reads."""
        ...

    def load(
        self, output_tile: int, first: int, end: int, ky: int, ky_end: int, base: int
    ) -> isa.Load:
        """Loads channel tiles [first, end), kernel rows [ky, ky_end) to WBUF byte `base`."""
        ...


@dataclasses.dataclass(frozen=True)
class ConstantWeights:
    """Packed into the weights in the order in which the array eats them."""

    offset: int
    spans: tuple[tuple[int, int], ...]
    starts: tuple[int, ...]  # byte offset of each output tile's first tile
    tile_bytes: int
    taps_y: int
    taps_x: int

    def span(self, output_tile: int) -> tuple[int, int]:
        return self.spans[output_tile]

    def load(
        self, output_tile: int, first: int, end: int, ky: int, ky_end: int, base: int
    ) -> isa.Load:
        line = self.taps_x * self.tile_bytes  # one channel tile, one kernel row
        skip = (first - self.spans[output_tile][0]) * self.taps_y + ky
        assert end - first == 1 or (ky, ky_end) == (0, self.taps_y)
        size = ((end - first) * self.taps_y if end - first > 1 else ky_end - ky) * line
        return isa.Load(
            buffer=isa.Buffer.WBUF, arg=WEIGHT_ARG, dst=base,
            dram=self.offset + self.starts[output_tile] + skip * line,
            n0=size, n1=1, n2=1, n3=1,
        )


def check_width(layer: str, weights: npt.NDArray[np.generic], bits: int) -> None:
    """UserError where weights do not fit the bits that WBUF has for one."""
    if bits == 8:
        return
    low = 0 if weights.dtype.kind == "u" else -(1 << bits - 1)
    high = low + (1 << bits) - 1
    if weights.min() < low or weights.max() > high:
        raise UserError(
            f"layer {layer}: weights must lie in {low} to {high} for an array of {bits}-bit weights, "
            f"got {weights.min()} to {weights.max()}; quantize the model to {bits}-bit weights"
        )


def pack_weights(
    weights: npt.NDArray[np.generic], groups: int, zero: int, rows: int, cols: int, bits: int
) -> tuple[bytes, tuple[tuple[int, int], ...], tuple[int, ...]]:
    """Weights [M, C / groups, taps_y, taps_x] as array tiles.

    Each output tile has the channel tiles that its groups touch, block-diagonal inside; what
    belongs to no weight holds the zero point. Weights of 4 bits lie two in a byte, the lower column
    in the lower half. Returns (bytes, spans, starts) of ConstantWeights.
    """
    filters, depth, taps_y, taps_x = weights.shape
    tiles = -(-filters // cols)
    starts: tuple[int, ...]
    if groups == 1:
        deep = -(-depth // rows)
        shape = (tiles * cols, deep * rows, taps_y, taps_x)
        padded = weights
        if shape != weights.shape:  # in the same order in memory, which is the one to walk in
            padded = np.full_like(weights, zero, shape=shape)
            padded[:filters, :depth] = weights
        packed = padded.reshape(tiles, cols, deep, rows, taps_y, taps_x).transpose(0, 2, 4, 5, 3, 1)
        size = deep * taps_y * taps_x * rows * cols * bits // 8
        starts = tuple(range(0, tiles * size, size))
        return _packed_bytes(packed, bits), ((0, deep),) * tiles, starts
    per_group = filters // groups
    pieces: list[bytes] = []
    spans: list[tuple[int, int]] = []
    begins, at = [], 0
    for tile in range(tiles):
        outputs = np.arange(tile * cols, min((tile + 1) * cols, filters))
        group = outputs // per_group
        first, end = group[0] * depth // rows, -(-(group[-1] + 1) * depth // rows)
        dense = np.full((cols, (end - first) * rows, taps_y, taps_x), zero, weights.dtype)
        for lane, (output, g) in enumerate(zip(outputs, group, strict=True)):
            start = g * depth - first * rows
            dense[lane, start : start + depth] = weights[output]
        packed = dense.reshape(cols, end - first, rows, taps_y, taps_x).transpose(1, 3, 4, 2, 0)
        raw = _packed_bytes(packed, bits)
        pieces.append(raw)
        spans.append((int(first), int(end)))
        begins.append(at)
        at += len(raw)
    return b"".join(pieces), tuple(spans), tuple(begins)


def _packed_bytes(packed: npt.NDArray[np.generic], bits: int) -> bytes:
    flat = np.ascontiguousarray(packed)
    if bits == 8:
        return flat.tobytes()
    halves = flat.view(np.uint8).reshape(-1, 2) & 15
    return (halves[:, 0] | halves[:, 1] << 4).tobytes()


@dataclasses.dataclass(frozen=True)
class TensorWeights:
    """A stored activation as the right-hand side of a product: [depth, outputs] as channels x
    width.

    A row of the array's tile is one block of a channel tile, so loading copies whole runs.
    """

    place: Stored  # channels = outputs, width = depth
    rows: int
    fill: int  # zero point: rows past the depth contribute nothing

    def span(self, output_tile: int) -> tuple[int, int]:
        return 0, -(-self.place.width // self.rows)

    def load(
        self, output_tile: int, first: int, end: int, ky: int, ky_end: int, base: int
    ) -> isa.Load:
        block = self.place.block
        wanted = (end - first) * self.rows
        there = min(wanted, self.place.width - first * self.rows)
        return isa.Load(
            buffer=isa.Buffer.WBUF, arg=self.place.arg, dst=base, fill=self.fill & 0xFF,
            dram=self.place.offset + output_tile * self.place.plane_bytes
            + first * self.rows * block,
            n0=wanted * block, n1=1, n2=1, n3=1, after0=(wanted - there) * block,
        )
