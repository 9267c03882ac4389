"""What is handed out never overlaps what is live."""

import numpy as np
import pytest

from jacquard.compiler.tile.memory import Halves, NextFit, NoRoom, Piece, TwoEnds


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kind", [NextFit, TwoEnds])
def test_pieces_are_disjoint_and_inside(seed: int, kind: type[NextFit] | type[TwoEnds]) -> None:
    random = np.random.default_rng(seed)
    memory, live = kind("IBUF", 100), list[Piece]()
    for _ in range(200):
        if live and random.random() < 0.5:
            memory.free(live.pop(int(random.integers(len(live)))))
            continue
        try:
            piece = memory.take(int(random.integers(1, 40)))
        except NoRoom:
            assert live  # an empty memory has room for anything up to its size
            continue
        assert 0 <= piece.base and piece.end <= 100
        assert all(piece.end <= p.base or p.end <= piece.base for p in live)
        live.append(piece)


def test_next_fit_goes_round() -> None:
    memory = NextFit("WBUF", 30)
    bases = []
    for _ in range(4):
        piece = memory.take(10)
        bases.append(piece.base)
        memory.free(piece)
    assert bases == [0, 10, 20, 0]


def test_units_round_up() -> None:
    memory = NextFit("VMEM", 64, 16)
    assert [memory.take(5).base, memory.take(17).base] == [0, 16]


def test_two_ends_take_turns() -> None:
    memory = TwoEnds("IBUF", 100)
    first = memory.take(40)
    second = memory.take(60)
    memory.free(first)
    assert (first.base, second.base, memory.take(30).base) == (0, 40, 0)


def test_no_room_says_what_was_wanted() -> None:
    memory = NextFit("VMEM", 10)
    memory.take(6)
    with pytest.raises(NoRoom, match="VMEM: 5 wanted, 10 in all"):
        memory.take(5)


def test_halves_take_turns_and_held_ones_stay() -> None:
    halves, emptied = Halves("OBUF", 8), list[str]()
    assert [halves.take(), halves.take()] == [8, 0]
    halves.hold(8)
    assert [halves.take(), halves.take()] == [0, 0]
    halves.hold(0)
    with pytest.raises(NoRoom):
        halves.take()
    halves.leave(8, lambda: emptied.append("upper"))
    assert not emptied
    assert halves.take() == 8
    assert emptied == ["upper"]
    halves.empty(8)
    assert emptied == ["upper"]
