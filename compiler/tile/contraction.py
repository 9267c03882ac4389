"""Everything that runs on the systolic array, tiled and emitted: convolutions and products.

Loop nest, outermost first: spatial tile, group of output column tiles, chunk of the reduction,
output column tile. Inputs of a spatial tile stay in IBUF for all of its outputs where they fit, the
next tile's arrive in pieces meanwhile. VECTOR drains one half of OBUF while MATRIX fills the other.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

from jacquard.compiler.overrides import TILING
from jacquard.compiler.tile.access import ELEMENT_BYTES
from jacquard.compiler.tile.drain import Drain, emit_drain, requantize_fields
from jacquard.compiler.tile.kept import Kept
from jacquard.compiler.tile.kept_operand import KeptOperand
from jacquard.compiler.tile.lowering import Lowering, Stored, Waiting, dtype_of
from jacquard.compiler.tile.memory import Piece
from jacquard.compiler.tile.nest import Item, fetches, items, kept_tiles, last_use
from jacquard.compiler.tile.operand import Rect
from jacquard.compiler.tile.plan import FIRST_PARTS, choose
from jacquard.compiler.tile.pooled import Pooling
from jacquard.compiler.tile.problem import Contraction
from jacquard.compiler.tile.rows import BLOCK_VECTORS, balanced
from jacquard.compiler.tile.stream import as_load, rect_fields
from jacquard.compiler.tile.tiling import Plan, Shape, Tiled
from jacquard.proto import npu_isa as isa


def emit(low: Lowering, problem: Contraction) -> None:
    """Tiles the problem and emits it. UserError if it cannot fit."""
    reading, override = low.reading(problem.results), low.overrides.get(problem.name)
    may_split = low.waiting is Waiting.PRODUCTS and bool(problem.results)
    arrival = low.arrival(problem.source)
    fixed = override is not None and bool(override.given(TILING))
    shape = Shape(
        height=problem.out.height,
        width=problem.out.width,
        output_tiles=problem.out.tiles,
        spans=tuple(problem.weight.span(o) for o in range(problem.out.tiles)),
        element_bytes=problem.out.element_bytes,
        own_bytes=ELEMENT_BYTES[problem.requant.stored_dtype],
        residual_bytes=0 if problem.residual is None else problem.residual.place.element_bytes,
        pool=problem.pool,
        factor_bytes=0 if problem.factors is None else problem.factors.element_bytes,
        arrival=arrival,
        departure=reading.row_cycles,
        may_split=may_split,
        by_tiles=may_split and not fixed and not arrival and reading.by_tiles,
    )
    low.tiled.setdefault(problem.name, None)
    room = low.residents.room(problem.keep)
    plan = choose(room, problem.name, problem.activation, shape, override)
    low.tiled[problem.name] = Tiled(problem.activation.anywhere(), shape, plan)
    rows = _Emission(low, problem, plan).run()
    if plan.by_tiles or (plan.split is not None and plan.split.tail):
        low.produce(problem.results, rows, behind=reading.behind, by_tiles=plan.by_tiles)
    else:
        for _ in rows:
            pass


class _Emission:
    """State of one layer's emission."""

    def __init__(self, low: Lowering, problem: Contraction, plan: Plan) -> None:
        self.low, self.arch, self.problem, self.plan = low, low.arch, problem, plan
        self.items = list(items(problem, plan))
        self.fetches = fetches(self.items)
        self.kept_tiles = kept_tiles(problem, plan, self.arch)
        self.kept_until = last_use(self.items, self.kept_tiles)
        activation = problem.activation  # which may lie in IBUF already
        self.kept = activation if isinstance(activation, KeptOperand) else None
        self.keep: Kept | None = None
        self.loaded = 0  # positions of a split product's only fetch
        self.fetched: dict[int, Piece] = {}
        self.weights: dict[tuple[int, int, int, int], Piece] = {}
        self.resident: Piece | None = None  # WBUF of the tiles whose weights stay
        self.resident_next = 0
        requant = problem.requant
        self.params = -1
        if problem.factors is None:
            self.params = low.load_params(requant.bias, requant.mult)
        self.param_piece: Piece | None = None
        self.param_group = -1
        self.pooling = None if problem.pool is None else Pooling(
            low, problem.pool, problem.out.height, problem.out.tiles
        )
        self.obuf = 0
        self.making = False  # the next inputs are being made between this fetch's items

    # --- emission ---------------------------------------------------------------------------------

    def run(self) -> Iterator[int]:
        """Emits item after item; yields how many positions are stored where a split one's are, or
        output tiles.

        Of a split product an item's results are drained behind the next one's products: what is
        made of the positions before comes in front of them."""
        late: Drain | None = None
        for index, item in enumerate(self.items):
            group = self._load_params(item)
            if item.first:
                self.obuf = self.low.obuf.take()
                self.low.obuf.hold(self.obuf)
            start = item.outputs[0]
            if item.fetch not in self.fetched:
                if self.plan.split is not None and self.kept_tiles:
                    self._need(item.rect)
                    self._kept_weights_ahead(item)
                self._first_fetch(item)
                start += 1
            else:
                self._weights_ahead(item, start)
                self._load_part(item)
            if self.plan.split is not None:
                self._need_next_part()
            residual = factors = None
            if item.last and self.problem.residual is not None:
                place = self.problem.residual.place
                residual = self._load_beside(place, item.rect, item.outputs)
            if item.last and self.problem.factors is not None:
                factors = self._load_beside(self.problem.factors, item.rect, (0, 1))
            first, end = self.fetches[item.fetch][2:]
            if item.fetch + 1 < len(self.fetches):
                self._prefetch(item.fetch + 1, index - first, end - first)
            for output in range(start, item.outputs[1]):
                for chunk in self._weight_chunks(item, output):
                    self._multiply(item, output, chunk)
            if index == end - 1 and self.kept is None:
                self.low.ibuf.free(self.fetched[item.fetch])
            if self.resident is not None and index == self.kept_until:
                self.low.wbuf.free(self.resident)
            if not item.last:
                continue
            drain = Drain(item.rect, item.outputs, self.obuf, group, residual, factors,
                          self.keep)
            self.low.obuf.leave(self.obuf, self.low.later(functools.partial(self._drain, drain)))
            if self.plan.split is None:
                self.low.obuf.empty(self.obuf)
            else:
                if late is not None:
                    self.low.obuf.empty(late.obuf)
                    yield from self._stored(late)
                late = drain
            if self.plan.by_tiles and index + 1 < len(self.items):
                self._weights_of(self.items[index + 1])
                yield item.outputs[1]
        if late is not None:
            self.low.obuf.empty(late.obuf)
        if self.param_piece is not None:
            self.low.param.free(self.param_piece)
        if self.pooling is not None:
            self.pooling.free()
        if self.kept is not None:
            self.low.residents.release(self.kept.kept.name)
        yield self.problem.out.tiles if self.plan.by_tiles else self.problem.out.width

    def _weights_of(self, item: Item) -> None:
        """An item's weights, in front of what is made of those before it."""
        for output in range(*item.outputs):
            for chunk in self._weight_chunks(item, output):
                self._weight(output, chunk)

    def _stored(self, drain: Drain) -> Iterator[int]:
        """Positions that are complete with a drain of a split product."""
        if drain.outputs[1] == self.problem.out.tiles:
            yield drain.rect.x + drain.rect.width

    def _load_part(self, item: Item) -> None:
        """The positions of a split product that an item is the first to read."""
        end = item.rect.x + item.rect.width
        if self.plan.split is None or end <= self.loaded:
            return
        rect, tiles = Rect(0, self.loaded, 1, end - self.loaded), self.problem.activation.tiles
        self._need(rect)
        self._load(item.fetch, rect, 0, tiles)
        self.loaded = end

    def _need_next_part(self) -> None:
        """Has the other positions made in front of the drains of these."""
        if self.loaded < self.problem.out.width:
            self._need(Rect(0, self.loaded, 1, self.problem.out.width - self.loaded))

    def _kept_weights_ahead(self, item: Item) -> None:
        """All that stays in WBUF: unlike the inputs it does not wait for what is made of others."""
        for output in range(*item.outputs):
            if output in self.kept_tiles:
                for chunk in self._weight_chunks(item, output):
                    self._weight(output, chunk)

    def _load(self, fetch: int, rect: Rect, first: int, count: int) -> None:
        """Emits the load of channel tiles of a fetch, or of a part of its positions."""
        if self.kept is not None:
            return
        activation, (whole, (start, _), _, _) = self.problem.activation, self.fetches[fetch]
        rows = activation.rows(whole.height, whole.width)
        base = self.fetched[fetch].base + (first - start) * rows
        if rect == whole:
            self.low.emit(activation.load(rect, first, count, base))
            return
        load = activation.load(rect, first, count, base + rect.x - whole.x)
        self.low.emit(dataclasses.replace(load, d2=rows * self.arch.ibuf_row_bytes))

    def _first_fetch(self, item: Item) -> None:
        """The layer's first inputs, piece by piece: each with the products of the first output tile
        that it allows, so that MATRIX starts on the first piece."""
        (whole, (first, end), _, _), rect = self.fetches[item.fetch], item.rect
        activation, output = self.problem.activation, item.outputs[0]
        rows = activation.rows(whole.height, whole.width)
        self._take(item.fetch, rows * (end - first))
        self.loaded = rect.x + rect.width
        chunks = list(self._weight_chunks(item, output))
        at = first
        for chunk in chunks:
            self._weight(output, chunk)
            self._need(rect)
            until = chunk[1] if activation.splittable and chunk is not chunks[-1] else end
            if until > at:
                self._load(item.fetch, rect, at, until - at)
                at = until
            self._multiply(item, output, chunk)
        if at < end:
            self._load(item.fetch, rect, at, end - at)

    def _take(self, fetch: int, rows: int) -> None:
        """A place for what is fetched, where anything is."""
        kept = self.kept
        if kept is None:
            self.fetched[fetch] = self.low.ibuf.take(rows, again=bool(self.fetched))
        else:
            self.fetched[fetch] = kept.kept.piece
        if self.problem.keep and self.keep is None:
            self.keep = self.low.residents.take(self.problem.keep)

    def _prefetch(self, fetch: int, part: int, parts: int) -> None:
        """A part of the next inputs, between the products of this fetch's `parts` items.

        Rows that are still to be made are made evenly over the first items, so that neither LOAD nor
        VECTOR is kept from these products, and fetched between the last ones.
        """
        source, rect = self.problem.source, self.fetches[fetch][0]
        if source not in self.low.streams() and not self.making:
            self._fetch(fetch, part, parts)
            return
        self.making = True
        making = max(1, parts * 3 // 4)
        share = min(1.0, (part + 1) / making)
        self.low.need(source, rect.x + round(rect.width * share))
        if part + 1 >= making:
            self._fetch(fetch, part + 1 - making, parts + 1 - making)
            self.making = part + 1 < parts

    def _need(self, rect: Rect) -> None:
        """All rows of a rectangle that are made one after another."""
        self.low.need(self.problem.source, rect.x + rect.width)

    def _fetch(self, fetch: int, part: int, parts: int) -> None:
        """Emits part `part` of `parts` of a fetch: a range of its channel tiles."""
        rect, chunk, _, _ = self.fetches[fetch]
        activation = self.problem.activation
        count = chunk[1] - chunk[0]
        rows = activation.rows(rect.height, rect.width)
        self._need(rect)
        if fetch not in self.fetched:
            self._take(fetch, rows * count)
        if not activation.splittable:
            if part == 0:
                self._load(fetch, rect, chunk[0], count)
            return
        # As few loads as keep pieces of at least a few KiB.
        parts = min(parts, max(1, rows * count * self.arch.rows // 4096), count)
        if part >= parts:
            return
        first, end = count * part // parts, count * (part + 1) // parts
        self._load(fetch, rect, chunk[0] + first, end - first)

    def _load_params(self, item: Item) -> int:
        """Makes the group's parameter rows resident; returns the PARAM row of its first tile."""
        if self.problem.factors is not None:
            return 0
        per_load = self.plan.param_tiles
        group = item.outputs[0] // per_load
        if group != self.param_group:
            if self.param_piece is not None:
                self.low.param.free(self.param_piece)
            first = group * per_load
            rows = min(per_load, self.problem.out.tiles - first)
            self.param_piece = self.low.param.take(rows)
            self.param_group = group
            self.low.emit_param_load(self.params, first, self.param_piece)
        assert self.param_piece is not None
        return self.param_piece.base + item.outputs[0] - group * per_load

    def _weight_chunks(self, item: Item, output: int) -> Iterator[tuple[int, int, int, int]]:
        """(first tile, end tile, first kernel row, end kernel row) of each MATRIX instruction."""
        first, end = self.problem.weight.span(output)
        first, end = max(first, item.chunk[0]), min(end, item.chunk[1])
        taps = self.problem.activation.taps_y
        if self.plan.weight_rows < taps:
            for c in range(first, end):
                for ky in range(0, taps, self.plan.weight_rows):
                    yield c, c + 1, ky, min(ky + self.plan.weight_rows, taps)
        else:
            step = self.plan.weight_tiles
            if output == 0 and self.plan.keep_inputs and self.problem.activation.splittable:
                step = min(step, -(-(end - first) // FIRST_PARTS))
            for c in range(first, end, step):
                yield c, min(c + step, end), 0, taps

    def _weight(self, output: int, chunk: tuple[int, int, int, int]) -> Piece:
        """The chunk's place in WBUF, loaded now unless it is there."""
        first, end, ky, ky_end = chunk
        key = (output, first, ky, end)
        if key not in self.weights:
            tiles = (end - first) * (ky_end - ky) * self.problem.activation.taps_x
            piece = self.weights[key] = self._take_weights(output, tiles * self.arch.rows)
            base = piece.base * self.arch.wbuf_row_bytes
            self.low.emit(self.problem.weight.load(output, first, end, ky, ky_end, base))
        return self.weights[key]

    def _weights_ahead(self, item: Item, start: int) -> None:
        """Weights in front of the next fetch, which may wait for the inputs before these.

        Where a fetch serves one item, that is all of the item's weights, within a quarter of WBUF.
        """
        chunks = [(o, c) for o in range(start, item.outputs[1])
                  for c in self._weight_chunks(item, o)]
        first = 1
        if not self.plan.keep_inputs and self.problem.activation.taps_y == 1:
            rows = sum(c[1] - c[0] for _, c in chunks) * self.problem.activation.taps_x
            if rows * self.arch.rows <= self.arch.wbuf_rows // 4:
                first = len(chunks)
        for output, chunk in chunks[:first]:
            self._weight(output, chunk)

    def _take_weights(self, output: int, rows: int) -> Piece:
        """WBUF rows: one after another in the layer's own piece where weights are kept."""
        if output not in self.kept_tiles:
            return self.low.wbuf.take(rows)
        if self.resident is None:
            size = self.plan.weight_bytes // self.arch.wbuf_row_bytes
            size = size * len(self.kept_tiles) // self.problem.out.tiles
            if self.plan.split is not None:
                self.low.wbuf.restart()  # tile by tile where the ones kept before are used up
            self.resident = self.low.wbuf.take(size)
            self.resident_next = self.resident.base
        piece = Piece(self.resident_next, rows)
        self.resident_next = piece.end
        return piece

    def _load_beside(self, place: Stored, rect: Rect, tiles: tuple[int, int]) -> Piece:
        """What a drain reads beside the sums: [tile][position][lane]."""
        piece = self.low.vmem.take((tiles[1] - tiles[0]) * rect.positions * place.position_bytes)
        fields = as_load(rect_fields(place, rect, tiles))
        self.low.emit(isa.Load(buffer=isa.Buffer.VMEM, arg=place.arg, dst=piece.base, **fields))
        return piece

    def _multiply(self, item: Item, output: int, chunk: tuple[int, int, int, int]) -> None:
        """One MATRIX instruction: an output tile over a chunk of weights."""
        problem, rect = self.problem, item.rect
        activation = problem.activation
        first, end, ky, ky_end = chunk
        whole, (start, _), _, _ = self.fetches[item.fetch]
        s_x, s_y, s_kx, s_ky, s_c = activation.strides(whole.height, whole.width)
        at = self.fetched[item.fetch].base + (rect.x - whole.x) * s_x
        if self.kept is not None:
            at, start = self.kept.first_row(rect), 0  # all channel tiles lie there, whatever the chunk
        piece = self._weight(output, chunk)
        self.low.emit(
            isa.Matrix(
                ibuf=at + (first - start) * s_c + ky * s_ky,
                wbuf=piece.base,
                obuf=self.obuf + (output - item.outputs[0]) * rect.positions,
                accumulate=int((first, ky) != (problem.weight.span(output)[0], 0)),
                act_unsigned=int(problem.act_unsigned),
                weight_unsigned=int(problem.weight_unsigned),
                act_zero=problem.act_zero, weight_zero=problem.weight_zero,
                n_x=rect.width, n_y=rect.height, n_kx=activation.taps_x,
                n_ky=ky_end - ky, n_c=end - first,
                s_x=s_x, s_y=s_y, s_kx=s_kx, s_ky=s_ky, s_c=s_c,
            )
        )
        if output not in self.kept_tiles:
            self.low.wbuf.free(piece)
            del self.weights[(output, first, ky, end)]

    def _drain(self, drain: Drain) -> None:
        """Requantizes a finished group, adds the residual, stores it; where rows of it are waited
        for, block by block."""
        problem, size = self.problem, drain.rect.positions
        if drain.outputs[0] == drain.rect.x == drain.rect.y == 0 and drain.keep is not None:
            tensor = self.low.tensor(drain.keep.name)
            for fill in drain.keep.margins(tensor.grid.zero_point, dtype_of(tensor)):
                self.low.emit(fill)
        if self.pooling is not None:
            fields = requantize_fields(self.low, problem, drain)
            self.pooling.drain(drain.rect, drain.outputs[0], fields, problem.requant.dtype)
            return
        split = self.plan.split
        if split is not None and drain.outputs[0] >= problem.out.tiles - split.tail:
            size = balanced(size, max(1, BLOCK_VECTORS // (drain.outputs[1] - drain.outputs[0])))
        emit_drain(self.low, problem, drain, size)
