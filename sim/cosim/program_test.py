"""The generator keeps its promises: no races, full coverage, and nothing stays hidden on chip."""

from __future__ import annotations

import collections
import random

import numpy as np
import pytest

from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import load_config
from jacquard.sim.cosim.program import Generator, RandomProgram
from jacquard.sim.func.machine import Machine

_CONFIGS = ("nano4", "edge16", "server64")


def _another_order(program: RandomProgram, rng: random.Random) -> list[isa.Instruction]:
    """The instructions in a random order that tokens and engines allow."""
    queues: list[collections.deque[isa.Instruction]] = [collections.deque() for _ in isa.Engine]
    for instr in program.instructions[:-1]:
        queues[instr.ENGINE or 0].append(instr)
    tokens = np.zeros((4, 4), int)
    order: list[isa.Instruction] = []
    while any(queues):
        ready = [
            engine
            for engine in range(4)
            if queues[engine]
            and all(tokens[o, engine] for o in range(4) if queues[engine][0].pop >> o & 1)
        ]
        assert ready, f"seed {program.seed}: deadlock"
        engine = rng.choice(ready)
        for _ in range(rng.choice((1, 1, 100))):  # engines that run far ahead show most
            if not queues[engine]:
                break
            instr = queues[engine][0]
            if not all(tokens[o, engine] for o in range(4) if instr.pop >> o & 1):
                break
            queues[engine].popleft()
            for other in range(4):
                tokens[other, engine] -= instr.pop >> other & 1
                tokens[engine, other] += instr.push >> other & 1
            order.append(instr)
    return [*order, isa.End()]


@pytest.mark.parametrize("config", _CONFIGS)
def test_any_order_that_the_tokens_allow_gives_the_same_memory(config: str) -> None:
    generator = Generator(load_config(config), fault_rate=0.0)
    moved = 0
    for seed in range(60):
        program = generator.program(seed)
        expected = Machine(generator.arch, program.dram.copy())
        expected.run(program.address, program.args)
        for turn in range(3):
            order = _another_order(program, random.Random(turn))
            moved += order != list(program.instructions)
            machine = Machine(generator.arch, program.dram.copy())
            result = machine.run(isa.encode_program(order), program.args)
            assert result.status == isa.Error.OK
            assert machine.dram.tobytes() == expected.dram.tobytes(), f"seed {seed}"
    assert moved > 150  # else this proves little


@pytest.mark.parametrize("config", _CONFIGS)
def test_a_byte_of_any_memory_changed_before_the_dump_shows_in_dram(config: str) -> None:
    generator = Generator(load_config(config), fault_rate=0.0)
    for seed in range(12):
        program = generator.program(seed)
        # The dump begins with the STORE of the whole VMEM window.
        stores = [
            (i, instr)
            for i, instr in enumerate(program.instructions)
            if isinstance(instr, isa.Store)
        ]
        first = next(i for i, instr in stores if instr.dram == generator.layout.dump.start)
        body, dump = program.instructions[:first], program.instructions[first:-1]
        bare = [isa.by_name(i.NAME)(**_without_tokens(i)) for i in dump] + [isa.End()]
        rng = random.Random(seed)
        fill = {
            load.buffer: range(load.dst, load.dst + load.n0 * load.n1)
            for load in body[:6]
            if isinstance(load, isa.Load)
        }
        matrix = next(i for i in body[:6] if isinstance(i, isa.Matrix))
        row = generator.arch.obuf_row_bytes
        fill[isa.Buffer.OBUF] = range(matrix.obuf * row, (matrix.obuf + matrix.n_x) * row)
        assert len(fill) == 6
        results = []
        for buffer in (None, *fill):
            machine = Machine(generator.arch, program.dram.copy())
            machine.run(isa.encode_program([*body, isa.End()]), program.args)
            if buffer is not None:  # the lowest bit of a multiplier may be rounded away
                at = rng.choice(fill[buffer])
                machine.memories.buffer(buffer)[at] ^= 2 << rng.randrange(7)
            machine.run(isa.encode_program(bare), program.args)
            results.append(machine.dram.tobytes())
        for buffer, result in zip(fill, results[1:], strict=True):
            assert result != results[0], f"seed {seed}: {isa.Buffer(buffer).name}"


def _without_tokens(instr: isa.Instruction) -> dict[str, int]:
    return {field.name: getattr(instr, field.name) for field in instr.FIELDS[4:]}


@pytest.mark.parametrize("config", _CONFIGS)
def test_every_value_of_every_enumeration_occurs(config: str) -> None:
    generator = Generator(load_config(config), fault_rate=0.0)
    seen: dict[str, set[int]] = collections.defaultdict(set)
    for seed in range(150):
        program = generator.program(seed)
        assert program.dram.size == generator.layout.size_bytes
        for instr in program.instructions:
            for field in instr.FIELDS[2:]:
                value = int(getattr(instr, field.name))
                seen[f"{instr.NAME}.{field.name}"].add(value)
            if isinstance(instr, isa.Vector):
                seen["vector op x scale"].add(instr.op * 4 + instr.scale)
    vector = {name: seen[f"vector.{name}"] for name in ("op", "reduce", "scale", "dst_dtype")}
    assert vector["op"] == set(isa.VectorOp)
    assert vector["reduce"] == set(isa.ReduceOp)
    assert vector["scale"] == set(isa.ScaleMode)
    assert vector["dst_dtype"] == set(isa.Dtype)
    assert seen["vector.reduce_loops"] == {0, 1, 2, 3, 4}
    assert seen["vector.src1_buffer"] == seen["vector.src2_buffer"] == {0, 1, 3, 4}
    assert seen["vector.dst2_buffer"] == {0, 1, 4}
    assert seen["load.buffer"] == {1, 2, 4, 5, 6}
    assert seen["store.buffer"] == {1, 4}
    assert seen["load.arg"] == set(range(8))
    # Each under three scales, less SADD and LEAKY without one and TRANSPOSE with one.
    assert len(seen["vector op x scale"]) == len(isa.VectorOp) * 3 - 2 - 2
    for name, values in seen.items():
        if not name.endswith((".fill", ".opcode")):
            assert len(values) > 1 or name.startswith("end"), f"{name} is always {values}"
