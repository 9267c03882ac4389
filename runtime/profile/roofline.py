"""The page's roofline: how near each layer comes to what array and bus can give."""

from __future__ import annotations

import math

from jacquard.runtime.plot.axis import Axis
from jacquard.runtime.plot.chart import COLOURS, Chart
from jacquard.runtime.plot.page import legend, paragraph
from jacquard.runtime.profile.measure import Profile

_NAMED = 5  # of the dots above the roof


def roofline(profile: Profile) -> list[str]:
    """MACs per byte against MACs per cycle, both logarithmic, a dot per layer with products."""
    arch = profile.arch
    peak, width = float(arch.rows * arch.cols), float(arch.bytes_per_cycle)
    dots = [
        (
            layer,
            layer.macs / max(layer.read_bytes + layer.write_bytes, 1),
            layer.macs / layer.cycles,
        )
        for layer in profile.layers
        if layer.macs and layer.cycles
    ]
    if not dots:
        return [paragraph("No layer multiplies: nothing lies on a roofline.")]
    ridge = peak / width

    def decades(values: list[float]) -> tuple[float, float]:
        return 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values)))

    low_x, high_x = decades([ridge / 2, 2 * ridge, *(x for _, x, _ in dots)])
    low_y, high_y = decades([peak, 1.01 * peak, width * low_x, *(y for _, _, y in dots)])
    chart = Chart(
        Axis("MACs per byte of DRAM traffic", low_x, high_x, log=True),
        Axis("MACs in a cycle", low_y, high_y, log=True),
        width=1000,
        height=460,
    )
    roof = [(max(low_x, low_y / width), max(low_y, low_x * width)), (ridge, peak), (high_x, peak)]
    chart.line(roof, "#555555", title=f"{width:.0f} bytes and {peak:.0f} MACs a cycle")
    chart.line([(ridge, low_y), (ridge, peak)], "#999999", dashed=True, title=f"ridge {ridge:.3g}")
    bounds = sorted({layer.bound for layer, _, _ in dots})
    colours = {bound: COLOURS[n % len(COLOURS)] for n, bound in enumerate(bounds)}
    for layer, x, y in dots:
        told = (
            f"{layer.name} ({layer.op}): {layer.cycles:,} cycles, {y:.1f} MACs a cycle, "
            f"{x:.1f} MACs a byte, bound by {layer.bound}"
        )
        chart.dot(x, y, told, colours[layer.bound])
    notes = []
    without = len(profile.layers) - len(dots)
    if without:
        notes.append(
            "1 layer does not multiply and is not shown."
            if without == 1
            else f"{without} layers do not multiply and are not shown."
        )
    above = [layer.name for layer, x, y in dots if y > min(peak, width * x)]
    if above:
        notes.append(_above(above, profile))
    notes.append("Pointing at a dot names its layer. Dots by what bounds the layer:")
    return [
        f'<div id="roofline">{chart.svg()}</div>',
        *(paragraph(note) for note in notes),
        legend((colours[bound], bound) for bound in bounds),
    ]


def _above(names: list[str], profile: Profile) -> str:
    """Why a layer can lie there, where the run as a whole cannot."""
    shown = ", ".join(names[:_NAMED]) + (" and others" if len(names) > _NAMED else "")
    count = "1 dot lies" if len(names) == 1 else f"{len(names)} dots lie"
    arch = profile.arch
    intensity = profile.macs / max(profile.read_bytes + profile.write_bytes, 1)
    roof = min(arch.rows * arch.cols, arch.bytes_per_cycle * intensity)
    return (
        f"{count} above the roof ({shown}): layers overlap. A layer's cycles start where the layer "
        "before it ends; what it loaded and multiplied earlier is its work, but not its time. "
        f"The run as a whole does {profile.macs / profile.cycles:.1f} MACs a cycle, of the "
        f"{roof:.1f} that its {intensity:.1f} MACs a byte allow."
    )
