"""The simulators' arithmetic is vectorised: shows at once when a change of the RTL made it scalar.

Instructions are counted, not time, so the answer does not depend on the machine or its load. In the
process that holds the engines' data (README of hw/, "Speed of the simulators") the array is three
loops over its columns, eight 32-bit products to an instruction; VECTOR's lanes multiply 64 bits.
A loop that g++ leaves scalar has `imul` instead and is three to ten times slower.
"""

from __future__ import annotations

import collections
import re
import subprocess
from pathlib import Path

import pytest

from jacquard.proto.lib.arch import load_config

# The least share of instructions on 256-bit registers; there are 19, 32 and 48 % today.
SHARES = {"edge16": 0.14, "mobile32": 0.24, "server64": 0.36}
_LANES = 8  # 32-bit lanes of such a register


def instruction_mix(binary: Path) -> collections.Counter[str]:
    """Of the model's largest process: all instructions, those on 256 bits, its multiplications."""
    listing = subprocess.run(
        ["objdump", "--disassemble", "--no-show-raw-insn", binary],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    processes: dict[str, collections.Counter[str]] = {}
    mix: collections.Counter[str] = collections.Counter()
    for line in listing.splitlines():
        if function := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            mix = collections.Counter()
            if "nba_sequent" in function[1]:
                mix = processes.setdefault(function[1], mix)
        elif instruction := re.match(r"\s+[0-9a-f]+:\s+(\S+)(.*)", line):
            wide = "ymm" in instruction[2]
            mix["all"] += 1
            mix["wide"] += wide
            if instruction[1] in ("vpmulld", "vpmuludq", "vpmuldq") and wide:
                mix["products32" if instruction[1] == "vpmulld" else "products64"] += 1
    assert processes, f"{binary} has no process of the model's; it must not be stripped"
    return max(processes.values(), key=lambda process: process["all"])


@pytest.mark.parametrize("config", SHARES)
def test_the_engines_work_on_whole_registers(config: str) -> None:
    arch = load_config(config)
    mix = instruction_mix(Path(f"sim/rtl/npu_sim_{config}"))
    print(config, dict(mix))
    assert mix["products32"] >= 3 * arch.cols // _LANES, "hw/matrix/npu_array.sv is not vectorised"
    assert mix["products64"] >= 3 * 16, "hw/vector/npu_vector_lanes.sv is not vectorised"
    share = mix["wide"] / mix["all"]
    assert share >= SHARES[config], f"{share:.0%} of the instructions work on 256 bits: a loop fell"
