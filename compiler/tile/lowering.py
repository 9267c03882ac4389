"""What a codelet's `lower` works with: where tensors lie, constants, memories, and a place to emit.

One Lowering serves a whole network, so that the memories' state carries over from layer to layer
and the next layer's first loads find free space.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jacquard.compiler.graph.ir import Graph, Op, QTensor
from jacquard.compiler.overrides import LayerOverride
from jacquard.compiler.tile.ir import (
    CONSTANT_ARG, Instruction, LayerInfo, Step, WeightPart,
)
from jacquard.compiler.tile.kept import Keep, Residents
from jacquard.compiler.tile.memory import Halves, NextFit, Piece, TwoEnds
from jacquard.compiler.tile.weights import Weights
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch
from jacquard.sim.timing.bounds import layer_floor
from jacquard.sim.timing.cycles import pass_cycles

if TYPE_CHECKING:  # it is made of what is made of these
    from jacquard.compiler.tile.tiling import Tiled

ALIGN = 64  # of pieces of the constants' segment, in bytes


@dataclasses.dataclass(frozen=True)
class Stored:
    """A tensor, or a window of one, in DRAM: channel tiles of `block` channels.

    Attributes:
      arg, offset: argument register, and the first byte's offset from it.
      channels, height, width: of the window.
      row_bytes, plane_bytes: from a row to the next, from a channel tile to the next.
      element_bytes: 1, 2 or 4.
      step: from a position to the next, where others' bytes lie between (one row); 0: none do.
    """

    arg: int
    offset: int
    channels: int
    height: int
    width: int
    block: int
    row_bytes: int
    plane_bytes: int
    element_bytes: int = 1
    step: int = 0

    @property
    def tiles(self) -> int:
        return -(-self.channels // self.block)

    @property
    def size_bytes(self) -> int:
        """Its own bytes."""
        return self.tiles * self.positions * self.position_bytes

    @property
    def position_bytes(self) -> int:
        """Bytes of one position of a channel tile."""
        return self.block * self.element_bytes

    @property
    def positions(self) -> int:
        return self.height * self.width

    @property
    def dense(self) -> bool:
        """Positions and rows follow each other without a gap."""
        return not self.step and self.row_bytes == self.width * self.position_bytes

    def columns(self, start: int, count: int) -> Stored:
        """The window of `count` columns from `start`."""
        step = self.step or self.position_bytes
        row = count * step if self.height == 1 else self.row_bytes
        return dataclasses.replace(
            self, offset=self.offset + start * step, width=count, row_bytes=row
        )

    def flat(self) -> Stored:
        """The same bytes as one row. Only where rows are dense, or where it is one."""
        if self.step:
            return self
        assert self.dense
        width = self.height * self.width
        return dataclasses.replace(
            self, height=1, width=width, row_bytes=width * self.position_bytes
        )


@dataclasses.dataclass(frozen=True)
class Packed:
    """A graph input as rows of height x width x channels bytes, padded on the host.

    `pads` top, left, bottom, right: positions of zero point around the image.
    """

    arg: int
    offset: int
    channels: int
    height: int
    width: int
    pads: tuple[int, int, int, int]
    row_bytes: int

    @property
    def size_bytes(self) -> int:
        return (self.pads[0] + self.height + self.pads[2]) * self.row_bytes


def dtype_of(tensor: QTensor) -> isa.Dtype:
    """The machine's type of a stored tensor."""
    return {
        "int8": isa.Dtype.S8, "uint8": isa.Dtype.U8, "int16": isa.Dtype.S16,
        "uint16": isa.Dtype.U16, "int32": isa.Dtype.S32,
    }[tensor.grid.dtype]


@dataclasses.dataclass(frozen=True)
class Reading:
    """How a product's result is read, of which rows or tiles may then be made meanwhile.

    row_cycles: for a row, by what reads one after another; 0: nothing does. by_tiles: an attention
    reads it head by head. behind: layers behind the product into which its emission may run.
    """

    row_cycles: float = 0.0
    by_tiles: bool = False
    behind: int = 0


class Waiting(enum.Enum):
    """Whose rows may be left for when they are needed."""

    PRODUCTS = "of products and normalizations"
    NORMALIZATIONS = "of normalizations"
    NOTHING = "of nothing"


@dataclasses.dataclass
class _Stream:
    """An emission that goes on when its rows are needed, or its channel tiles (by_tiles); `stored`
    of `total` are so far.

    layer: it belongs to. last: the last one that it may run into.
    """

    rows: Iterator[int]
    layer: int
    last: int
    cycles_per_row: float
    total: int
    by_tiles: bool = False
    stored: int = 0


class Lowering:
    """Emits the network's instructions in program order."""

    def __init__(
        self,
        arch: Arch,
        graph: Graph,
        places: dict[str, Stored | Packed],
        overrides: dict[str, LayerOverride],
        array_rows: int,
        readings: Mapping[str, Reading],
        keeps: Mapping[str, Keep],
        waiting: Waiting,
    ) -> None:
        self.arch, self.graph, self.overrides = arch, graph, overrides
        self._array_rows = array_rows
        self._readings, self.waiting = readings, waiting
        self.places = places
        # Layers whose tiling was searched: their overrides had effect. None: it was refused.
        self.tiled: dict[str, Tiled | None] = {}
        self.steps: list[Step] = []
        self.layers: list[LayerInfo] = []
        self._constants: list[bytes] = []
        self._constant_bytes = 0
        self._weights = Weights()
        self.ibuf = TwoEnds("IBUF", arch.ibuf_rows)
        self.residents = Residents(keeps, graph, arch, self.ibuf)
        self.wbuf = NextFit("WBUF", arch.wbuf_rows)
        self.vmem = NextFit("VMEM", arch.vmem_bytes, arch.vmem_row_bytes)
        self.param = NextFit("PARAM", arch.param_rows)
        self.obuf = Halves("OBUF", arch.obuf_half_rows)
        self._layer = -1  # that what is emitted belongs to
        self._streams: dict[str, _Stream] = {}
        self._tables: dict[bytes, int] = {}  # resident: table -> index, least recently used first
        self._table_offsets: dict[bytes, int] = {}  # in the constants

    # --- tensors ----------------------------------------------------------------------------------

    def tensor(self, name: str) -> QTensor:
        return self.graph.tensors[name]

    def index_sources(self, name: str) -> str:
        """The model's inputs that a tensor of indices is made of."""
        host = self.graph.host
        return "" if host is None else host.inputs[name].sources

    def stored(self, name: str) -> Stored:
        """Where a blocked tensor lies, all of it made."""
        self.need(name)
        return self.place(name)

    def place(self, name: str) -> Stored:
        """Where a blocked tensor lies or will lie; constants are packed on first use."""
        place = self.places.get(name)
        if place is None:
            tensor = self.tensor(name)
            assert tensor.data is not None, name
            place = self.places[name] = self.constant_tensor(tensor.data, tensor)
        assert isinstance(place, Stored), name
        return place

    # --- results made row after row ---------------------------------------------------------------

    def produce(
        self, results: Sequence[str], rows: Iterator[int], cycles_per_row: float = 0.0,
        behind: int = 1, by_tiles: bool = False,
    ) -> None:
        """Emits the first rows of a layer's results, and leaves the others to whoever needs them.

        rows: emits a block of rows (positions), or of channel tiles, at each step and gives how
        many are stored by then. behind: layers behind it that it may run into.
        """
        view = self.tensor(results[0]).view
        total = -(-view.channels // self.arch.rows) if by_tiles else view.positions
        stream = _Stream(rows, self._layer, self._layer + behind, cycles_per_row, total, by_tiles)
        self._streams.update(dict.fromkeys(results, stream))
        if self.waiting is Waiting.NOTHING:
            self.need(results[0])
        self.need(results[0], 1, 1)  # what it holds all the time finds its place first

    def need(self, name: str, rows: int | None = None, tiles: int | None = None) -> None:
        """Emits what makes the first rows of a tensor (None: all of them), as far as it is not yet;
        the first channel tiles, where it is made tile by tile."""
        stream = self._streams.get(name)
        if stream is None:
            return
        rows = tiles if stream.by_tiles else rows
        layer, self._layer = self._layer, stream.layer
        while rows is None or stream.stored < rows or stream.stored == stream.total:
            stored = next(stream.rows, None)
            if stored is None:
                self._streams = {n: s for n, s in self._streams.items() if s is not stream}
                break
            stream.stored = stored
        self._layer = layer

    def alias(self, name: str, other: str) -> None:
        """`other` is the same rows under another shape."""
        if name in self._streams:
            self._streams[other] = self._streams[name]

    def arrival(self, name: str) -> float:
        """Cycles from a row of a tensor to the next, where they are still to be made."""
        stream = self._streams.get(name)
        return 0.0 if stream is None else stream.cycles_per_row

    def reading(self, results: Sequence[str]) -> Reading:
        """How the first of a layer's results is read."""
        return self._readings.get(results[0], Reading()) if results else Reading()

    def ready(self, name: str, rows: int) -> bool:
        """Whether the first rows of a tensor are emitted."""
        stream = self._streams.get(name)
        return stream is None or (not stream.by_tiles and stream.stored >= rows)

    def streams(self) -> set[str]:
        """Tensors of which rows are still to be made."""
        return set(self._streams)

    def finish(self) -> None:
        """Emits the rest of all that may not run into the next layer."""
        for name, stream in tuple(self._streams.items()):
            if stream.last <= self._layer:
                self.need(name)

    def constant(self, data: bytes | npt.NDArray[np.generic]) -> int:
        """Adds bytes to the constants' segment; returns their offset."""
        raw = data if isinstance(data, bytes) else np.ascontiguousarray(data).tobytes()
        offset = self._constant_bytes
        padding = -len(raw) % ALIGN
        self._constants += [raw, b"\0" * padding]
        self._constant_bytes += len(raw) + padding
        return offset

    def weights(self, data: bytes, index: str = "") -> int:
        """Adds a matrix, or a table whose rows the inputs `index` name, to the weights' segment.

        Returns an offset from WEIGHT_ARG that holds until the steps are finished.
        """
        return self._weights.add(self.layers[self._layer].name, data, index)

    def constant_tensor(self, data: npt.NDArray[np.generic], tensor: QTensor) -> Stored:
        """Packs a constant like an activation of its shape."""
        view, block = tensor.view, self.arch.rows
        dtype = np.dtype(tensor.grid.dtype)
        if tensor.image:
            planes = data.reshape(view.channels, view.height, view.width)
        else:
            planes = data.reshape(view.width, view.channels).T.reshape(view.channels, 1, view.width)
        tiles = -(-view.channels // block)
        padded = np.zeros((tiles * block, view.height, view.width), dtype)
        padded[: view.channels] = planes
        blocked = padded.reshape(tiles, block, view.height, view.width).transpose(0, 2, 3, 1)
        return self.place_blocked(CONSTANT_ARG, self.constant(blocked), tensor)

    def place_blocked(self, arg: int, offset: int, tensor: QTensor) -> Stored:
        """A whole tensor in the blocked layout at that place."""
        return blocked(arg, offset, tensor, self.arch.rows)

    def constants(self) -> bytes:
        return b"".join(self._constants)

    def finished(self) -> tuple[tuple[Step, ...], bytes, tuple[WeightPart, ...]]:
        """All steps, the weights' segment that they read, and its parts."""
        segment, parts, offsets = self._weights.segment()
        return self._weights.moved(self.steps, offsets), segment, parts

    # --- emission ---------------------------------------------------------------------------------

    def begin_layer(
        self, op: Op, macs: int, array_cycles: int = 0, constant_bytes: int = 0,
        moved_bytes: int | None = None,
    ) -> None:
        """All that is emitted from here on belongs to this op.

        array_cycles: of all passes over whole planes; constant_bytes: weights and parameters;
        moved_bytes: of tensors, None: all of them through DRAM once. They make the layer's floor.
        """
        if moved_bytes is None:
            names = {*op.inputs, *op.outputs}
            moved_bytes = sum(self.places[n].size_bytes for n in names if n in self.places)
        floor = layer_floor(array_cycles, moved_bytes + constant_bytes, self.arch)
        self._layer = len(self.layers)
        self.layers.append(LayerInfo(op.name, op.kind, op.nodes, op.outputs[0], macs, floor))

    def array_cycles(self, passes: int, positions: int) -> int:
        """Of passes as deep as `arch` has rows, on the array that there is."""
        parts = self.arch.rows // self._array_rows
        return passes * parts * pass_cycles(positions, self._array_rows)

    def emit(self, instruction: Instruction) -> None:
        self.steps.append(Step(instruction, self._layer))

    def later(self, emit: Callable[[], None]) -> Callable[[], None]:
        """`emit`, to be called while another layer is emitted."""
        layer = self._layer

        def call() -> None:
            now, self._layer = self._layer, layer
            emit()
            self._layer = now

        return call

    def table(self, table: npt.NDArray[np.int16]) -> int:
        """Makes a table resident where it is not; returns its index in TABLE.

        table: int16[256, 2], base and slope of each entry. The least recently used one gives way.
        """
        raw = np.ascontiguousarray(table.astype("<i2")).tobytes()
        size = self.arch.table_row_bytes
        assert len(raw) == size, table.shape
        index = self._tables.pop(raw, None)
        if index is None:
            if raw not in self._table_offsets:
                self._table_offsets[raw] = self.constant(raw)
            index = len(self._tables)
            if index == self.arch.table_rows:
                index = self._tables.pop(next(iter(self._tables)))
            self.emit(isa.Load(buffer=isa.Buffer.TABLE, arg=CONSTANT_ARG, dst=index * size,
                               dram=self._table_offsets[raw], n0=size, n1=1, n2=1, n3=1))
        self._tables[raw] = index
        return index

    def load_params(
        self, bias: npt.NDArray[np.int64], mult: npt.NDArray[np.int32]
    ) -> int:
        """Puts per-channel parameters into the constants as PARAM rows; returns their offset."""
        lanes = self.arch.lanes
        rows = -(-bias.size // lanes)
        table = np.zeros((2, rows * lanes), np.int32)
        table[0, : bias.size] = bias
        table[1, : mult.size] = mult
        return self.constant(table.reshape(2, rows, lanes).transpose(1, 0, 2))

    def emit_param_load(self, offset: int, first_row: int, piece: Piece) -> None:
        """Loads `piece.size` parameter rows from row `first_row` of a table in the constants."""
        row = self.arch.param_row_bytes
        self.emit(
            isa.Load(
                buffer=isa.Buffer.PARAM, arg=CONSTANT_ARG, dst=piece.base * row,
                dram=offset + first_row * row, n0=piece.size * row, n1=1, n2=1, n3=1,
            )
        )


def blocked(arg: int, offset: int, tensor: QTensor, block: int) -> Stored:
    """A whole tensor in the blocked layout."""
    view = tensor.view
    element = np.dtype(tensor.grid.dtype).itemsize
    row = view.width * block * element
    return Stored(
        arg, offset, view.channels, view.height, view.width, block, row, row * view.height, element
    )
