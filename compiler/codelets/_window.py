"""Sliding windows as ONNX writes them: auto_pad, ceil_mode, output sizes."""

from __future__ import annotations

import numpy as np

from jacquard.compiler.codelets.base import Array, Node
from jacquard.compiler.tile.operand import Window
from jacquard.proto.lib.errors import UserError


def window_of(node: Node, size: tuple[int, ...], kernel: tuple[int, ...]) -> Window:
    """The window of a Conv or pooling node over an image of `size`.

    Raises UserError where it is not two-dimensional or its lists disagree.
    """
    kernel = tuple(int(n) for n in node.get("kernel_shape", kernel))
    strides = tuple(int(n) for n in node.get("strides", (1, 1)))
    dilations = tuple(int(n) for n in node.get("dilations", (1, 1)))
    if not len(kernel) == len(strides) == len(dilations) == len(size) == 2:
        raise UserError(
            f"{node.place}: must be two-dimensional, got kernel {kernel}, strides {strides}, "
            f"dilations {dilations} over {tuple(size)}; reshape the model to images"
        )
    auto = node.get("auto_pad", "NOTSET")
    pads = [int(n) for n in node.get("pads", (0, 0, 0, 0))]
    if auto == "VALID":
        pads = [0, 0, 0, 0]
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        for axis in (0, 1):
            reach = (kernel[axis] - 1) * dilations[axis] + 1
            output = -(-size[axis] // strides[axis])
            total = max((output - 1) * strides[axis] + reach - size[axis], 0)
            small, large = total // 2, total - total // 2
            pads[axis], pads[axis + 2] = (
                (small, large) if auto == "SAME_UPPER" else (large, small)
            )
    if min(pads) < 0:
        raise UserError(f"{node.place}: pads must not be negative, got {pads}; add a Slice instead")
    return Window((kernel[0], kernel[1]), (strides[0], strides[1]), (dilations[0], dilations[1]),
                  (pads[0], pads[1], pads[2], pads[3]))


def output_size(
    node: Node, size: tuple[int, ...], window: Window, ceil: bool
) -> tuple[int, int]:
    """Output height and width. UserError where the window does not fit."""
    found = []
    for axis in (0, 1):
        reach = (window.kernel[axis] - 1) * window.dilations[axis] + 1
        before, after, stride = window.pads[axis], window.pads[axis + 2], window.strides[axis]
        room = size[axis] + before + after - reach
        if room < 0:
            raise UserError(
                f"{node.place}: the window must fit its padded input, got reach {reach} over "
                f"{tuple(size)} with padding {window.pads}; correct the model"
            )
        count = (-(-room // stride) if ceil else room // stride) + 1
        if ceil and (count - 1) * stride >= size[axis] + before:
            count -= 1  # a window must start inside the input or its leading padding
        found.append(count)
    return found[0], found[1]


def taps(
    x: Array, window: Window, output: tuple[int, int], fill: float
) -> Array:
    """[1, C, H, W] -> [C, ky * kx, OH, OW]: what lies under each window; `fill` outside."""
    (ky, kx), (sy, sx), (dy, dx) = window.kernel, window.strides, window.dilations
    top, left = window.pads[:2]
    height = max((output[0] - 1) * sy + (ky - 1) * dy + 1, x.shape[2] + top)
    width = max((output[1] - 1) * sx + (kx - 1) * dx + 1, x.shape[3] + left)
    padded = np.full((x.shape[1], height, width), fill, np.float64)
    padded[:, top : top + x.shape[2], left : left + x.shape[3]] = x[0]
    found = [
        padded[:, i * dy : i * dy + (output[0] - 1) * sy + 1 : sy,
               j * dx : j * dx + (output[1] - 1) * sx + 1 : sx]
        for i in range(ky) for j in range(kx)
    ]
    return np.stack(found, axis=1)


def convolve(x: Array, weights: Array, window: Window, groups: int) -> Array:
    """Real convolution without bias: x [1, C, H, W], weights [M, C / groups, ky, kx]."""
    size = []
    for axis in (0, 1):
        reach = (window.kernel[axis] - 1) * window.dilations[axis] + 1
        room = x.shape[2 + axis] + window.pads[axis] + window.pads[axis + 2] - reach
        size.append(room // window.strides[axis] + 1)
    columns = taps(x, window, (size[0], size[1]), 0.0)
    depth, per_group = weights.shape[1], weights.shape[0] // groups
    found = []
    for group in range(groups):
        mine = columns[group * depth : (group + 1) * depth].reshape(depth, -1, *size)
        kernel = weights[group * per_group : (group + 1) * per_group].reshape(per_group, depth, -1)
        found.append(np.einsum("mct,cthw->mhw", kernel, mine))
    return np.concatenate(found)[None]
