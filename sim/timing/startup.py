"""How long a layer takes to start: the array's idle cycles in front of its first pass."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from jacquard.proto import program_pb2 as pb
from jacquard.proto.npu_isa import Bucket, Engine


@dataclasses.dataclass(frozen=True)
class Startup:
    """Of one layer, in cycles; both 0 where it has no array pass.

    They count from the end of the last pass of the layer before, or, where that has none, from its
    end; of the first layer from the run's start.
    """

    idle: int = 0  # until the first pass
    cycles: int = 0  # of these, where VECTOR has no instruction under way either: the start-up


def startups(
    layers: Sequence[pb.Layer],
    engines: np.ndarray,
    start_cycles: np.ndarray,
    done_cycles: np.ndarray,
    buckets: np.ndarray,
) -> list[Startup]:
    """Each layer's.

    Args:
      engines: int64[instructions], Engine, or -1.
      start_cycles: int64[instructions], when each left its queue.
      done_cycles: int64[instructions], when each finished.
      buckets: int64[instructions, buckets], of its engine since the one before had finished.
    """
    vector = np.flatnonzero(engines == Engine.VECTOR)
    ends = done_cycles[vector]
    begins = np.maximum(start_cycles[vector], np.concatenate([[0], ends[:-1]]))
    found, begin = [], 0
    for layer in layers:
        own = np.arange(layer.first_instruction, layer.end_instruction)
        passes = own[engines[own] == Engine.MATRIX]
        if not len(passes):
            begin = max(begin, int(done_cycles[own].max()))
            found.append(Startup())
            continue
        spent = buckets[passes[0]]
        first = int(done_cycles[passes[0]]) - int(spent[Bucket.BUSY])
        idle = max(first - begin, 0)
        at_work = np.minimum(ends, first) - np.maximum(begins, begin)
        found.append(Startup(idle, idle - int(np.maximum(at_work, 0).sum())))
        begin = int(done_cycles[passes[-1]])
    return found
