"""Folded patterns copy exactly the runs they were made of."""

import itertools

import numpy as np
import pytest

from jacquard.compiler.tile.move import MAX_RUN, Pattern, fold_runs


def _unfolded(patterns: list[Pattern]) -> dict[int, int]:
    """Destination byte -> source byte."""
    found: dict[int, int] = {}
    for dst, src, run, dims in patterns:
        ranges = [range(count) for count, _, _ in dims]
        for index in itertools.product(*ranges):
            d = dst + sum(i * dim[1] for i, dim in zip(index, dims, strict=True))
            s = src + sum(i * dim[2] for i, dim in zip(index, dims, strict=True))
            for b in range(run):
                assert d + b not in found
                found[d + b] = s + b
    return found


@pytest.mark.parametrize("seed", range(60))
def test_random_runs(seed: int) -> None:
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 60))
    length = random.integers(1, 4, count)
    dst = np.cumsum(length + random.integers(0, 2, count)) - length
    src = random.integers(0, 6, count).cumsum() * int(random.integers(1, 5))
    expected = {
        int(d) + b: int(s) + b for d, s, n in zip(dst, src, length, strict=True) for b in range(n)
    }
    assert _unfolded(fold_runs(dst, src, length)) == expected


def test_a_regular_copy_is_one_pattern() -> None:
    """4 planes of 3 rows of 5 runs: four dimensions, the most that an instruction has."""
    p, y, x = np.meshgrid(np.arange(4), np.arange(3), np.arange(5), indexing="ij")
    dst = (p * 1000 + y * 100 + x * 10).reshape(-1)
    src = (p * 7000 + y * 500 + x * 20).reshape(-1)
    patterns = fold_runs(dst, src, np.full(60, 8))
    assert patterns == [(0, 0, 8, ((5, 10, 20), (3, 100, 500), (4, 1000, 7000)))]


def test_pairs_fold_to_pairs() -> None:
    """a a+1 | b b+1 | ...: the jump between pairs is a dimension of its own."""
    dst = np.array([0, 2, 10, 12, 20, 22])
    assert len(fold_runs(dst, dst * 3, np.ones(6, np.int64))) == 1


def test_long_runs_are_cut() -> None:
    patterns = fold_runs(np.array([0]), np.array([5]), np.array([2 * MAX_RUN]))
    assert patterns == [(0, 5, MAX_RUN, ((2, MAX_RUN, MAX_RUN), (1, 0, 0), (1, 0, 0)))]
