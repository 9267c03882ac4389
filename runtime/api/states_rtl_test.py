"""States and arguments through the whole chip in RTL, against sim/func."""

from __future__ import annotations

import numpy as np
import pytest

from jacquard.compiler.checker import check
from jacquard.compiler.checker.sample_programs import CACHES, cache_step, link_cache
from jacquard.proto.lib import arch as archs
from jacquard.runtime.api.session import Session
from jacquard.runtime.device.func import FuncDevice
from jacquard.runtime.device.rtl import RtlDevice


@pytest.mark.parametrize("config", ["nano4", "edge16"])
def test_rtl_keeps_the_same_states(config: str) -> None:
    arch = archs.load_config(config)
    program = link_cache(arch, cache_step(arch))
    assert check.check(program, arch) == []
    devices = (RtlDevice(arch, f"sim/rtl/npu_sim_{config}"), FuncDevice(arch))
    both = [Session(program, device, arch) for device in devices]
    random = np.random.default_rng(1)
    for number in (6, 0, 6, 3):
        given = random.integers(-128, 128, (1, 4 * arch.rows)).astype(np.int8)
        for session in both:
            session.run({"rows": given}, arguments={"position": number})
        for name in ("before", "new_keys", "new_values"):
            ours, theirs = (session.last.integers[name] for session in both)
            np.testing.assert_array_equal(ours, theirs)
        for name in CACHES:
            ours, theirs = (session.read_state(name) for session in both)
            np.testing.assert_array_equal(ours, theirs)
            row = given[0].reshape(2, -1)[CACHES.index(name)]
            np.testing.assert_array_equal(ours[number], row)
