"""Places: pieces that fit together are found, wherever the layer before left off."""

from __future__ import annotations

import types

import pytest

from jacquard.compiler.tile.memory import NextFit, NoRoom
from jacquard.compiler.tile.rows import Places


def _places(size: int, left_off: int) -> Places:
    vmem = NextFit("VMEM", size)
    vmem.free(vmem.take(left_off))
    return Places(types.SimpleNamespace(vmem=vmem))  # type: ignore[arg-type]


@pytest.mark.parametrize("left_off", [1, 30, 50, 99])
def test_pieces_that_fill_the_memory_fit(left_off: int) -> None:
    places = _places(100, left_off)
    places.take({"a": 40, "b": 40, "c": 20})
    assert sorted(places[name] for name in "abc") == [0, 40, 80]


def test_what_does_not_fit_leaves_nothing_behind() -> None:
    places = _places(100, 50)
    with pytest.raises(NoRoom, match="VMEM"):
        places.take({"a": 60, "b": 50})
    places.take({"a": 60, "b": 40})
