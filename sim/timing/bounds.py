"""Lower bounds that reports and cost models compare with; defined in docs/performance.md."""

from __future__ import annotations

from jacquard.proto.lib.arch import Arch
from jacquard.sim.timing.cycles import pass_cycles


def transfer_cycles(size_bytes: int, arch: Arch) -> int:
    """Cycles to move bytes over the DRAM bus, reads and writes together."""
    return -(-size_bytes // arch.bytes_per_cycle)


def roofline_cycles(macs: int, compulsory_bytes: int, arch: Arch) -> int:
    """The whole run cannot be shorter.

    Args:
      macs: multiply-accumulates of the network, padding not counted.
      compulsory_bytes: constants, inputs, outputs and states, each once.
    """
    return max(-(-macs // (arch.rows * arch.cols)), transfer_cycles(compulsory_bytes, arch))


def array_cycles(
    positions: int, taps: int, in_channels: int, out_channels: int, arch: Arch
) -> int:
    """All passes of a convolution or product, channels rounded up to the array.

    Args:
      positions: outputs per channel (height x width, or rows of a matrix).
      taps: kernel height x width; 1 for a product of matrices.
    """
    tiles = -(-in_channels // arch.rows) * -(-out_channels // arch.cols)
    return taps * tiles * pass_cycles(positions, arch.rows)


def layer_floor(array_cycles_: int, dram_bytes: int, arch: Arch) -> int:
    """A layer with every activation through DRAM once: the array or the bus, whichever is slower.

    Args:
      array_cycles_: 0 for layers that the array has no part in.
      dram_bytes: weights, inputs and outputs.
    """
    return max(array_cycles_, transfer_cycles(dram_bytes, arch))
