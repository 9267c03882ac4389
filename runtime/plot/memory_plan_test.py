"""The picture of a plan: boxes lie where tensors do."""

import xml.etree.ElementTree as ElementTree

from jacquard.proto import program_pb2 as pb
from jacquard.runtime.plot.memory_plan import plan_chart

SVG = "{http://www.w3.org/2000/svg}"


def test_boxes_lie_where_tensors_do() -> None:
    plan = pb.MemoryPlan(naive_bytes=384, lower_bound_bytes=256, planned_bytes=256)
    plan.allocations.add(tensor="a <b>", offset_bytes=0, size_bytes=128, first_layer=0, end_layer=2)
    plan.allocations.add(tensor="c", offset_bytes=128, size_bytes=128, first_layer=1, end_layer=4)
    plan.allocations.add(tensor="d", offset_bytes=0, size_bytes=128, first_layer=2, end_layer=4)
    tree = ElementTree.fromstring(plan_chart(plan, ["conv", "pool"]).svg())
    boxes = {
        (box.findtext(f"{SVG}title") or ""): [float(box.attrib[name])
                                              for name in ("x", "y", "width", "height")]
        for box in tree.iter(f"{SVG}rect") if box.find(f"{SVG}title") is not None
    }
    assert list(boxes) == [
        "a <b>: 128 bytes at 0, layers 0 (conv) to 1", "c: 128 bytes at 128, layers 1 (pool) to 3",
        "d: 128 bytes at 0, layers 2 to 3",
    ]
    a, c, d = boxes.values()
    assert d[0] == a[0] + a[2] and d[1] == a[1] and d[2] == a[2]  # right behind, at the same height
    assert abs(c[1] + c[3] - a[1]) < 0.02 and abs(c[2] - 1.5 * a[2]) < 0.02  # on top of a, longer


def test_a_plan_of_nothing_is_a_picture_too() -> None:
    assert plan_chart(pb.MemoryPlan()).svg().startswith("<svg")
