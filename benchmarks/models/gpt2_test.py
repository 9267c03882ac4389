"""GPT-2's committed graphs, filled: a gigabyte each, so apart from models_test.py."""

import pytest

from jacquard.benchmarks.models.models_test import DIGESTS, GPT2, MACS, filled, macs_of
from jacquard.benchmarks.models.seeded import weights_digest
from jacquard.compiler.frontend.import_model import import_model


@pytest.mark.parametrize("name", GPT2)
def test_digest_and_macs(name: str) -> None:
    model = filled(name)
    got = weights_digest(model)
    assert got == DIGESTS[name], (
        f'the weights of {name} changed; if meant, put "{name}": "{got}" into '
        "benchmarks/models/digests.json"
    )
    assert sum(tensor.dims == [50257, 768] for tensor in model.graph.initializer) == 1
    assert macs_of(import_model(model.SerializeToString())) == MACS[name]
