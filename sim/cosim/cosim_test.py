"""Random programs in RTL against sim/func, bit for bit: 2500 for each configuration.

More: `bazel run //sim/cosim:main -- --config edge16 --seed 10000 --count 100000`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from jacquard.proto.lib.arch import config_names, load_config
from jacquard.sim.cosim.run import compare

_SHARD = 500
# A target holds the simulators of the configurations that it tests.
_BINARIES = {name: Path(f"sim/rtl/npu_sim_{name}").absolute() for name in config_names()}
_CONFIGS = [name for name, binary in _BINARIES.items() if binary.exists()]
assert _CONFIGS, "this test needs the RTL simulator of a configuration"


@pytest.mark.parametrize("first", range(0, 2500, _SHARD))
@pytest.mark.parametrize("config", _CONFIGS)
def test_rtl_and_func_agree_on_random_programs(config: str, first: int) -> None:
    summary = compare(_BINARIES[config], load_config(config), range(first, first + _SHARD))
    assert summary.programs == _SHARD
    assert summary.statuses["OK"] > 0.8 * _SHARD
    assert summary.statuses["ILLEGAL"] and summary.statuses["LOCAL_RANGE"]
    assert not summary.failed, summary.text()
