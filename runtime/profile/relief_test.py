"""Reliefs are runs of the cycle model: of this program, or of one compiled for the machine."""

from __future__ import annotations

import dataclasses

from jacquard.proto.lib.arch import find_config, load_config, read_message
from jacquard.runtime.profile import relief
from jacquard.runtime.profile.sample import compiled, profile, timed
from jacquard.sim.perf.estimate import estimate

MESSAGE = read_message(find_config("nano4"))
NANO4 = load_config("nano4")


def test_each_relief_is_what_the_cycle_model_says() -> None:
    program, _ = timed()
    found = relief.relieved(profile(), program, compiled, relief.machines(MESSAGE))
    cycles = {one.name: one.cycles for one in found.reliefs}
    assert [one.problem for one in found.reliefs] == [""] * len(found.reliefs)
    assert found.base_cycles == estimate(program, NANO4).cycles == found.cycles
    assert cycles["DRAM x 2"] == estimate(program, NANO4, bytes_per_cycle=8).cycles
    assert cycles["no latency"] == estimate(program, NANO4, latency_cycles=1).cycles
    larger = dataclasses.replace(
        NANO4,
        **{
            name: 2 * getattr(NANO4, name)
            for name in ("ibuf_bytes", "wbuf_bytes", "obuf_bytes", "vmem_bytes", "param_bytes")
        },
    )
    assert cycles["buffers x 2"] == estimate(compiled(larger), larger).cycles
    array = dataclasses.replace(larger, rows=8, cols=8, lanes=8)
    assert cycles["array x 2"] == estimate(compiled(array), array).cycles
    # This network multiplies most of the time.
    assert cycles["array x 2"] < 0.8 * found.base_cycles
    assert cycles["no latency"] < found.base_cycles


def test_layers_have_theirs() -> None:
    program, _ = timed()
    found = relief.relieved(profile(), program, compiled, relief.machines(MESSAGE))
    for one in found.reliefs:
        of_layers = sum(layer.relief[one.name] for layer in found.layers)
        assert 0 <= one.cycles - of_layers < 100, one.name


def test_a_machine_that_cannot_be_says_why() -> None:
    program, _ = timed()
    made = read_message(find_config("nano4"))
    made.memory.ibuf_bytes = 3
    tried = [
        relief.Machine("odd", "IBUF of three bytes", made=made),
        relief.Machine("wide", "DRAM of a kilobyte a cycle", {"bytes_per_cycle": 1024}),
    ]
    found = relief.relieved(profile(), program, compiled, tried)
    assert [one.cycles for one in found.reliefs] == [0, 0]
    assert "no such machine: memory.ibuf_bytes must" in found.reliefs[0].problem
    assert "bytes_per_cycle must be a power of two" in found.reliefs[1].problem
    assert all(layer.relief == {} for layer in found.layers)
