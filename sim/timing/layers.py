"""What the cycles of a layer are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jacquard.proto import program_pb2 as pb


def layer_cycles(layers: Sequence[pb.Layer], done_cycles: np.ndarray) -> list[int]:
    """From the end of the layer before to the end of this one; they add up to the last one's end.

    Args:
      done_cycles: int64[instructions], when each finished.
    """
    cycles, end = [], 0
    for layer in layers:
        done = int(done_cycles[layer.first_instruction : layer.end_instruction].max())
        cycles.append(max(done - end, 0))
        end = max(end, done)
    return cycles
