"""DRAM plans: small cases worked by hand, random ones against the independent validator."""

import dataclasses
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacquard.compiler.dram import best_fit
from jacquard.compiler.dram import plan as dram
from jacquard.compiler.dram.validate import validate

TENSORS = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(0, 30), st.integers(1, 8)), max_size=25
).map(
    lambda rows: [
        (f"t{i}", size, first, first + length) for i, (size, first, length) in enumerate(rows)
    ]
)


@given(TENSORS, st.sampled_from([1, 16, 64]))
def test_random_plans_are_sound(tensors: list[tuple[str, int, int, int]], alignment: int) -> None:
    result = dram.plan(tensors, alignment)
    assert validate(result, tensors) == []
    # The most live at once, counted layer by layer.
    rounded = {t[0]: -(-t[1] // alignment) * alignment for t in tensors}
    most = max(
        (sum(rounded[t[0]] for t in tensors if t[2] <= layer < t[3]) for layer in range(40)),
        default=0,
    )
    assert result.lower_bound_bytes == most
    assert most <= result.planned_bytes <= result.greedy_bytes <= result.naive_bytes
    assert result.naive_bytes == sum(rounded.values())


@given(TENSORS)
def test_same_input_same_plan(tensors: list[tuple[str, int, int, int]]) -> None:
    assert dram.plan(tensors) == dram.plan(tensors)


def test_a_chain_uses_two_places() -> None:
    chain = [(f"t{i}", 100, i, i + 2) for i in range(10)]
    result = dram.plan(chain, alignment=1)
    assert (result.naive_bytes, result.planned_bytes, result.lower_bound_bytes) == (1000, 200, 200)


def test_the_smallest_gap_that_fits_is_taken() -> None:
    # By size: a at 0, b at 40, c at 60, d at 70. Once a and c are dead, e fits their gaps (40
    # and 10) and takes the smaller.
    tensors = [("a", 40, 0, 1), ("b", 20, 0, 2), ("c", 10, 0, 1), ("d", 9, 0, 2), ("e", 8, 1, 2)]
    result = dram.plan(tensors, alignment=1)
    assert result.offsets() == {"a": 0, "b": 40, "c": 60, "d": 70, "e": 60}


def test_an_order_that_reaches_the_lower_bound_is_found() -> None:
    # By size: a and d at 0, b on d at 3; c has nowhere but on top of b, at 5. Before them, it fits.
    tensors = [("a", 3, 3, 4), ("b", 2, 1, 3), ("c", 1, 2, 5), ("d", 3, 1, 2)]
    sizes, together = [3, 2, 1, 3], [[2], [2, 3], [0, 1], [1]]
    greedy = best_fit.best_fit(sizes, together, best_fit.largest_first(sizes))
    assert greedy == [0, 3, 5, 0]
    found = best_fit.improved(sizes, together, greedy, 5)
    assert best_fit.total(found, sizes) == 5
    result = dram.plan(tensors, alignment=1)
    assert (result.greedy_bytes, result.planned_bytes, result.lower_bound_bytes) == (6, 5, 5)
    assert list(result.offsets().values()) == found


@given(st.integers(0, 2**32))
def test_dense_plans_of_few_tensors_reach_the_lower_bound(seed: int) -> None:
    """Tensors that tile a rectangle: at every moment, all of it is live."""
    tensors = _tiling(random.Random(seed), (0, 8), (0, 40), 8)
    rows = [(f"t{i}", high - low, *lives) for i, (lives, (low, high)) in enumerate(tensors)]
    result = dram.plan(rows, alignment=1)
    assert validate(result, rows) == []
    assert result.planned_bytes == result.lower_bound_bytes == 40


def _tiling(
    rng: random.Random, lives: tuple[int, int], place: tuple[int, int], count: int
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """(first, end) in layers and in bytes of at most `count` parts of a rectangle."""
    (first, end), (low, high) = lives, place
    if count == 1 or (end - first == 1 and high - low == 1):
        return [(lives, place)]
    if high - low == 1 or (end - first > 1 and rng.random() < 0.5):
        cut = rng.randint(first + 1, end - 1)
        halves = [((first, cut), place), ((cut, end), place)]
    else:
        cut = rng.randint(low + 1, high - 1)
        halves = [(lives, (low, cut)), (lives, (cut, high))]
    left = count // 2
    return [
        part
        for half, parts in zip(halves, (left, count - left), strict=True)
        for part in _tiling(rng, *half, parts)
    ]


@pytest.mark.parametrize(
    ("name", "offset", "message"),
    [
        ("b", 64, "plan: a and b must not overlap, both live in layer 1 at byte 64"),
        ("b", 32, "plan: b must start at a multiple of 64, got 32"),
        ("b", 256, "plan: planned_bytes must hold layer 1, got 256 for 384"),
    ],
)
def test_validator_catches_a_moved_tensor(name: str, offset: int, message: str) -> None:
    tensors = [("a", 128, 0, 2), ("b", 128, 1, 3)]
    good = dram.plan(tensors)
    moved = tuple(
        a._replace(offset_bytes=offset) if a.tensor.name == name else a for a in good.allocations
    )
    assert validate(good, tensors) == []
    assert message in validate(dataclasses.replace(good, allocations=moved), tensors)


@given(TENSORS, st.data())
def test_validator_catches_a_tensor_put_on_another(
    tensors: list[tuple[str, int, int, int]], data: st.DataObject
) -> None:
    good = dram.plan(tensors)
    pairs = [
        (a, b)
        for a in good.allocations
        for b in good.allocations
        if a is not b
        and a.tensor.first_layer < b.tensor.end_layer
        and b.tensor.first_layer < a.tensor.end_layer
        and a.tensor.size_bytes
        and b.tensor.size_bytes
    ]
    if not pairs:
        return
    one, other = data.draw(st.sampled_from(pairs))
    moved = tuple(
        a._replace(offset_bytes=other.offset_bytes) if a is one else a for a in good.allocations
    )
    assert any(
        "overlap" in m for m in validate(dataclasses.replace(good, allocations=moved), tensors)
    )


def test_validator_catches_a_lost_tensor() -> None:
    tensors = [("a", 128, 0, 2), ("b", 128, 1, 3)]
    good = dram.plan(tensors)
    lost = dataclasses.replace(good, allocations=good.allocations[:1])
    assert validate(lost, tensors) == ["plan: b must be placed exactly as given, 1 differ"]


@pytest.mark.parametrize(
    "tensors", [[("a", 1, 0, 1), ("a", 1, 0, 1)], [("a", -1, 0, 1)], [("a", 1, 2, 2)]]
)
def test_bad_input_is_refused(tensors: list[tuple[str, int, int, int]]) -> None:
    with pytest.raises(ValueError):
        dram.plan(tensors)
