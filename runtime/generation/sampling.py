"""Which token follows: on the host, of the dequantized logits of one position.

In: float32[V]. Out: an id. The same logits give the same ids on every backend: a sampler draws from
nothing but its own seed.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from jacquard.proto.lib.errors import UserError, raise_if_any


class Sampler(Protocol):
    """Chooses one id after the other."""

    def choose(self, logits: np.ndarray) -> int:
        """logits: float32[V]. An id in [0, V)."""
        ...


class Greedy:
    """The id of the largest logit; of equal ones the lowest."""

    def choose(self, logits: np.ndarray) -> int:
        return int(np.argmax(logits))


class TopK:
    """One of the k ids of the largest logits, with probabilities softmax(logits / temperature).

    Of equal logits the lower id is the larger one, at the border of the k and in the order of the
    draw. Each choice takes one uniform number of PCG64(seed); sums are float64.
    """

    def __init__(self, k: int, temperature: float = 1.0, seed: int = 0) -> None:
        """Raises UserError: k below 1, a temperature that is not above 0, a negative seed."""
        problems = []
        if k < 1:
            problems.append(f"top-k: must be at least 1, got {k}; 1 is greedy")
        if not (np.isfinite(temperature) and temperature > 0):
            problems.append(
                f"temperature: must be above 0, got {temperature:g}; without top-k it is greedy"
            )
        if seed < 0:
            problems.append(f"seed: must be 0 or more, got {seed}")
        raise_if_any(problems)
        self._k, self._temperature = k, temperature
        self._numbers = np.random.Generator(np.random.PCG64(seed))

    def choose(self, logits: np.ndarray) -> int:
        ids = np.argsort(-logits.astype(np.float64), kind="stable")[: self._k]
        best = logits[ids].astype(np.float64)
        reached = np.cumsum(np.exp((best - best[0]) / self._temperature))
        drawn = self._numbers.random() * reached[-1]
        return int(ids[min(np.searchsorted(reached, drawn, side="right"), len(ids) - 1)])


def sampler(top_k: int | None, temperature: float | None, seed: int) -> Sampler:
    """Greedy without top_k, else TopK. UserError: a temperature without top_k, wrong values."""
    if top_k is None:
        if temperature is not None:
            raise UserError(
                f"temperature: must come with top-k, got {temperature:g} alone; without top-k the "
                "largest logit is taken"
            )
        return Greedy()
    return TopK(top_k, 1.0 if temperature is None else temperature, seed)
