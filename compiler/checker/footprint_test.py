"""Regions against sets of bytes listed one by one."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from jacquard.compiler.checker.footprint import intersects, region, writes_once

DIMS = st.lists(st.tuples(st.integers(1, 4), st.integers(-20, 20)), max_size=3).map(tuple)
SETS = st.tuples(st.integers(-10, 40), st.integers(1, 6), DIMS)


def _bytes(base: int, run: int, dims: tuple[tuple[int, int], ...]) -> list[int]:
    return [
        base + b + sum(i * s for i, (_, s) in zip(index, dims, strict=True))
        for index in itertools.product(*(range(n) for n, _ in dims))
        for b in range(run)
    ]


@given(SETS)
def test_bounds_are_tight(one: tuple[int, int, tuple[tuple[int, int], ...]]) -> None:
    covered = _bytes(*one)
    assert region(*one)[:2] == (min(covered), max(covered) + 1)


@given(SETS)
def test_the_normal_form_covers_the_same_bytes(
    one: tuple[int, int, tuple[tuple[int, int], ...]],
) -> None:
    form = region(*one)
    assert set(_bytes(form.lo, form.run, form.dims)) == set(_bytes(*one))


@given(SETS, SETS)
def test_intersection_is_exact(
    one: tuple[int, int, tuple[tuple[int, int], ...]],
    other: tuple[int, int, tuple[tuple[int, int], ...]],
) -> None:
    expected = bool(set(_bytes(*one)) & set(_bytes(*other)))
    assert intersects(region(*one), region(*other)) == expected


@given(st.integers(1, 6), DIMS)
def test_writes_once_is_exact(run: int, dims: tuple[tuple[int, int], ...]) -> None:
    covered = _bytes(0, run, dims)
    assert writes_once(run, dims) == (len(set(covered)) == len(covered))


def test_interleaved_columns_do_not_meet() -> None:
    # Channels 0 to 15 and 16 to 31 of 100 pixels, 32 bytes a pixel.
    pixels = ((100, 32),)
    assert not intersects(region(0, 16, pixels), region(16, 16, pixels))
    assert intersects(region(0, 17, pixels), region(16, 16, pixels))
