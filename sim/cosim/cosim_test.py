"""Random programs in RTL against sim/func, bit for bit: 2500 for each configuration.

More: `bazel run //sim/cosim:main -- --config edge16 --seed 10000 --count 100000`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from jacquard.proto.lib.arch import load_config
from jacquard.sim.cosim.run import compare

_SHARD = 500


@pytest.mark.parametrize("first", range(0, 2500, _SHARD))
@pytest.mark.parametrize("config", ["nano4", "edge16"])
def test_rtl_and_func_agree_on_random_programs(config: str, first: int) -> None:
    binary = Path(f"sim/rtl/npu_sim_{config}").absolute()
    summary = compare(binary, load_config(config), range(first, first + _SHARD))
    assert summary.programs == _SHARD
    assert summary.statuses["OK"] > 0.8 * _SHARD
    assert summary.statuses["ILLEGAL"] and summary.statuses["LOCAL_RANGE"]
    assert not summary.failed, summary.text()
