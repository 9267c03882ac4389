"""The committed graphs and what is made of them."""

import json
import os
import pathlib
import subprocess
import sys
from collections import Counter

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from jacquard.benchmarks.models.fill import fill, load_graph
from jacquard.benchmarks.models.seeded import (
    SeededStream,
    calibration_batches,
    seeded_inputs,
    weights_digest,
)
from jacquard.compiler.frontend.import_model import import_model
from jacquard.compiler.frontend.quantize import quantize_model
from jacquard.sim.reference.against_ort import compare
from jacquard.sim.reference.interpreter import run_reference

HERE = pathlib.Path(__file__).parent
DIGESTS = json.loads((HERE / "digests.json").read_text())
MACS = {"lenet": 416_520, "tinyresnet": 1_930_496, "mixnet": 254_336, "resnet50": 4_089_184_256}
SMALL = ("lenet", "tinyresnet", "mixnet")
_FILLED: dict[str, onnx.ModelProto] = {}


def filled(name: str) -> onnx.ModelProto:
    if name not in _FILLED:
        _FILLED[name] = fill(load_graph(HERE / "graphs" / f"{name}.textproto"), seed=1)
    return _FILLED[name]


def macs_of(model: onnx.ModelProto) -> int:
    """Of Conv and Gemm at batch 1."""
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
              for v in (*model.graph.value_info, *model.graph.output)}
    weights = {t.name: list(t.dims) for t in model.graph.initializer}
    return sum(
        int(np.prod(weights[node.input[1]])) * int(np.prod(shapes[node.output[0]][2:]))
        for node in model.graph.node
        if node.op_type in ("Conv", "Gemm")
    )


@pytest.mark.parametrize("name", DIGESTS)
def test_filled_model_has_its_digest(name: str) -> None:
    got = weights_digest(filled(name))
    assert got == DIGESTS[name], (
        f'the weights of {name} changed; if meant, put "{name}": "{got}" into '
        "benchmarks/models/digests.json"
    )


@pytest.mark.parametrize("name", DIGESTS)
def test_graph_is_small_and_counts_its_macs(name: str) -> None:
    path = HERE / "graphs" / f"{name}.textproto"
    assert path.stat().st_size < 2**20
    model = import_model(filled(name).SerializeToString())
    assert macs_of(model) == MACS[name]


def test_resnet50_is_version_one_point_five() -> None:
    graph = load_graph(HERE / "graphs" / "resnet50.textproto").graph
    assert Counter(node.op_type for node in graph.node) == {
        "Conv": 53, "Relu": 49, "Add": 16, "MaxPool": 1, "ReduceMean": 1, "Reshape": 1, "Gemm": 1,
    }
    strides = {node.name: next(a.ints[0] for a in node.attribute if a.name == "strides")
               for node in graph.node if node.op_type == "Conv"}
    assert strides["layer2.0.conv1"] == 1 and strides["layer2.0.conv2"] == 2


@pytest.mark.parametrize("name", DIGESTS)
def test_activations_keep_unit_variance(name: str) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(filled(name))
    added = {i for node in model.graph.node if node.op_type == "Add" for i in node.input}
    names = [node.output[0] for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    for output in names:
        if output not in {o.name for o in model.graph.output}:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(output))
    session = ort.InferenceSession(model.SerializeToString())
    for output, value in zip(names, session.run(names, seeded_inputs(model, 1)), strict=True):
        wanted = 0.5**0.5 if output in added else 1.0
        assert 0.9 * wanted < value.std() < 1.15 * wanted, (output, value.std())


@pytest.mark.parametrize("name", SMALL)
def test_quantized_model_against_onnxruntime(name: str) -> None:
    model = import_model(filled(name).SerializeToString())
    quantized = quantize_model(model, calibration_batches(model, 0, 8))
    for seed in range(4):
        result = compare(quantized, seeded_inputs(model, seed))
        print(f"{name} seed {seed}: {result}")
        assert result.accepted, result


@pytest.mark.parametrize("name", SMALL)
def test_a_qdq_file_is_imported_as_it_is(name: str) -> None:
    model = import_model(filled(name).SerializeToString())
    quantized = quantize_model(model, calibration_batches(model, 0, 2))
    again = import_model(quantized.SerializeToString())
    inputs = seeded_inputs(model, 1)
    assert run_reference(again, inputs).digests == run_reference(quantized, inputs).digests


def test_quantizing_twice_gives_the_same_bytes_in_any_process(tmp_path: pathlib.Path) -> None:
    source = tmp_path / "float.onnx"
    source.write_bytes(filled("tinyresnet").SerializeToString(deterministic=True))
    results = []
    for seed in ("1", "2"):
        target = tmp_path / f"{seed}.onnx"
        command = [sys.executable, "-m", "jacquard.benchmarks.models.quantize_main",
                   f"--model={source}", f"--output={target}"]
        path = os.pathsep.join(entry for entry in sys.path if entry)
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
        subprocess.run(command, check=True, env=environment)
        results.append(target.read_bytes())
    assert results[0] == results[1]


def test_seeded_stream_is_fixed_and_normal() -> None:
    values = SeededStream(1).normal((100_000,))
    assert values[:3].tolist() == SeededStream(1).normal((3,)).tolist()
    assert abs(values.mean()) < 0.01 and abs(values.std() - 1) < 0.01
    uniform = SeededStream(1).uniform((1000,), 0.5, 1.5)
    assert uniform.min() >= 0.5 and uniform.max() < 1.5
