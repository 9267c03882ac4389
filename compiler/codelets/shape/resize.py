"""Resize by nearest neighbour."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from jacquard.compiler.codelets._moves import lower, numbered, parsed, reference
from jacquard.compiler.codelets.base import Array, Case, Codelet, Node, Parsed
from jacquard.proto.lib.errors import UserError

NEAREST: dict[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}
MODES = ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric", "asymmetric", "align_corners")


def parse(node: Node) -> Parsed:
    x = node.activation(0)
    old = node.opset < 11  # X, scales; always asymmetric with floor
    mode = "asymmetric" if old else str(node.get("coordinate_transformation_mode", "half_pixel"))
    if node.get("mode", "nearest") != "nearest" or mode not in MODES:
        raise UserError(
            f"{node.place}: mode must be nearest with one of {', '.join(MODES)}, got "
            f"{node.get('mode', 'nearest')} with {mode}; export the model with one of these"
        )
    if node.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise UserError(
            f"{node.place}: keep_aspect_ratio_policy must be stretch; give the output sizes instead"
        )
    scales = node.constant(1 if old else 2)
    sizes = None if old else node.constant(3)
    axes = [int(a) for a in node.get("axes", range(len(x.shape)))]
    nearest = NEAREST["floor" if old else str(node.get("nearest_mode", "round_prefer_floor"))]
    taken = numbered(x)
    for i, axis in enumerate(axes):
        size = x.shape[axis]
        if sizes is not None and sizes.size:
            count = int(sizes[i])
            scale = count / size
        elif scales is not None and scales.size:
            scale = float(scales[i])
            count = int(np.floor(size * scale))
        else:
            raise UserError(f"{node.place}: scales or sizes must be given; correct the model")
        if count == size and scale == 1.0:
            continue
        rows = np.clip(nearest(_source(mode, size, count, scale)), 0, size - 1)
        taken = taken.take(rows.astype(np.int64), axis)
    return parsed(node, [x], [taken])


def _source(mode: str, size: int, count: int, scale: float) -> Array:
    """Where each output element looks in the input, as ONNX defines it: float64."""
    x = np.arange(count, dtype=np.float64)
    if mode == "asymmetric":
        return x / scale
    if mode == "align_corners":
        return x * (size - 1) / (count - 1) if count > 1 else np.zeros(1)
    if mode == "pytorch_half_pixel" and count == 1:
        return np.zeros(1)
    if mode == "half_pixel_symmetric":
        adjustment = count / (scale * size)
        return size / 2 * (1 - adjustment) + (x + 0.5) / scale - 0.5
    return (x + 0.5) / scale - 0.5


def cases() -> Sequence[Case]:
    def scales(*values: float) -> dict[str, np.ndarray]:
        return {"": np.zeros(0, np.float32), "scales": np.array(values, np.float32)}

    asymmetric = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return [
        Case("twice", {"x": (1, 20, 3, 5)}, asymmetric, scales(1, 1, 2, 2)),
        Case("odd", {"x": (1, 6, 5, 4)}, {}, scales(1, 1, 1.5, 0.5)),
    ]


CODELET = Codelet("Resize", parse, lower, reference, cases, view="image")
