"""What a user's override allows, and which of the machine's limits it breaks."""

from __future__ import annotations

from jacquard.compiler.overrides import TILING, LayerOverride
from jacquard.compiler.tile.operand import ActivationOperand
from jacquard.compiler.tile.tiling import Plan, Shape
from jacquard.proto.lib.arch import Arch


def allows(override: LayerOverride | None, plan: Plan, shape: Shape) -> bool:
    """Whether a plan has the order that is wanted; its sizes are what `plan` makes them."""
    if override is None or override.order is None:
        return True
    if override.order == "inputs":
        return plan.keep_inputs
    whole = plan.height >= shape.height and plan.width >= shape.width
    return plan.keep_weights or whole  # of one spatial tile each weight is loaded once anyway


def refusal(
    arch: Arch, name: str, activation: ActivationOperand, shape: Shape, override: LayerOverride
) -> str:
    """The layer, the fields and the limit. Fields that are not given count at their smallest."""
    height, width, outputs = (
        min(getattr(override, field) or 1, most) for field, most in (
            ("tile_height", shape.height), ("tile_width", shape.width),
            ("output_tiles", shape.output_tiles),
        )
    )
    depth = min(override.channel_tiles or (1 if activation.splittable else activation.tiles),
                activation.tiles)
    if override.order == "inputs":
        depth = activation.tiles
    channels = override.channel_tiles
    if channels not in (None, activation.tiles) and not activation.splittable:
        return (
            f"override of layer {name}: channel_tiles must be all {activation.tiles} of inputs that "
            f"lie together in DRAM, got {channels}; leave it out"
        )
    rows = activation.rows(height, width) * depth
    several = height < shape.height or width < shape.width or depth < activation.tiles
    sums, results = height * width * outputs, height * width * outputs * arch.lanes

    def line(fields: tuple[str, ...], limit: str, way: str) -> str:
        given = [f"{field} {getattr(override, field)}" for field in override.given(fields)]
        return f"override of layer {name}: {', '.join(given)} must fit {limit}; {way}"

    if sums > arch.obuf_half_rows:
        return line(
            ("tile_height", "tile_width", "output_tiles"),
            f"half of OBUF ({arch.obuf_half_rows} rows), needs {sums}", "give smaller ones",
        )
    if rows * (1 + several) > arch.ibuf_rows:
        twice = ", twice since the next tile's arrive meanwhile" if several else ""
        return line(
            ("tile_height", "tile_width", "channel_tiles", "order"),
            f"IBUF ({arch.ibuf_bytes} bytes), needs {rows * arch.ibuf_row_bytes}{twice}",
            "give smaller ones",
        )
    if results * shape.vmem_bytes > arch.vmem_bytes:
        return line(
            ("tile_height", "tile_width", "output_tiles"),
            f"VMEM ({arch.vmem_bytes} bytes), needs {results * shape.vmem_bytes} for results",
            "give smaller ones",
        )
    taps = activation.taps_y * activation.taps_x
    weights = shape.passes * taps * arch.rows * arch.wbuf_row_bytes
    if override.order == "weights" and weights > arch.wbuf_bytes:
        return line(
            ("order",), f"WBUF ({arch.wbuf_bytes} bytes), needs {weights} for all weights", "leave "
            "it out",
        )
    if len(override.given(TILING)) == 1:
        limit = f"{arch.name} beside other sizes, beside none does"
        return line(TILING, limit, "give a smaller one")
    return line(TILING, f"{arch.name} together, no tiling does", "leave one of them out")
