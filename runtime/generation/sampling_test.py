"""Samplers: ties, borders, frequencies against probabilities worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from jacquard.proto.lib.errors import UserError
from jacquard.runtime.generation.sampling import Greedy, TopK, sampler

LOGITS = np.array([0.5, 2.0, -1.0, 2.0, 1.0], np.float32)


def test_greedy_takes_the_lowest_of_equals() -> None:
    assert Greedy().choose(LOGITS) == 1


def test_one_of_one_is_greedy() -> None:
    chooser = TopK(1, temperature=5.0, seed=3)
    assert [chooser.choose(LOGITS) for _ in range(5)] == [1] * 5


def test_equals_at_the_border_go_by_id() -> None:
    logits = np.array([1.0, 3.0, 1.0, 1.0], np.float32)
    chooser = TopK(2, temperature=100.0)
    assert {chooser.choose(logits) for _ in range(200)} == {0, 1}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_frequencies(temperature: float) -> None:
    weights = {1: 2.0, 3: 2.0, 4: 1.0}
    total = sum(math.exp(value / temperature) for value in weights.values())
    chooser, draws = TopK(3, temperature, seed=7), 20000
    found = np.bincount([chooser.choose(LOGITS) for _ in range(draws)], minlength=5)
    for token in range(5):
        wanted = math.exp(weights[token] / temperature) / total if token in weights else 0.0
        deviation = math.sqrt(wanted * (1 - wanted) / draws)
        assert abs(found[token] / draws - wanted) <= 5 * deviation


def test_a_seed_is_a_sequence() -> None:
    def drawn(seed: int) -> list[int]:
        chooser = TopK(5, 3.0, seed)
        return [chooser.choose(LOGITS) for _ in range(30)]

    assert drawn(1) == drawn(1) != drawn(2)


def test_more_than_there_are() -> None:
    assert TopK(50).choose(np.array([1.0], np.float32)) == 0


@pytest.mark.parametrize(
    "arguments,message",
    [
        ((0, None, 0), "top-k: must be at least 1, got 0"),
        ((5, 0.0, 0), "temperature: must be above 0, got 0"),
        ((5, math.nan, 0), "temperature: must be above 0, got nan"),
        ((5, None, -1), "seed: must be 0 or more, got -1"),
        ((None, 0.7, 0), "temperature: must come with top-k, got 0.7 alone"),
    ],
)
def test_wrong_choices(arguments: tuple, message: str) -> None:
    with pytest.raises(UserError) as error:
        sampler(*arguments)
    assert message in str(error.value)


def test_without_top_k_it_is_greedy() -> None:
    assert isinstance(sampler(None, None, 0), Greedy)
    assert isinstance(sampler(3, None, 0), TopK)
