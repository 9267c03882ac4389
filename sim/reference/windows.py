"""Sliding windows: padding, strides, dilations and ceil mode, for convolution and pooling."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.fixed_point import Int64Array
from jacquard.sim.reference.node import Node
from jacquard.sim.reference.value import AnyArray


@dataclass(frozen=True)
class Window:
    """One window shape over the spatial dimensions of an [N, C, spatial...] tensor."""

    spatial: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    output: tuple[int, ...]

    @property
    def taps(self) -> int:
        return int(np.prod(self.kernel))

    @property
    def positions(self) -> int:
        return int(np.prod(self.output))

    def columns(self, x: AnyArray, fill: int) -> AnyArray:
        """The elements under each window: [N, C, taps, positions].

        Ceil mode can reach past the padding; what lies there is filled too.
        """
        if self.taps == 1 and not any(self.before + self.after) and set(self.strides) == {1}:
            return x.reshape(*x.shape[:2], 1, -1)
        reach = tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))
        pads = [(0, 0), (0, 0)]
        for i, size in enumerate(self.spatial):
            needed = (self.output[i] - 1) * self.strides[i] + reach[i]
            pads.append((self.before[i], max(self.after[i], needed - size - self.before[i])))
        padded = np.pad(x, pads, constant_values=fill)
        axes = tuple(range(2, x.ndim))
        view = sliding_window_view(padded, reach, axis=axes)
        steps = tuple(slice(None, None, s) for s in self.strides)
        limit = tuple(slice(0, n) for n in self.output)
        taps = tuple(slice(None, None, d) for d in self.dilations)
        view = view[(slice(None), slice(None), *steps, *taps)][(slice(None), slice(None), *limit)]
        rank = len(axes)
        order = (0, 1, *range(2 + rank, 2 + 2 * rank), *range(2, 2 + rank))
        columns: AnyArray = view.transpose(order).reshape(
            *x.shape[:2], self.taps, self.positions
        )
        return columns

    def counts(self, include_pad: bool) -> Int64Array:
        """How many elements each average divides by: int64[output...]."""
        ones = np.ones((1, 1, *self.spatial), np.int64)
        window = self
        if include_pad:
            pads = [(0, 0), (0, 0), *zip(self.before, self.after, strict=True)]
            ones = np.pad(ones, pads, constant_values=1)
            none = (0,) * len(self.kernel)
            window = replace(self, spatial=ones.shape[2:], before=none, after=none)
        counts: Int64Array = window.columns(ones, fill=0).astype(np.int64).sum(axis=2)
        return counts.reshape(self.output)


def window_of(node: Node, shape: tuple[int, ...], kernel: tuple[int, ...] | None = None) -> Window:
    """The window of a Conv or pooling node over an input of `shape`.

    Raises:
      UserError: ranks disagree, or the window does not fit.
    """
    spatial = tuple(shape[2:])
    kernel = node.ints("kernel_shape", kernel or ())
    rank = len(spatial)
    strides = node.ints("strides", (1,) * rank)
    dilations = node.ints("dilations", (1,) * rank)
    if not len(kernel) == len(strides) == len(dilations) == rank or rank == 0:
        raise UserError(
            f"{node.place}: kernel, strides and dilations must have {rank} entries, got "
            f"{kernel}, {strides}, {dilations}; correct the model"
        )
    reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    auto_pad = node.get("auto_pad", "NOTSET")
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        output = tuple(-(-n // s) for n, s in zip(spatial, strides, strict=True))
        total = tuple(
            max((o - 1) * s + r - n, 0)
            for o, s, r, n in zip(output, strides, reach, spatial, strict=True)
        )
        small = tuple(t // 2 for t in total)
        large = tuple(t - t // 2 for t in total)
        before, after = (small, large) if auto_pad == "SAME_UPPER" else (large, small)
        return Window(spatial, kernel, strides, dilations, before, after, output)
    pads = node.ints("pads", (0,) * (2 * rank)) if auto_pad == "NOTSET" else (0,) * (2 * rank)
    before, after = pads[:rank], pads[rank:]
    ceil = bool(node.get("ceil_mode", 0))
    sizes = []
    for n, b, a, r, s in zip(spatial, before, after, reach, strides, strict=True):
        room = n + b + a - r
        size = (-(-room // s) if ceil else room // s) + 1
        if ceil and (size - 1) * s >= n + b:
            size -= 1  # a window must start inside the input or its leading padding
        sizes.append(size)
        if room < 0:
            raise UserError(
                f"{node.place}: the window must fit its padded input, got reach {reach} over "
                f"{spatial} with padding {pads}; correct the model"
            )
    return Window(spatial, kernel, strides, dilations, before, after, tuple(sizes))
