"""Mutants of good Programs: the checker's verdict against one computed by brute force.

The oracle lists bytes one by one, orders instructions by closing a graph, and runs the queues in
random order. It shares nothing with the checker but the decoded instructions.
"""

import dataclasses
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacquard.compiler.checker import check, sample_programs
from jacquard.proto import npu_isa
from jacquard.proto.lib import arch, asm
from jacquard.proto.npu_isa import Engine

NANO = arch.load_config("nano4")
GOOD = sample_programs.tiled(NANO, tiles=4, positions=8)
Bytes = set[tuple[int, int]]  # (space, address); spaces as buffers, DRAM segments from 100


def _runs(space: int, base: int, run: int, dims: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [
        (space, base + b + sum(i * s for i, (_, s) in zip(index, dims, strict=True)))
        for index in itertools.product(*(range(n) for n, _ in dims))
        for b in range(run)
    ]


def _touched(i: npu_isa.Instruction) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """(bytes read, bytes written), with repetitions, for the instructions of the sample."""
    if isinstance(i, npu_isa.Load):
        return (
            _runs(100 + i.arg, i.dram, i.n0, [(i.n1, i.s1), (i.n2, i.s2), (i.n3, i.s3)]),
            _runs(i.buffer, i.dst, i.n0, [(i.n1, i.d1), (i.n2, i.d2), (i.n3, i.d3)]),
        )
    if isinstance(i, npu_isa.Store):
        return (
            _runs(i.buffer, i.src, i.n0, [(i.n1, i.l1), (i.n2, i.l2), (i.n3, i.l3)]),
            _runs(100 + i.arg, i.dram, i.n0, [(i.n1, i.s1), (i.n2, i.s2), (i.n3, i.s3)]),
        )
    if isinstance(i, npu_isa.Matrix):
        return (
            _runs(1, 4 * i.ibuf, 4, [(i.n_x, 4 * i.s_x), (i.n_y, 4 * i.s_y)])
            + _runs(2, 4 * i.wbuf, 16 * i.n_c, []),
            _runs(3, 16 * i.obuf, 16 * i.n_x * i.n_y, []),
        )
    if isinstance(i, npu_isa.Vector):
        return (
            _runs(3, i.src1_base, 16, [(i.n0, i.src1_stride0), (i.n1, i.src1_stride1)]),
            _runs(4, i.dst_base, 4, [(i.n0, i.dst_stride0), (i.n1, i.dst_stride1)]),
        )
    return [], []


def _runs_to_its_end(program: list[npu_isa.Instruction], seed: int) -> bool:
    """Queues and counters in random order; a token that is left over counts as not ending."""
    chance = random.Random(seed)
    queues: list[list[npu_isa.Instruction]] = [[] for _ in Engine]
    tokens = {(a, b): 0 for a in Engine for b in Engine}
    rest = list(program[:-1])
    while True:
        steps = []
        if rest and len(queues[rest[0].ENGINE]) < NANO.queue_depth:
            steps.append(-1)
        steps += [
            e
            for e in Engine
            if queues[e] and all(tokens[s, e] for s in Engine if queues[e][0].pop >> s & 1)
        ]
        if not steps:
            return not rest and not any(queues) and not any(tokens.values())
        step = chance.choice(steps)
        if step < 0:
            queues[rest[0].ENGINE].append(rest.pop(0))
            continue
        done = queues[step].pop(0)
        for other in Engine:
            tokens[other, step] -= done.pop >> other & 1
            tokens[step, other] += done.push >> other & 1


def _before(program: list[npu_isa.Instruction]) -> list[set[int]]:
    """For each instruction those that finish before it starts: closure of the token graph."""
    edges: list[set[int]] = [set() for _ in program]
    for a in Engine:
        own = [k for k, i in enumerate(program) if i.ENGINE == a]
        for earlier, later in itertools.pairwise(own):
            edges[later].add(earlier)
        for b in Engine:
            pushers = [k for k, i in enumerate(program) if i.ENGINE == a and i.push >> b & 1]
            poppers = [k for k, i in enumerate(program) if i.ENGINE == b and i.pop >> a & 1]
            for pusher, popper in zip(pushers, poppers, strict=True):
                edges[popper].add(pusher)
    changed = True
    while changed:
        changed = False
        for known in edges:
            more = set().union(*(edges[k] for k in known)) - known
            known |= more
            changed |= bool(more)
    return edges


def _is_safe(program: list[npu_isa.Instruction], seed: int = 0) -> bool:
    sizes = {
        1: NANO.ibuf_bytes,
        2: NANO.wbuf_bytes,
        3: NANO.obuf_bytes,
        4: NANO.vmem_bytes,
        101: 4096,
        102: 4096,
        103: 4096,
    }
    touched = [_touched(i) for i in program]
    for i, (read, written) in zip(program, touched, strict=True):
        if any(not 0 <= a < sizes[s] for s, a in read + written):
            return False
        if len(set(written)) < len(written) or set(read) & set(written):
            return False
        # Every address of an iterator, so strides of loops that run once do not matter.
        if isinstance(i, npu_isa.Vector) and (
            any(a % 16 for _, a in read[::16]) or any(a % 4 for _, a in written[::4])
        ):
            return False
    if not _runs_to_its_end(program, seed):
        return False
    before = _before(program)
    for a, b in itertools.combinations(range(len(program)), 2):
        if program[a].ENGINE == program[b].ENGINE or a in before[b] or b in before[a]:
            continue
        (read_a, written_a), (read_b, written_b) = touched[a], touched[b]
        if set(written_a) & set(read_b + written_b) or set(read_a) & set(written_b):
            return False
    return True


def _verdict(program: list[npu_isa.Instruction]) -> list[str]:
    return check.check(sample_programs.link(NANO, program), NANO)


def _token_edges(program: list[npu_isa.Instruction]) -> list[tuple[int, int]]:
    return [
        (pusher, popper)
        for a in Engine
        for b in Engine
        for pusher, popper in zip(
            [k for k, i in enumerate(program) if i.ENGINE == a and i.push >> b & 1],
            [k for k, i in enumerate(program) if i.ENGINE == b and i.pop >> a & 1],
            strict=True,
        )
    ]


def test_the_good_program_is_good() -> None:
    assert _is_safe(GOOD)
    assert _verdict(GOOD) == []


@pytest.mark.parametrize(("pusher", "popper"), _token_edges(GOOD))
def test_every_token_of_it_is_needed(pusher: int, popper: int) -> None:
    mutant = list(GOOD)
    source, target = GOOD[pusher].ENGINE, GOOD[popper].ENGINE
    mutant[pusher] = dataclasses.replace(GOOD[pusher], push=GOOD[pusher].push & ~(1 << target))
    mutant[popper] = dataclasses.replace(GOOD[popper], pop=GOOD[popper].pop & ~(1 << source))
    assert not _is_safe(mutant)
    lines = _verdict(mutant)
    assert any("must be ordered by tokens" in line for line in lines), lines


@pytest.mark.parametrize("index", range(len(GOOD) - 1))
@pytest.mark.parametrize("mask", ["pop", "push"])
@pytest.mark.parametrize("engine", Engine)
def test_a_single_token_more_or_less_is_caught(index: int, mask: str, engine: Engine) -> None:
    changed = getattr(GOOD[index], mask) ^ 1 << engine
    mutant = [*GOOD]
    mutant[index] = dataclasses.replace(GOOD[index], **{mask: changed})
    assert _verdict(mutant) != []


# Fields that the oracle understands, and values near those of the sample.
_FIELDS = {
    npu_isa.Load: ["dst", "dram", "n0", "n1", "n2", "d1", "d2", "s1", "arg"],
    npu_isa.Matrix: ["ibuf", "wbuf", "obuf", "n_x", "n_y", "n_c", "s_x", "s_y"],
    npu_isa.Vector: [
        "src1_base",
        "src1_stride0",
        "src1_stride1",
        "dst_base",
        "dst_stride0",
        "dst_stride1",
        "n0",
        "n1",
    ],
    npu_isa.Store: ["src", "dram", "n0", "n1", "l1", "s1", "arg"],
}
_STRIDES = {
    "d1",
    "d2",
    "s1",
    "s_x",
    "s_y",
    "l1",
    "src1_stride0",
    "src1_stride1",
    "dst_stride0",
    "dst_stride1",
}


@st.composite
def _mutants(draw: st.DrawFn) -> str:
    """In text form, which reads better where hypothesis prints it."""
    program = list(GOOD)
    for _ in range(draw(st.integers(1, 3))):
        index = draw(st.integers(0, len(program) - 2))
        kind = type(program[index])
        if draw(st.integers(0, 5)) == 0:
            other = draw(st.integers(0, len(program) - 2))
            program[index], program[other] = program[other], program[index]
            continue
        name = draw(st.sampled_from(_FIELDS[kind]))
        old = getattr(program[index], name)
        if name == "arg":
            value = draw(st.sampled_from([2, 3]))
        elif name.startswith("n"):
            value = draw(st.integers(1, 3)) if old <= 3 else draw(st.integers(1, 2 * old))
        else:
            step = draw(st.sampled_from([1, 4, 16, 32]))
            value = old + step * draw(st.integers(-4, 8))
            value = value if name in _STRIDES else max(0, value)
        program[index] = dataclasses.replace(program[index], **{name: value})
    return asm.disassemble_program(program)


@settings(max_examples=300, deadline=None)
@given(_mutants(), st.integers(0, 1000))
def test_verdicts_agree_with_brute_force(text: str, seed: int) -> None:
    mutant = asm.assemble(text)
    safe = _is_safe(mutant, seed)
    lines = _verdict(mutant)
    assert (lines == []) == safe, lines
