"""Chooses the tiling of a contraction by a cost model over all that fit.

A candidate is a spatial tile, how many output tiles share an accumulator half, and how much of the
reduction is in IBUF at once. Its cost is the busiest engine's time plus what nothing hides: the
first loads and the last results of the layer.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator

from jacquard.compiler.overrides import LayerOverride
from jacquard.compiler.tile import limits
from jacquard.compiler.tile.operand import ActivationOperand
from jacquard.compiler.tile.tiling import Plan, Shape, Split
from jacquard.proto.lib.arch import Arch
from jacquard.proto.lib.errors import UserError

INSTRUCTION_CYCLES = 8  # of an engine, from one instruction to the next that waits for it
FIRST_PARTS = 8  # pieces of a layer's first inputs, so that MATRIX starts on the first of them
INTERFERENCE = 0.03  # of the engines' work: what each costs the others, by the cycle model
PIECE_BYTES = 16384  # of weights: below, instructions cost more than waiting for room does
SPLIT_CYCLES = 1500  # from a part's last sums to what is made of it, beside the passes of VECTOR
TILE_CYCLES = 1000  # of MATRIX, an output tile's: below, heads are too short to be made one by one
BEHIND_PRODUCT = 2  # layers into which a split product may run: its rows' reader, and one more


def splits(positions: int, arch: Arch) -> bool:
    """Whether products of so many positions are split at their ends rather than tiled narrowly.

    Of tiles a few array heights wide the weights, loaded for each, would take more than the bus
    has.
    """
    return 2 * arch.rows <= positions < 8 * arch.rows


def choose(
    arch: Arch, name: str, activation: ActivationOperand, shape: Shape, override: LayerOverride | None
) -> Plan:
    """The cheapest plan. UserError with the buffer and the shortage where none fits."""
    chunk = _weight_chunk(arch, name, activation, shape)
    best = _search(arch, activation.anywhere(), shape, override, chunk)
    if best is None and shape.by_tiles:
        shape = dataclasses.replace(shape, by_tiles=False)
        best = _search(arch, activation.anywhere(), shape, override, chunk)
    if best is None:
        raise UserError(_too_large(arch, name, activation, shape, override))
    return best


def ranked(arch: Arch, name: str, activation: ActivationOperand, shape: Shape) -> list[Plan]:
    """Every tiling that fits, by what the cost model says, cheapest first.

    Unlike `choose` it looks at every count of output and channel tiles. What it gives is fixed by
    the sizes alone, so LayerOverride can say it; where rows are split follows from them.
    """
    shape, half = dataclasses.replace(shape, by_tiles=False), arch.obuf_half_rows
    chunk = _weight_chunk(arch, name, activation, shape)
    depths = [activation.tiles]
    if activation.splittable:
        depths += [n for n in _parts(shape.deepest) if n < activation.tiles]
    found = []
    for height, width in itertools.product(_parts(shape.height), _parts(shape.width)):
        rows = activation.rows(height, width)
        outputs = [n for n in _parts(shape.output_tiles) if n * height * width <= half]
        fitting = [n for n in depths if n * rows <= arch.ibuf_rows]
        for count, depth in itertools.product(outputs, fitting):
            costed = _costed(arch, activation, shape, (height, width, count, depth), *chunk)
            if costed is not None:
                split = _split_plans(arch, activation, shape, costed)
                found.append(min((costed, *split), key=lambda plan: plan.cycles))
    return sorted(found, key=lambda plan: plan.cycles)


@functools.lru_cache(maxsize=1024)  # equal layers are searched once
def _search(
    arch: Arch,
    activation: ActivationOperand,
    shape: Shape,
    override: LayerOverride | None,
    weight_chunk: tuple[int, int],
) -> Plan | None:
    best: Plan | None = None
    for narrow in (False, True):
        for candidate in _candidates(arch, activation, shape, override, narrow):
            costed = _costed(arch, activation, shape, candidate, *weight_chunk)
            for plan in (costed, *_split_plans(arch, activation, shape, costed)):
                if plan is None or not limits.allows(override, plan, shape):
                    continue
                if best is None or plan.cycles < best.cycles:
                    best = plan
        if best is not None:
            return best
    return None


def _weight_chunk(
    arch: Arch, name: str, activation: ActivationOperand, shape: Shape
) -> tuple[int, int]:
    """(channel tiles, kernel rows) of a MATRIX instruction: a quarter of WBUF, at most half.

    Of more than PIECE_BYTES only where one channel tile is: LOAD has no room before MATRIX is done
    with all of a piece.
    """
    line = activation.taps_x * arch.rows  # WBUF rows of one kernel row of one channel tile
    kernel = activation.taps_y * line
    if kernel <= arch.wbuf_rows // 2:
        piece = min(arch.wbuf_rows // 4, PIECE_BYTES // arch.wbuf_row_bytes)
        return max(1, min(shape.deepest, piece // kernel)), activation.taps_y
    if line > arch.wbuf_rows // 2:
        half, needed = arch.wbuf_bytes // 2, line * arch.wbuf_row_bytes
        raise UserError(
            f"layer {name}: one kernel row of weights must fit half of WBUF ({half} bytes), needs "
            f"{needed}, {needed - half} too many; use a larger configuration or a narrower kernel"
        )
    return 1, arch.wbuf_rows // 2 // line


@functools.lru_cache(maxsize=4096)
def _parts(size: int) -> tuple[int, ...]:
    """Distinct sizes of equal parts of `size`, largest first."""
    return tuple(sorted({-(-size // n) for n in range(1, size + 1)}, reverse=True))


def _candidates(
    arch: Arch, activation: ActivationOperand, shape: Shape, override: LayerOverride | None,
    narrow: bool,
) -> Iterator[tuple[int, int, int, int]]:
    """(height, width, output tiles, channel tiles) within the accumulators' and IBUF's size.

    narrow: every width, for where VMEM, of which nothing is known here, has no room for wide ones.
    """

    def fixed(name: str) -> int | None:
        value = getattr(override, name, None)
        return None if value is None else int(value)

    half = arch.obuf_half_rows
    widths = [w for w in _parts(shape.width) if w <= half]
    if shape.by_tiles:
        widths = widths[:1] if widths[:1] == [shape.width] else []
    if fixed("tile_width"):
        widths = [min(fixed("tile_width") or 1, shape.width)]
    for width in widths:
        heights = [h for h in _parts(shape.height) if h * width <= half]
        if fixed("tile_height"):
            heights = [min(fixed("tile_height") or 1, shape.height)]
        for height in heights:
            rows = activation.rows(height, width)
            outputs = [n for n in _doublings(shape.output_tiles) if n * height * width <= half]
            if shape.by_tiles:
                outputs = outputs[:1]
            if fixed("output_tiles"):
                outputs = [min(fixed("output_tiles") or 1, shape.output_tiles)]
            for count in outputs:
                if count * height * width > half:
                    continue
                depths = [activation.tiles]
                if activation.splittable and activation.tiles * rows * 2 > arch.ibuf_rows:
                    depths += [n for n in _parts(shape.deepest) if n < activation.tiles]
                if fixed("channel_tiles"):
                    wanted = fixed("channel_tiles") or 1
                    fits = activation.splittable or wanted == activation.tiles
                    depths = [min(wanted, activation.tiles)] if fits else []
                for depth in depths:
                    if depth * rows <= arch.ibuf_rows:
                        yield height, width, count, depth
        if shape.arrival or narrow:  # narrow tiles start early
            continue
        if width < shape.width and len(widths) > 1 and arch.ibuf_rows > 4096 and heights:
            # Large memories: narrower tiles only add halo once a full-width row fits.
            if activation.rows(1, width) * 2 * activation.tiles <= arch.ibuf_rows:
                return


def _doublings(limit: int) -> list[int]:
    found = [1]
    while found[-1] * 2 <= limit:
        found.append(found[-1] * 2)
    if found[-1] != limit:
        found.append(limit)
    return found


def _costed(
    arch: Arch,
    activation: ActivationOperand,
    shape: Shape,
    candidate: tuple[int, int, int, int],
    weight_tiles: int,
    weight_rows: int,
) -> Plan | None:
    """The plan with its cycles, or None if it does not fit."""
    height, width, outputs, depth = candidate
    keep_inputs = depth == activation.tiles
    rows = activation.rows(height, width)
    spatial = math.ceil(shape.height / height) * math.ceil(shape.width / width)
    groups = math.ceil(shape.output_tiles / outputs)
    fetches = spatial if keep_inputs else spatial * groups * math.ceil(shape.deepest / depth)
    if fetches > 1 and 2 * depth * rows > arch.ibuf_rows:
        return None
    result = outputs * height * width * arch.lanes
    vmem = result * shape.vmem_bytes + 2 * height * width * arch.lanes * shape.factor_bytes
    if shape.pool is not None:  # bands of whole rows, one output tile at a time
        stride = shape.pool.window.strides[0]
        if width < shape.width or outputs > 1 or (height % stride and height < shape.height):
            return None
        vmem = shape.pool.vmem_bytes(height, shape.output_tiles, arch.lanes)
    if vmem > arch.vmem_bytes:
        return None
    taps = activation.taps_y * activation.taps_x
    weight_bytes = shape.passes * taps * arch.rows * arch.wbuf_row_bytes
    keep_weights = (
        spatial > 1 and keep_inputs and weight_bytes <= arch.wbuf_bytes
    )
    matrix = 0.0
    for count_y, tall in _edges(shape.height, height):
        for count_x, wide in _edges(shape.width, width):
            matrix += count_y * count_x * max(tall * wide, arch.rows)
    matrix *= shape.passes * taps
    positions = shape.height * shape.width
    block = arch.rows
    runs, run = activation.run_bytes(height, width)
    run_cycles = run / arch.bytes_per_cycle
    if run % arch.bytes_per_cycle:
        run_cycles = (run - 1) / arch.bytes_per_cycle + 1  # wherever on the bus's grid it begins
    reloads = fetches * depth if not keep_inputs else spatial * activation.tiles
    inputs = reloads * runs * run_cycles
    vectors = positions * shape.output_tiles
    out_bytes = vectors * block * (shape.element_bytes + shape.residual_bytes)
    out_bytes += positions * groups * block * shape.factor_bytes
    weights = weight_bytes * (1 if keep_weights else spatial)
    chunks = 1 if keep_inputs else math.ceil(shape.deepest / depth)
    products = spatial * shape.output_tiles * chunks * math.ceil(
        min(depth, shape.deepest) / weight_tiles
    )
    code = fetches * 64 + spatial * groups * (128 + 48) + products * (48 + 32)
    dram = inputs + (
        weights + out_bytes + code
    ) / arch.bytes_per_cycle
    vector = vectors * (3 if shape.residual else 1)
    if shape.pool is not None:
        kernel = shape.pool.window.kernel
        vector += vectors  # kept rows, there and back
        vector += shape.pool.out.height * shape.pool.out.width * (
            shape.output_tiles * kernel[0] * kernel[1]
        )
    vector += spatial * groups * INSTRUCTION_CYCLES * (2 if shape.residual else 1)
    # The first output tile starts when a part of its inputs is there.
    parts = FIRST_PARTS if activation.splittable and keep_inputs else 1
    first = depth * runs * run_cycles / min(parts, depth) + weight_tiles * taps * arch.rows
    first += shape.arrival * height * width
    if keep_inputs:  # and then waits for the rest, as far as its passes are shorter
        first += max(0.0, depth * runs * run_cycles - depth * taps * height * width)
    last = result / arch.lanes * (3 if shape.residual else 1)
    last += result * shape.element_bytes / arch.bytes_per_cycle
    cycles = max(matrix, dram, vector) + INTERFERENCE * (matrix + dram + vector) + first + last
    param_tiles = shape.output_tiles
    if param_tiles > arch.param_rows // 2:
        # Loaded ahead; of a memory that the maker of the inputs has most of, where they are made.
        part = arch.param_rows // (8 if shape.arrival else 4)
        param_tiles = max(part // outputs * outputs, outputs)
        if param_tiles > arch.param_rows // 2:
            return None
    return Plan(height, width, outputs, depth, keep_inputs, keep_weights, weight_tiles, weight_rows,
                param_tiles, weight_bytes, matrix, cycles, by_tiles=shape.by_tiles)


def _split_plans(
    arch: Arch, activation: ActivationOperand, shape: Shape, plan: Plan | None
) -> Iterator[Plan]:
    """A plan whose only spatial tile is split where its rows arrive or are read one by one.

    What overlaps has to find place on chip: no more than half of IBUF and VMEM is this layer's.
    """
    if plan is None or plan.width < shape.width or shape.height > 1:
        return
    if not shape.may_split or shape.by_tiles or not splits(shape.width, arch):
        return
    if not (shape.arrival or shape.departure):
        return
    if (
        2 * activation.tiles * activation.rows(1, plan.width) > arch.ibuf_rows
        or plan.param_tiles < shape.output_tiles
        or not plan.keep_inputs
    ):
        return
    part = -(-shape.width // 2)
    tile = shape.deepest * part  # cycles of an output tile of a part

    def tiles(row_cycles: float) -> int:
        wanted = math.ceil((row_cycles * part + SPLIT_CYCLES) / tile)
        return min(wanted, shape.output_tiles) if row_cycles else 0

    head, tail = tiles(shape.arrival), tiles(shape.departure)
    # A group's results, its residual, and the next one's: beside what is made of them.
    element = shape.own_bytes + shape.element_bytes + 2 * shape.residual_bytes
    vectors = arch.vmem_bytes // (arch.lanes * element)
    group = min(max(head, tail), arch.obuf_half_rows // part, vectors // part)
    if head + tail > shape.output_tiles or not group:
        return
    bytes_ = shape.deepest * arch.rows * arch.wbuf_row_bytes
    kept = resident_tiles(arch, shape.deepest, plan.weight_tiles)
    again = max(0, head - kept) + max(0, tail - kept)
    hidden = min(shape.arrival * part, head * tile) + min(shape.departure * part, tail * tile)
    # The bus has time left only where the array is the slower one.
    spare = max(0.0, plan.passes_cycles - plan.weight_bytes / arch.bytes_per_cycle)
    cost = max(0.0, again * bytes_ / arch.bytes_per_cycle - spare)
    yield dataclasses.replace(plan, split=Split(part, head, tail, group),
                              cycles=plan.cycles - hidden + cost)


def resident_tiles(arch: Arch, depth: int, weight_tiles: int) -> int:
    """Output tiles whose weights can stay in WBUF from part to part, in one piece.

    On either side of it there may have to be room for those that stream, twice.
    """
    streaming = 4 * min(depth, weight_tiles) * arch.rows
    return max(0, arch.wbuf_rows - streaming) // (depth * arch.rows)


def _edges(size: int, part: int) -> list[tuple[int, int]]:
    """(count, length) of the full parts and of the rest."""
    full, rest = divmod(size, part)
    return [(full, part)] + ([(1, rest)] if rest else [])


def _too_large(
    arch: Arch, name: str, activation: ActivationOperand, shape: Shape,
    override: LayerOverride | None,
) -> str:
    """Why not even the smallest tile fits."""
    needed = 2 * activation.rows(1, 1) * (1 if activation.splittable else activation.tiles)
    if needed > arch.ibuf_rows:
        more = (needed - arch.ibuf_rows) * arch.ibuf_row_bytes
        return (
            f"layer {name}: two input tiles of one output position must fit IBUF "
            f"({arch.ibuf_bytes} bytes), {more} bytes too many; use a larger configuration"
        )
    if override is not None:
        return limits.refusal(arch, name, activation, shape, override)
    return f"layer {name}: no tiling fits {arch.name}; use a larger configuration"
