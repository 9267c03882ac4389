"""The checker's oracle: whether a small program is safe, by brute force.

Lists bytes one by one, orders instructions by closing a graph, and runs the queues in random
order. Knows the instructions of the tests' programs on nano4.
"""

import itertools
import random
from collections.abc import Mapping
from types import MappingProxyType

from jacquard.proto import npu_isa
from jacquard.proto.lib import arch
from jacquard.proto.npu_isa import Engine

NANO = arch.load_config("nano4")
SEGMENTS = MappingProxyType({1: 4096, 2: 4096, 3: 4096})  # argument register -> bytes


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


def is_safe(
    program: list[npu_isa.Instruction], seed: int = 0, segments: Mapping[int, int] = SEGMENTS
) -> bool:
    """Whether every address is in range, the program runs to its end, and nothing races."""
    sizes = {
        1: NANO.ibuf_bytes,
        2: NANO.wbuf_bytes,
        3: NANO.obuf_bytes,
        4: NANO.vmem_bytes,
        **{100 + arg: size for arg, size in segments.items()},
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
