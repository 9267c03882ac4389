"""What the host does before the device runs: indices and masks, from inputs nothing quantizes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal



@dataclasses.dataclass(frozen=True)
class Bound:
    """What an int32 input of the device means.

    Attributes:
      role: "index": rows of a table, in ONNX order; "mask": 0 or MASKED, added to logits.
      limit: of an index: the first one that is too large.
      sources: of an index: the model's inputs that it is made of.
    """

    role: Literal["index", "mask"]
    limit: int = 0
    sources: str = ""


@dataclasses.dataclass(frozen=True)
class HostNode:
    """An ONNX node that the host computes, and why."""

    name: str
    op: str
    reason: str


@dataclasses.dataclass(frozen=True)
class HostPart:
    """The nodes in front of the device.

    Attributes:
      model: a serialised onnx.ModelProto whose inputs are the model's and whose outputs are keys
        of `inputs`; empty where the model's inputs are bound as they are.
      nodes: those of `model`, in its order.
      inputs: key of Graph.inputs -> what it means; keys that are missing are quantized inputs.
    """

    model: bytes
    nodes: tuple[HostNode, ...]
    inputs: Mapping[str, Bound]
