"""A picture of a plan of DRAM: what lies where, and from which layer to which."""

from __future__ import annotations

from collections.abc import Sequence

from jacquard.proto import program_pb2 as pb
from jacquard.runtime.plot.axis import Axis
from jacquard.runtime.plot.chart import COLOURS, Chart


def plan_chart(plan: pb.MemoryPlan, layers: Sequence[str] = ()) -> Chart:
    """A box per tensor, from the layer that writes it to the last that reads it, at its addresses.

    layers: names, in their order. A dashed line stands at the most that is live at once.
    """
    last = max((item.end_layer for item in plan.allocations), default=1)
    top = max(plan.planned_bytes, plan.lower_bound_bytes, 1)
    chart = Chart(
        Axis("layer", 0, last),
        Axis("DRAM for activations", 0, 1.05 * top, unit="bytes"),
        width=1000,
        height=360,
    )
    for number, item in enumerate(plan.allocations):
        begins = f" ({layers[item.first_layer]})" if item.first_layer < len(layers) else ""
        chart.box(
            (item.first_layer, item.offset_bytes),
            (item.end_layer, item.offset_bytes + item.size_bytes),
            f"{item.tensor}: {item.size_bytes:,} bytes at {item.offset_bytes:,}, layers "
            f"{item.first_layer}{begins} to {item.end_layer - 1}",
            COLOURS[number % len(COLOURS)],
        )
    chart.line(
        [(0, plan.lower_bound_bytes), (last, plan.lower_bound_bytes)],
        "currentColor",  # a page may be dark
        dashed=True,
        title=f"most alive at once: {plan.lower_bound_bytes:,} bytes",
    )
    return chart
