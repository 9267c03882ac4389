"""Chooses tilings by the cycle model: of each layer among its neighbours, then in the network.

First every choice of every group of equal layers is timed in a part of the network around the
group's first layer. Then the whole network decides, group by group, from those that looked best:
what does not help there is rejected, since neighbours overlap. Passes over the groups go on until
none helps any more, or until the evaluations are used up.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

from jacquard.compiler.overrides import LayerOverride
from jacquard.runtime.tune.layers import Group, groups
from jacquard.runtime.tune.network import Network
from jacquard.runtime.tune.work import Job, Times

# Choices of a group that the whole network is timed with before the next group's turn, on the first
# round and on the others.
FIRST, WIDTH = 2, 4

Progress = Callable[[int, int], None]  # evaluations done, and at most


@dataclasses.dataclass(frozen=True)
class Limits:
    """How far a search goes.

    Attributes:
      beam: choices of a layer that are timed among its neighbours.
      evaluations: of the whole network, at most.
      seconds: after which nothing new is begun; None: no limit. It alone makes what is found depend
        on the machine that searches.
    """

    beam: int = 48
    evaluations: int = 200
    seconds: float | None = None


@dataclasses.dataclass(frozen=True)
class Found:
    """What came of a search.

    Attributes:
      default_cycles, cycles: of the whole network, without and with `overrides`.
      parts, wholes: evaluations of either kind.
      ended: "nothing helps any more", or which limit was reached.
    """

    groups: tuple[Group, ...]
    overrides: dict[str, LayerOverride]
    default_cycles: int
    cycles: int
    parts: int
    wholes: int
    ended: str


class _Over(Exception):
    """A limit is reached; its text says which."""


def search(
    network: Network, times: Times, limits: Limits, progress: Progress = lambda done, total: None
) -> Found:
    """Never worse than what the compiler chooses. UserError where that does not compile."""
    return _Search(network, times, limits, progress).run()


State = dict[int, LayerOverride]  # what is fixed, by the group's number


class _Search:
    """The best state so far, and how many evaluations it took."""

    def __init__(
        self, network: Network, times: Times, limits: Limits, progress: Progress
    ) -> None:
        self._times, self._limits, self._progress = times, limits, progress
        self._started = time.monotonic()
        self._network = network
        self._groups = groups(network, network.compiled({}), limits.beam)
        self._best: State = {}
        self._cycles: int | None = None  # of the best
        self._known: set[frozenset[tuple[int, LayerOverride]]] = set()
        self._parts = self._wholes = self._told = 0
        self._most = limits.evaluations + sum(1 + len(group.choices) for group in self._groups)

    def run(self) -> Found:
        """See search."""
        ended = "nothing helps any more"
        self._progress(0, self._most)
        self._consider([{}])
        default = self._cycles
        assert default is not None and self._cycles is not None, "it compiled"
        try:
            looks, saved = self._among_neighbours()
            self._consider([{n: look[0] for n, look in enumerate(looks) if saved[n] > 0}])
            order = sorted(range(len(looks)), key=lambda n: (-saved[n] * self._count(n), n))
            while self._pass(order, looks):
                pass
        except _Over as over:
            ended = str(over)
        return Found(
            self._groups, self._overrides(self._best), default, self._cycles, self._parts,
            self._wholes, ended,
        )  # fmt: skip

    def _among_neighbours(self) -> tuple[list[tuple[LayerOverride, ...]], list[int]]:
        """Every group's choices, fastest first, and what the first one saves of a layer's cycles.

        Where half of the time is over the cost model's order has to do.
        """
        looks = [group.choices for group in self._groups]
        saved = [0] * len(looks)
        weight = [-group.tiled.plan.cycles * len(group.layers) for group in self._groups]
        for number in sorted(range(len(looks)), key=lambda n: (weight[n], n)):
            if self._limits.seconds is not None and 2 * self._spent() > self._limits.seconds:
                break
            group = self._groups[number]
            part = self._network.around(group.name)
            jobs: list[Job] = [({}, part), *(({group.name: c}, part) for c in group.choices)]
            default, *found = self._times(jobs, self._tell)
            self._parts += len(jobs)
            timed = sorted((c, i) for i, c in enumerate(found) if c is not None)
            looks[number] = tuple(group.choices[i] for _, i in timed)
            if timed and default is not None:
                saved[number] = default - timed[0][0]
        return looks, saved

    def _pass(self, order: Sequence[int], looks: Sequence[Sequence[LayerOverride]]) -> bool:
        """All choices of all groups, one group changed at a time: those that looked best of each
        group, then the next ones of each. Whether any helped."""
        before = self._cycles
        most = max(map(len, looks), default=0)
        ends = [*range(FIRST, most, WIDTH), most]
        for first, end in zip([0, *ends], ends, strict=False):
            for number in order:
                tried = [{**self._best, number: c} for c in looks[number][first:end]]
                if first == 0:
                    tried.append({n: c for n, c in self._best.items() if n != number})
                self._consider(tried)
        return self._cycles != before

    def _consider(self, states: Sequence[State]) -> None:
        """Times the whole network with each state that is new, and keeps the best. Raises _Over."""
        new = {frozenset(state.items()): state for state in states}
        new = {key: state for key, state in new.items() if key not in self._known}
        if not new:
            return
        limits = self._limits
        if limits.seconds is not None and self._spent() > limits.seconds and self._wholes:
            raise _Over(f"{limits.seconds:g} seconds are over")
        allowed = list(new.items())[: limits.evaluations - self._wholes]
        jobs: list[Job] = [(self._overrides(state), None) for _, state in allowed]
        for (key, state), cycles in zip(allowed, self._times(jobs, self._tell), strict=True):
            self._known.add(key)
            self._wholes += 1
            if cycles is not None and (self._cycles is None or cycles < self._cycles):
                self._best, self._cycles = state, cycles
        if len(allowed) < len(new):
            raise _Over(f"{limits.evaluations} evaluations are used up")

    def _tell(self) -> None:
        self._told += 1
        self._progress(self._told, self._most)

    def _spent(self) -> float:
        return time.monotonic() - self._started

    def _count(self, number: int) -> int:
        return len(self._groups[number].layers)

    def _overrides(self, state: State) -> dict[str, LayerOverride]:
        return {layer: c for number, c in state.items() for layer in self._groups[number].layers}
