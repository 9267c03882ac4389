"""What is ordered before what: tokens, queues and the fetch order, executed abstractly.

In: per instruction its engine, pop and push masks. Out: a vector clock per instruction, or the
reason why the program cannot run to its end.

The machine is a network of bounded FIFOs read in a fixed order, so whether it deadlocks does not
depend on how long anything takes: one execution decides. This one is the tightest that the hardware
may be: an engine runs one instruction at a time and keeps it until all of its tokens are pushed.

Clock of an instruction i: for each engine X, how many instructions of X have finished before i
starts. The k-th pop of a pair of engines takes the token of the k-th push, since both happen in
program order of their engine.
"""

import dataclasses
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from jacquard.proto import npu_isa

ENGINES = len(npu_isa.Engine)
Clock = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Order:
    """`position[i]`: place of instruction i among those of its engine; -1 for `end`.

    `start[i]`: its clock, zero if it never starts. `stuck`: why the run does not end, or empty.
    """

    position: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]  # [instructions, engines]
    stuck: list[str]


def execute(
    engines: Sequence[int],
    pops: Sequence[int],
    pushes: Sequence[int],
    queue_depth: int,
    max_tokens: int,
    describe: Callable[[int], str],
) -> Order:
    """Runs the program's synchronisation. `engines[i]` is -1 for `end`, which stops fetch."""
    count = len(engines)
    position = [-1] * count
    start: list[Clock] = [(0,) * ENGINES] * count
    queues: list[deque[int]] = [deque() for _ in range(ENGINES)]
    tokens: list[list[deque[Clock]]] = [[deque() for _ in range(ENGINES)] for _ in range(ENGINES)]
    clock: list[list[int]] = [[0] * ENGINES for _ in range(ENGINES)]
    held = [-1] * ENGINES  # finished, but a counter that it pushes to is full
    bits = [[e for e in range(ENGINES) if mask >> e & 1] for mask in range(1 << ENGINES)]
    fetched = 0
    moved = True
    while moved:
        moved = False
        while fetched < count:
            engine = engines[fetched]
            if engine < 0 or len(queues[engine]) >= queue_depth:
                break
            queues[engine].append(fetched)
            fetched += 1
            moved = True
        for engine in range(ENGINES):
            queue = queues[engine]
            mine = clock[engine]
            while True:
                if held[engine] >= 0:
                    index = held[engine]
                    if any(len(tokens[engine][to]) >= max_tokens for to in bits[pushes[index]]):
                        break
                    finished = tuple(mine)
                    for to in bits[pushes[index]]:
                        tokens[engine][to].append(finished)
                    held[engine] = -1
                    moved = True
                if not queue:
                    break
                index = queue[0]
                sources = bits[pops[index]]
                if any(not tokens[source][engine] for source in sources):
                    break
                queue.popleft()
                for source in sources:
                    token = tokens[source][engine].popleft()
                    for e in range(ENGINES):
                        if token[e] > mine[e]:
                            mine[e] = token[e]
                position[index] = mine[engine]
                start[index] = tuple(mine)
                mine[engine] += 1
                held[engine] = index
                moved = True
    stuck = _stuck(engines, pops, pushes, queues, tokens, held, fetched, bits, max_tokens, describe)
    return Order(
        np.array(position, dtype=np.int64),
        np.array(start, dtype=np.int64).reshape(-1, ENGINES),
        stuck,
    )


def _stuck(
    engines: Sequence[int],
    pops: Sequence[int],
    pushes: Sequence[int],
    queues: list[deque[int]],
    tokens: list[list[deque[Clock]]],
    held: list[int],
    fetched: int,
    bits: list[list[int]],
    max_tokens: int,
    describe: Callable[[int], str],
) -> list[str]:
    """Lines for whatever remains once nothing moves; none if all ran and all tokens were taken."""
    names = [e.name for e in npu_isa.Engine]
    found = []
    for engine, index in enumerate(held):
        if index >= 0:
            to = [names[t] for t in bits[pushes[index]] if len(tokens[engine][t]) >= max_tokens]
            found.append(
                f"{describe(index)}: must be able to push, got a full counter "
                f"({max_tokens} tokens) to {', '.join(to)}; pop them earlier"
            )
    for engine, queue in enumerate(queues):
        if not queue:
            continue
        index = queue[0]
        lacking = [s for s in bits[pops[index]] if not tokens[s][engine]]
        for source in lacking:
            later = next(
                (
                    i
                    for i in range(len(engines))
                    if engines[i] == source
                    and pushes[i] >> engine & 1
                    and (i >= fetched or i in queues[source])
                ),
                None,
            )
            reason = (
                "no instruction is left that pushes it"
                if later is None
                else f"instruction {later}, which pushes it, waits behind"
            )
            found.append(
                f"{describe(index)}: must get a token of {names[source]}, {reason}; "
                "the program deadlocks"
            )
    if found or (fetched < len(engines) and engines[fetched] >= 0):
        return found
    for source in range(ENGINES):
        for engine in range(ENGINES):
            left = len(tokens[source][engine])
            if left:
                found.append(
                    f"tokens {names[source]} to {names[engine]}: pops must equal pushes, "
                    f"got {left} left at the end; pop them or do not push them"
                )
    return found
