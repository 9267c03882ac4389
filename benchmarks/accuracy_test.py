"""ResNet50 over 16 seeded inputs on `func`: as near to float as onnxruntime on the same QDQ graph."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from jacquard.benchmarks.models.seeded import seeded_inputs
from jacquard.proto.lib.arch import load_config
from jacquard.runtime.api import program as programs
from jacquard.runtime.api import verify
from jacquard.runtime.api.session import Session
from jacquard.runtime.device.files import repo_file
from jacquard.runtime.device.open_device import open_device

SEEDS = range(16)


@pytest.fixture(scope="module")
def results():
    qdq = onnx.load(repo_file("benchmarks/resnet50.qdq.onnx"))
    exact = onnx.load(repo_file("benchmarks/resnet50.float.onnx"))
    program = programs.load(repo_file("benchmarks/resnet50_edge16.npu"))
    arch = load_config("edge16")
    session = Session(program, open_device("func", arch), arch)
    found = []
    for seed in SEEDS:
        inputs = seeded_inputs(exact, seed)
        found.append(verify.accuracy(qdq, exact, program, inputs, session.run(inputs)))
    return found


def test_sqnr_is_at_most_half_a_db_below_onnxruntimes(results):
    """Noise power averaged over the inputs, as one figure per implementation."""
    ours = np.mean([10 ** (-r.sqnr_db / 10) for r in results])
    theirs = np.mean([10 ** (-r.sqnr_db_onnxruntime / 10) for r in results])
    assert -10 * np.log10(ours) >= -10 * np.log10(theirs) - 0.5


def test_top1_is_the_same_on_at_least_15(results):
    assert sum(r.top1_match for r in results) >= 15
