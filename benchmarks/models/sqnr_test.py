"""Tables of accuracy: before and after, beside onnxruntime with products alone quantized."""

import json
import pathlib

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from absl import flags
from absl.testing import flagsaver

from jacquard.benchmarks.models import sqnr_main
from jacquard.benchmarks.models.fill import fill, load_graph
from jacquard.benchmarks.models.outliers import LARGEST, with_outliers
from jacquard.benchmarks.models.seeded import calibration_batches, seeded_inputs
from jacquard.compiler.frontend.import_model import import_model
from jacquard.compiler.frontend.quantize import quantize_model

HERE = pathlib.Path(__file__).parent
DECODERS = ("gpt2_tiny2_prefill", "llama_tiny2_prefill")


def filled(name: str) -> onnx.ModelProto:
    model = fill(load_graph(HERE / "graphs" / f"{name}.textproto"), 1)
    return import_model(model.SerializeToString())


def outputs(model: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    results: list[np.ndarray] = ort.InferenceSession(model.SerializeToString()).run(None, inputs)
    return results


@pytest.mark.parametrize("name", DECODERS)
def test_outliers_keep_the_function(name: str) -> None:
    model = filled(name)
    other = with_outliers(model, 1)
    for seed in range(2):
        inputs = seeded_inputs(model, seed)
        for exact, found in zip(outputs(model, inputs), outputs(other, inputs), strict=True):
            np.testing.assert_allclose(found, exact, rtol=0, atol=2e-5 * np.abs(exact).max())
    before, after = (
        {t.name: onnx.numpy_helper.to_array(t) for t in m.graph.initializer} for m in (model, other)
    )
    norms = [key for key in before if key.endswith(("ln_1.weight", "input_layernorm.weight"))]
    grown = [np.flatnonzero(after[key] > 20 * before[key]).tolist() for key in norms]
    assert len(norms) == 2 and grown[0] == grown[1] and len(grown[0]) == 2
    assert max(np.max(after[key] / before[key]) for key in norms) <= LARGEST


def table(model: onnx.ModelProto, folder: pathlib.Path) -> list[dict[str, object]]:
    """What sqnr_main says of the quantized model."""
    quantized = quantize_model(model, calibration_batches(model, 0, 8))
    onnx.save(model, folder / "f.onnx")
    onnx.save(quantized, folder / "q.onnx")
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(
        model=str(folder / "f.onnx"), quantized=str(folder / "q.onnx"), before_after=True,
        products=True, output=str(folder / "t.json"), markdown=str(folder / "t.md"), inputs=4,
    ):
        assert sqnr_main.main([]) == 0
    rows: list[dict[str, object]] = json.loads((folder / "t.json").read_text())["rows"]
    text = (folder / "t.md").read_text()
    assert all(f"| {row['tensor']} " in text for row in rows)
    return rows


@pytest.mark.parametrize("name", DECODERS)
def test_smoothing_takes_outliers_back(name: str, tmp_path: pathlib.Path) -> None:
    """The logits without outliers, with them, and smoothed."""
    model = filled(name)
    without, rows = table(model, tmp_path), table(with_outliers(model, 1), tmp_path)
    assert [row["tensor"] for row in rows] == [row["tensor"] for row in without]
    (clean,), (found,) = (
        [row for row in made if row["tensor"] == "logits"] for made in (without, rows))
    print(name, clean["sqnr_db"], found["sqnr_db"], found["others"])
    assert set(found["others"]) == {"one scale", "smoothed", "products"}
    assert found["sqnr_db"] < clean["sqnr_db"] - 6
    assert found["others"]["smoothed"] > clean["sqnr_db"] - 2
    assert found["others"]["smoothed"] > found["others"]["products"] + 6
    keys = [row for row in rows if "key" in row["tensor"]]
    assert keys and all(row["others"]["smoothed"] > row["sqnr_db"] for row in keys)


def test_a_model_of_one_kind_has_one_column(tmp_path: pathlib.Path) -> None:
    rows = table(filled("lenet"), tmp_path)
    assert all(list(row["others"]) == ["products"] for row in rows)
