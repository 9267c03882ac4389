"""Puts outliers into a seeded transformer: a few channels of its norms far larger than the others.

Trained language models have them, in the same channels of every layer (arXiv:2208.07339); seeded
ones do not. What reads those channels has smaller weights in return: the function stays.
"""

import numpy as np
import onnx

from jacquard.benchmarks.models.seeded import SeededStream
from jacquard.compiler.frontend.patterns.view import View
from jacquard.compiler.frontend.smooth import Factors, find_sites, with_factors

_SEED = 3_000_000  # apart from those of weights, inputs and calibration
SHARE = 1 / 32  # of the channels, one at least
LARGEST = 100.0  # times as large; the smallest outlier is a third of it


def with_outliers(model: onnx.ModelProto, seed: int) -> onnx.ModelProto:
    """The same function with outliers in front of all products that a norm alone feeds.

    Args:
      model: as `import_model` gives it, float.
    """
    view = View(model.graph)
    factors: Factors = {}
    for site in find_sites(view):
        channels = view.shapes[site.tensor][-1]
        if site.columns:
            continue
        stream = SeededStream(_SEED + seed)
        chosen = np.argsort(stream.uniform((channels,), 0, 1))[: max(1, round(channels * SHARE))]
        factors[site.name] = np.ones(channels, np.float32)
        factors[site.name][chosen] = 1 / stream.uniform(chosen.shape, LARGEST / 3, LARGEST)
    found = with_factors(model, factors)
    del found.metadata_props[:]
    return found
