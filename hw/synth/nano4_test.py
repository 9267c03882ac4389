"""The synthesized chip has what its configuration says; nothing was lost or became flip-flops."""

import json
from pathlib import Path

from jacquard.proto.lib import arch as arch_lib

ARCH = arch_lib.load_config("nano4")
CELLS: dict[str, int] = json.loads(Path("hw/synth/nano4.json").read_text(encoding="utf-8"))[
    "cells_by_type"
]
# A DP16KD holds 18432 bits, at most 36 of them in a row.
BLOCK_BITS = 18432
BLOCK_WIDTH = 36


def blocks(width: int, bits: int) -> int:
    """The fewest block RAMs for a memory with rows of `width` bits."""
    return max(-(-width // BLOCK_WIDTH), -(-bits // BLOCK_BITS))


def test_on_chip_memories_are_block_ram() -> None:
    lane_bits = 32 * ARCH.lanes
    needed = {
        "ibuf": blocks(8 * max(ARCH.rows, ARCH.lanes), 8 * ARCH.ibuf_bytes),
        "wbuf": blocks(8 * ARCH.cols, 8 * ARCH.wbuf_bytes),
        "obuf, two halves": 2 * blocks(ARCH.acc_bits * ARCH.cols, 4 * ARCH.obuf_bytes),
        "vmem, four banks": 4 * blocks(8 * ARCH.lanes, 2 * ARCH.vmem_bytes),
        "param, biases and multipliers": 2 * blocks(lane_bits, 4 * ARCH.param_bytes),
        "table, copies of two ports": ARCH.table_copies * blocks(32, 8 * ARCH.table_bytes),
        "beats of load": blocks(8 * ARCH.bytes_per_cycle, 8 * ARCH.load.buffer_bytes),
        "beats of fetch": blocks(8 * ARCH.bytes_per_cycle, 8 * ARCH.fetch_buffer_bytes),
    }
    assert CELLS["DP16KD"] >= sum(needed.values()), needed
    assert CELLS["DP16KD"] * BLOCK_BITS >= 8 * ARCH.on_chip_bytes


def test_array_is_multipliers() -> None:
    # A multiply-accumulate's factors fit one 18x18 multiplier; VECTOR's product of 64 and 32 bits
    # takes at least four more a lane.
    assert CELLS["MULT18X18D"] >= ARCH.rows * ARCH.cols + 4 * ARCH.lanes


def test_weights_are_registers() -> None:
    # Active and shadow weights, less their zero points, one bit wider than a weight.
    assert CELLS["TRELLIS_FF"] >= 2 * ARCH.rows * ARCH.cols * (ARCH.weight_bits + 1)
