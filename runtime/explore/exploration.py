"""An exploration from its plan to its front: what is known is taken, what is missing is evaluated.

In: candidates and models. Out: every configuration with what became of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable

from jacquard.runtime.explore import work
from jacquard.runtime.explore.front import Point, combined, front
from jacquard.runtime.explore.space import Candidate
from jacquard.runtime.explore.store import Result, open_store


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is explored, and how it is judged.

    Attributes:
      base: name of the configuration that the candidates differ from.
      sweeps: as the user wrote them.
      combine, costs: see front.py.
    """

    base: str
    sweeps: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    models: tuple[work.Model, ...]
    combine: str
    costs: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Refusal:
    """A configuration without a point, and why: the rules it breaks, or what the compiler said."""

    candidate: Candidate
    reasons: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Exploration:
    """What came of a plan.

    Attributes:
      points: configurations on which every model was compiled, in the order of the plan.
      front: those of them that no other dominates, fastest first.
      refused: the others but for those whose evaluation failed.
      failures: `model on configuration: exception`, a line each; not kept, so tried again.
      reused: results that were there before.
    """

    plan: Plan
    points: tuple[Point, ...]
    front: tuple[Point, ...]
    refused: tuple[Refusal, ...]
    failures: tuple[str, ...]
    reused: int


def jobs_of(plan: Plan) -> list[work.Job]:
    """Every model on every candidate that can be built, configuration by configuration."""
    sources = work.source_digest()
    return [
        work.Job(work.key_of(model, candidate.arch, sources), index, candidate.arch)
        for candidate in plan.candidates
        if not candidate.broken
        for index, model in enumerate(plan.models)
    ]


def explore(
    plan: Plan,
    folder: pathlib.Path,
    processes: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Exploration:
    """Evaluates what FOLDER/points.jsonl does not know yet, and compares.

    Args:
      progress: called with how many jobs are done, at the start and after each.

    Raises:
      UserError: the folder's file belongs to another exploration at work or holds something else,
        or a process was killed.
    """
    jobs = jobs_of(plan)
    failures = []
    with open_store(folder) as store:
        missing = [job for job in jobs if job.key not in store.results]
        done = reused = len(jobs) - len(missing)
        progress(done, len(jobs))
        with contextlib.closing(work.evaluate(missing, plan.models, processes)) as results:
            for result in results:
                if isinstance(result, Result):
                    store.add(result)
                else:
                    failures.append(_failure(plan, result))
                done += 1
                progress(done, len(jobs))
        known = {(j.arch.name, j.model): store.results.get(j.key) for j in jobs}
    return _compare(plan, known, tuple(sorted(failures)), reused)


def _failure(plan: Plan, failure: work.Failure) -> str:
    error = failure.error
    place = f"{plan.models[failure.job.model].name} on {failure.job.arch.name}"
    return f"{place}: {type(error).__name__}: {' '.join(str(error).split())}"


def _compare(
    plan: Plan,
    known: dict[tuple[str, int], Result | None],
    failures: tuple[str, ...],
    reused: int,
) -> Exploration:
    points: list[Point] = []
    refused: list[Refusal] = []
    for candidate in plan.candidates:
        if candidate.broken:
            refused.append(Refusal(candidate, candidate.broken))
            continue
        results = [known[candidate.name, index] for index in range(len(plan.models))]
        reasons = tuple(
            f"{model.name}: {line}"
            for model, result in zip(plan.models, results, strict=True)
            if result is not None
            for line in result.refused
        )
        if reasons:
            refused.append(Refusal(candidate, reasons))
            continue
        cycles = [r.cycles for r in results if r is not None and r.cycles is not None]
        if len(cycles) == len(plan.models):
            by_model = dict(zip((model.name for model in plan.models), cycles, strict=True))
            score = combined(cycles, plan.combine)
            points.append(Point(candidate.arch, candidate.values, by_model, score))
    best = tuple(front(points, plan.costs)) if points else ()
    return Exploration(plan, tuple(points), best, tuple(refused), failures, reused)
