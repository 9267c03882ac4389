"""A transformer on `func` is about as near to float as onnxruntime with 8-bit products alone."""

from __future__ import annotations

import json
import os

import numpy as np
import onnx

from jacquard.benchmarks.models.seeded import seeded_inputs
from jacquard.benchmarks.models.sqnr import decibels
from jacquard.proto.lib.arch import load_config
from jacquard.runtime.api import program as programs
from jacquard.runtime.api import verify
from jacquard.runtime.api.session import Session
from jacquard.runtime.device.files import repo_file
from jacquard.runtime.device.open_device import open_device

MODEL, CONFIG, OUTPUT = (os.environ[name] for name in ("MODEL", "CONFIG", "OUTPUT"))
WITHIN_DB = float(os.environ["WITHIN_DB"])


def test_sqnr_is_near_that_of_products_alone(record_property):
    """Over the inputs of the SQNR table, which has the yardstick; calibration saw other inputs."""
    table = json.loads(repo_file(f"{MODEL}.sqnr.json").read_text())
    (theirs,) = [row["others"]["products"] for row in table["rows"] if row["tensor"] == OUTPUT]
    model = onnx.load(repo_file(f"{MODEL}.float.onnx"))
    program = programs.load(repo_file(f"{MODEL}_{CONFIG}.npu"))
    arch = load_config(CONFIG)
    session = Session(program, open_device("func", arch), arch)
    signal = noise = 0.0
    for seed in range(table["inputs"]):
        inputs = seeded_inputs(model, seed)
        exact = verify.onnxruntime_outputs(model, inputs)[OUTPUT]
        found = session.run(inputs)[OUTPUT]
        signal += np.square(exact, dtype=np.float64).sum()
        noise += np.square(np.subtract(exact, found, dtype=np.float64)).sum()
    ours = decibels(signal, noise)
    record_property("sqnr_db", round(ours, 2))
    record_property("sqnr_db_of_products_alone", round(theirs, 2))
    assert ours >= theirs - WITHIN_DB
