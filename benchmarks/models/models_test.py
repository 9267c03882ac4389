"""The committed graphs and what is made of them."""

import json
import os
import pathlib
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from jacquard.benchmarks.models.fill import fill, load_graph
from jacquard.benchmarks.models.seeded import (
    SeededStream,
    calibration_batches,
    seeded_inputs,
    weights_digest,
)
from jacquard.benchmarks.models.sqnr import products_quantized, sqnr_table
from jacquard.compiler.frontend.import_model import import_model
from jacquard.compiler.frontend.quantize import quantize_model
from jacquard.sim.reference.against_ort import compare
from jacquard.sim.reference.interpreter import run_reference

HERE = pathlib.Path(__file__).parent
DIGESTS = json.loads((HERE / "digests.json").read_text())
# BERT: layers (4 h^2 + 2 h f) s + 2 s^2 h each, and the pooler's h^2; 11,174,215,680 for the base.
MACS = {
    "lenet": 416_520, "tinyresnet": 1_930_496, "mixnet": 254_336, "resnet50": 4_089_184_256,
    "bert_base": 12 * ((4 * 768**2 + 2 * 768 * 3072) * 128 + 2 * 128**2 * 768) + 768**2,
    "bert_block": (4 * 768**2 + 2 * 768 * 3072) * 128 + 2 * 128**2 * 768,
    "bert_tiny2": 2 * ((4 * 64**2 + 2 * 64 * 256) * 32 + 2 * 32**2 * 64) + 64**2,
    "bert_tiny2_torchscript": 2 * ((4 * 64**2 + 2 * 64 * 256) * 32 + 2 * 32**2 * 64) + 64**2,
    # Decoders, with the logits of one position: s rows, t positions that each of them sees.
    "gpt2_prefill": 12 * ((4 * 768**2 + 2 * 768 * 3072) * 128 + 2 * 128**2 * 768) + 768 * 50257,
    "gpt2_decode": 12 * (4 * 768**2 + 2 * 768 * 3072 + 2 * 129 * 768) + 768 * 50257,
    **dict.fromkeys(
        ("gpt2_tiny2_prefill", "gpt2_tiny2_prefill_torchscript"),
        2 * ((4 * 64**2 + 2 * 64 * 256) * 32 + 2 * 32**2 * 64) + 64 * 512),
    **dict.fromkeys(
        ("gpt2_tiny2_decode", "gpt2_tiny2_decode_torchscript"),
        2 * (4 * 64**2 + 2 * 64 * 256 + 2 * 33 * 64) + 64 * 512),
    "gpt2_tiny2_decode_64": 2 * (4 * 64**2 + 2 * 64 * 256 + 2 * 65 * 64) + 64 * 512,
    # Keys and values have 32 columns; gate, up and down 176.
    "llama_tiny2_prefill":
        2 * ((2 * 64**2 + 2 * 64 * 32 + 3 * 64 * 176) * 32 + 2 * 32**2 * 64) + 64 * 512,
    "llama_tiny2_decode":
        2 * (2 * 64**2 + 2 * 64 * 32 + 3 * 64 * 176 + 2 * 33 * 64) + 64 * 512,
}
SMALL = ("lenet", "tinyresnet", "mixnet")
GPT2 = ("gpt2_prefill", "gpt2_decode")  # in gpt2_test.py: each takes a while and a gigabyte
DECODERS = ("gpt2_tiny2_prefill", "gpt2_tiny2_prefill_torchscript", "gpt2_tiny2_decode",
            "gpt2_tiny2_decode_torchscript", "llama_tiny2_prefill", "llama_tiny2_decode")
NAMES = [name for name in DIGESTS if name not in GPT2]
_FILLED: dict[str, onnx.ModelProto] = {}


def like(name: str) -> str | None:
    """The model whose weights this one has: a family's dynamo prefill."""
    prefill = re.sub(r"_decode(_\d+)?", "_prefill", name.removesuffix("_torchscript"))
    return prefill if prefill != name and "_prefill" in prefill else None


def filled(name: str) -> onnx.ModelProto:
    if name not in _FILLED:
        other = like(name)
        graph = load_graph(HERE / "graphs" / f"{name}.textproto")
        _FILLED[name] = fill(graph, 1, None if other is None else filled(other))
    return _FILLED[name]


def macs_of(model: onnx.ModelProto) -> int:
    """Of Conv, Gemm and MatMul at batch 1."""
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
              for v in (*model.graph.value_info, *model.graph.output)}
    weights = {t.name: list(t.dims) for t in model.graph.initializer}
    sizes = {**shapes, **weights}
    return sum(
        int(np.prod(shapes[node.output[0]])) * sizes[node.input[1]][-2]
        for node in model.graph.node
        if node.op_type == "MatMul"
    ) + sum(
        int(np.prod(weights[node.input[1]])) * int(np.prod(shapes[node.output[0]][2:]))
        for node in model.graph.node
        if node.op_type in ("Conv", "Gemm")
    )


def test_every_graph_has_a_digest_and_its_macs() -> None:
    graphs = {path.stem for path in (HERE / "graphs").glob("*.textproto")}
    assert graphs == set(DIGESTS) == set(MACS)


@pytest.mark.parametrize("name", NAMES)
def test_filled_model_has_its_digest(name: str) -> None:
    got = weights_digest(filled(name))
    assert got == DIGESTS[name], (
        f'the weights of {name} changed; if meant, put "{name}": "{got}" into '
        "benchmarks/models/digests.json"
    )


@pytest.mark.parametrize("name", NAMES)
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


@pytest.mark.parametrize("name", [name for name in NAMES if like(name) is None])
def test_activations_keep_unit_variance(name: str) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(filled(name))
    constants = {tensor.name for tensor in model.graph.initializer}
    added = {i for node in model.graph.node if node.op_type == "Add" for i in node.input}
    residual = ("attention.output.dense.product", "output.dense.product")
    added = {name for name in added if ".product" not in name or name.endswith(residual)}
    names = [
        node.output[0]
        for node in model.graph.node
        if node.op_type in ("Conv", "Gemm")
        or (node.op_type == "MatMul" and node.input[1] in constants)
    ]
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


def same_weights(source: onnx.ModelProto, target: onnx.ModelProto) -> onnx.ModelProto:
    """`target` with the weights of `source`; the position table alone has another name, length."""
    given = {t.name: numpy_helper.to_array(t) for t in source.graph.initializer}
    (positions,) = [v for n, v in given.items() if n.endswith("position_embeddings.weight")]
    given["embedding_2"] = positions[None, :32]
    filled_in = onnx.ModelProto()
    filled_in.CopyFrom(target)
    for tensor in filled_in.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and tensor.dims:
            assert list(given[tensor.name].shape) == list(tensor.dims)
            tensor.CopyFrom(numpy_helper.from_array(given[tensor.name], tensor.name))
    return filled_in


def test_both_exporters_forms_give_the_same_graph_and_results() -> None:
    scripted = filled("bert_tiny2_torchscript")
    exported = same_weights(scripted, filled("bert_tiny2"))
    models = [import_model(m.SerializeToString()) for m in (scripted, exported)]
    first, second = (Counter(node.op_type for node in m.graph.node) for m in models)
    # TorchScript masks by -inf, so its guards against a row masked whole stay.
    assert first - second == Counter({"IsNaN": 2, "Where": 2}) and not second - first
    for seed in range(3):
        inputs = seeded_inputs(models[0], seed)
        results = [
            ort.InferenceSession(m.SerializeToString()).run(None, inputs)
            for m in (scripted, exported, *models)
        ]
        for other in results[1:]:
            for left, right in zip(results[0], other, strict=True):
                np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-5)


def test_both_exporters_forms_are_quantized_alike_and_give_the_same_integers() -> None:
    scripted = filled("bert_tiny2_torchscript")
    forms = [
        import_model(model.SerializeToString())
        for model in (scripted, same_weights(scripted, filled("bert_tiny2")))
    ]
    quantized = [quantize_model(form, calibration_batches(form, 0, 4)) for form in forms]
    for seed in range(3):
        inputs = seeded_inputs(forms[0], seed)
        first, second = (run_reference(model, inputs).integer_outputs for model in quantized)
        assert set(first) == set(second) == {"hidden_states", "pooled"}
        for name, integers in first.items():
            np.testing.assert_array_equal(integers, second[name])


def test_bert_comes_down_to_canonical_nodes() -> None:
    model = import_model(filled("bert_tiny2").SerializeToString())
    assert Counter(node.op_type for node in model.graph.node) == {
        "MatMul": 16, "Add": 19, "Reshape": 9, "Transpose": 8, "LayerNormalization": 5,
        "Softmax": 2, "Gelu": 2, "Gather": 2, "Cast": 1, "Where": 1, "Gemm": 1, "Tanh": 1,
    }


def runs_alike(models: list[onnx.ModelProto], rtol: float = 1e-4, atol: float = 1e-4) -> None:
    for seed in range(3):
        inputs = seeded_inputs(models[0], seed)
        results = [ort.InferenceSession(m.SerializeToString()).run(None, inputs) for m in models]
        for other in results[1:]:
            for left, right in zip(results[0], other, strict=True):
                np.testing.assert_allclose(left, right, rtol=rtol, atol=atol)


@pytest.mark.parametrize("form", ["prefill", "decode"])
def test_gpt2_comes_down_to_the_nodes_of_bert(form: str) -> None:
    """By either exporter: one layer each for Q, K and V, no Gemm, Split, Trilu nor Tanh left."""
    sources = [filled(f"gpt2_tiny2_{form}"), filled(f"gpt2_tiny2_{form}_torchscript")]
    models = [import_model(model.SerializeToString()) for model in sources]
    runs_alike([*sources, *models])
    found, scripted = (Counter(node.op_type for node in model.graph.node) for model in models)
    common = {"MatMul": 17, "Add": 19, "Transpose": 10, "LayerNormalization": 5, "Softmax": 2,
              "Gelu": 2}
    if form == "prefill":
        assert found == scripted == {**common, "Reshape": 8, "Gather": 1, "Slice": 1}
    else:  # TorchScript masks by -inf, so its guards stay
        assert found == {**common, "Reshape": 9, "Gather": 2, "Cast": 1, "Where": 1, "Concat": 4}
        assert scripted - found <= Counter({"IsNaN": 2, "Where": 2, "Concat": 1})


@pytest.mark.parametrize("name", DECODERS)
def test_decoders_are_quantized_as_the_reference_computes(name: str) -> None:
    model = import_model(filled(name).SerializeToString())
    quantized = quantize_model(model, calibration_batches(model, 0, 8))
    types = {t.name: t.data_type for t in quantized.graph.initializer}
    scales = {t.name: list(t.dims) for t in quantized.graph.initializer}
    caches = {v.name for v in quantized.graph.output} - {"logits"}
    made = {name: node for node in quantized.graph.node for name in node.output}
    assert len(caches) == 4
    for cache in caches:
        assert made[cache].op_type == "DequantizeLinear"
        assert types[made[cache].input[2]] == onnx.TensorProto.INT8
        assert scales[made[cache].input[1]] == [2]  # a scale per head
    inputs = [seeded_inputs(model, seed) for seed in range(4)]
    for sample in inputs[:2]:
        found = compare(quantized, sample)
        assert found.max_lsb <= 1 and found.different < 1e-3 * found.compared, found
    theirs = products_quantized(model, calibration_batches(model, 0, 8), "minmax")
    ours_db, theirs_db = (
        {row.tensor: row.sqnr_db for row in sqnr_table(model, other, inputs)}["logits"]
        for other in (quantized, theirs)
    )
    print(name, ours_db, theirs_db)
    assert ours_db > theirs_db - 1.0 and ours_db > 14


@pytest.mark.parametrize("name", ["bert_tiny2", "bert_tiny2_torchscript"])
@pytest.mark.parametrize("method", ["minmax", "entropy", "percentile"])
def test_mixed_precision_is_no_worse_than_products_alone(name: str, method: str) -> None:
    model = import_model(filled(name).SerializeToString())
    inputs = [seeded_inputs(model, seed) for seed in range(8)]
    ours = quantize_model(model, calibration_batches(model, 0, 8), method)
    theirs = products_quantized(model, calibration_batches(model, 0, 8), method)
    levels = [
        {row.tensor: row.sqnr_db for row in sqnr_table(model, quantized, inputs)}
        for quantized in (ours, theirs)
    ]
    print(name, method, [level["hidden_states"] for level in levels])
    assert levels[0]["hidden_states"] > levels[1]["hidden_states"] - 1.0
    assert levels[0]["hidden_states"] > 25


def test_sqnr_table_names_where_noise_comes_in() -> None:
    model = import_model(filled("tinyresnet").SerializeToString())
    quantized = quantize_model(model, calibration_batches(model, 0, 4))
    rows = sqnr_table(model, quantized, [seeded_inputs(model, 1)])
    assert {row.bits for row in rows} == {8} and rows[-1].operator == "output"
    assert rows[0].sqnr_db > rows[-1].sqnr_db > 10
    level = {row.tensor: row.sqnr_db for row in rows}
    falls = {row.tensor: row.fall_db for row in rows}
    assert falls["relu"] is None and falls["max_pool2d"] == level["relu"] - level["max_pool2d"]
    # The Add between is fused away; of what it adds, the shortcut is the better one.
    assert level["layer1.0.downsample.0"] > level["layer1.0.conv3"]
    assert falls["relu_3"] == level["layer1.0.conv3"] - level["relu_3"]
    exact = sqnr_table(model, model, [seeded_inputs(model, 1)])
    assert [row.sqnr_db for row in exact] == [float("inf")]


def test_seeded_ids_and_masks() -> None:
    model = import_model(filled("bert_tiny2").SerializeToString())
    quantized = quantize_model(model, calibration_batches(model, 0, 2))
    drawn = [seeded_inputs(model, seed) for seed in range(32)]
    ids = np.stack([inputs["input_ids"] for inputs in drawn])
    masks = np.stack([inputs["attention_mask"] for inputs in drawn])
    assert ids.dtype == np.int64 and ids.min() >= 0 and 500 < ids.max() < 512
    assert set(np.unique(masks)) == {0, 1} and (np.diff(masks, axis=-1) <= 0).all()
    lengths = masks.sum(-1)
    assert lengths.min() >= 16 and lengths.max() == 32 and len(np.unique(lengths)) > 5
    for name, value in seeded_inputs(quantized, 3).items():
        assert (value == drawn[3][name]).all()


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
