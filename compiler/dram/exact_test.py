"""The search against all orders, and against plans whose answer is known."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacquard.compiler.dram import best_fit, exact
from jacquard.compiler.dram import plan as dram
from jacquard.compiler.dram.validate import validate

FEW = st.lists(
    st.builds(
        lambda size, first, length: exact.Live(size, first, first + length),
        st.integers(1, 6), st.integers(0, 4), st.integers(1, 4),
    ),
    min_size=1, max_size=6,
)
MANY = 10**6


def _smallest(tensors: list[exact.Live]) -> int:
    """The best total: every plan that nothing can be pushed down in comes of placing its tensors in
    order of offset, each as low as it goes."""
    best = sum(t.size for t in tensors)
    for order in itertools.permutations(tensors):
        placed: list[tuple[int, exact.Live]] = []
        for tensor in order:
            at = 0
            for offset, other in sorted(placed, key=lambda p: p[0]):
                if other.first < tensor.end and tensor.first < other.end:
                    if offset - at >= tensor.size:
                        break
                    at = max(at, offset + other.size)
            placed.append((at, tensor))
        best = min(best, max(offset + t.size for offset, t in placed))
    return best


@pytest.mark.parametrize("order", exact.Order)
@given(FEW)
@settings(max_examples=60, deadline=None)
def test_finds_the_optimum_and_proves_it(order: exact.Order, tensors: list[exact.Live]) -> None:
    best = _smallest(tensors)
    found = exact.fit(tensors, best, MANY, order)
    assert found.offsets is not None
    for (a, low), (b, other) in itertools.combinations(
        zip(tensors, found.offsets, strict=True), 2
    ):
        if a.first < b.end and b.first < a.end:
            assert low + a.size <= other or other + b.size <= low
    assert max(o + t.size for o, t in zip(found.offsets, tensors, strict=True)) == best
    none = exact.fit(tensors, best - 1, MANY, order)
    assert none.offsets is None and none.complete


@given(FEW)
@settings(max_examples=60, deadline=None)
def test_a_plan_is_the_smallest(tensors: list[exact.Live]) -> None:
    rows = [(f"t{i}", 64 * t.size, t.first, t.end) for i, t in enumerate(tensors)]
    plan = dram.plan(rows)
    assert validate(plan, rows) == []
    assert plan.planned_bytes == 64 * _smallest(tensors)


def test_takes_over_where_no_order_of_best_fit_reaches_the_lower_bound() -> None:
    tensors = [("a", 3, 2, 6), ("b", 4, 4, 8), ("c", 1, 0, 4), ("d", 4, 0, 2), ("e", 2, 2, 5)]
    plan = dram.plan(tensors, alignment=1)
    assert (plan.greedy_bytes, plan.planned_bytes, plan.lower_bound_bytes) == (10, 9, 9)
    assert plan.offsets() == {"a": 2, "b": 5, "c": 5, "d": 0, "e": 0}
    assert _by_best_fit(tensors) == 10


def _by_best_fit(tensors: list[tuple[str, int, int, int]]) -> int:
    sizes = [size for _, size, _, _ in tensors]
    together = [
        [j for j, other in enumerate(tensors) if j != i and other[2] < t[3] and t[2] < other[3]]
        for i, t in enumerate(tensors)
    ]
    greedy = best_fit.best_fit(sizes, together, best_fit.largest_first(sizes))
    return best_fit.total(best_fit.improved(sizes, together, greedy, 9), sizes)


def test_the_limit_counts_branches() -> None:
    tensors = [exact.Live(3 + i % 4, i // 2, i // 2 + 3) for i in range(30)]
    found = exact.fit(tensors, 29, 100, exact.Order.AREA)
    assert found == exact.Found(None, 100, complete=False)
    assert found == exact.fit(tensors, 29, 100, exact.Order.AREA)
