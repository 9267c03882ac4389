"""SmoothQuant: the float function stays, outliers go, what is shared is left alone."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from jacquard.benchmarks.models.seeded import calibration_batches, seeded_inputs
from jacquard.compiler.frontend.mixed_test import distance, normal, parsed, run
from jacquard.compiler.frontend.patterns.view import View
from jacquard.compiler.frontend.quantize import quantize_model
from jacquard.compiler.frontend.smooth import factors_of, find_sites, smoothed
from jacquard.proto.lib.errors import UserError

OUTLIERS = np.where(np.arange(16) % 7 == 3, 60, 1).astype(np.float32)
# A norm with two readers, a gated layer, and a norm in front of the head.
GATED = """(int64[1,8] ids) => (float[1,8,20] y) {
  e = Gather(table, ids)
  n = LayerNormalization(e, g, b)
  k = MatMul(n, wk)  u0 = MatMul(n, wu)  u = Add(u0, bu)
  a = Gelu(k)  m = Mul(a, u)  d = MatMul(m, wd)
  r = Add(d, e)  n2 = LayerNormalization(r, g2)  y = MatMul(n2, head)
}"""


def gated(text: str = GATED, **other: np.ndarray) -> onnx.ModelProto:
    """Channels of n and of m are large, and the rows that read them small."""
    columns = np.where(np.arange(24) % 9 == 5, 40, 1).astype(np.float32)
    constants = {
        "table": normal(20, 16), "g": OUTLIERS, "b": normal(16, seed=2) * OUTLIERS,
        "wk": normal(16, 24, seed=3) / 4 / OUTLIERS[:, None],
        "wu": normal(16, 24, seed=4) / 4 / OUTLIERS[:, None] * columns,
        "bu": normal(24, seed=5) * columns, "wd": normal(24, 16, seed=6) / 5 / columns[:, None],
        "g2": np.ones(16, np.float32), "head": normal(16, 20, seed=8),
    }
    return parsed(text, **{k: v for k, v in (constants | other).items() if k in text})


def sites(model: onnx.ModelProto) -> list[str]:
    return [site.tensor for site in find_sites(View(model.graph))]


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.85, 1.0])
def test_the_function_stays(alpha: float) -> None:
    model = gated()
    result = smoothed(model, list(calibration_batches(model, 0, 4)), alpha)
    for seed in range(4):
        inputs = seeded_inputs(model, seed)
        (exact,), (found,) = run(model, inputs), run(result, inputs)
        np.testing.assert_allclose(found, exact, rtol=0, atol=3e-6 * np.abs(exact).max())


def test_factors_are_those_of_the_paper() -> None:
    model = gated()
    batches = list(calibration_batches(model, 0, 4))
    before = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    result = smoothed(model, batches, 0.75)
    after = {t.name: onnx.numpy_helper.to_array(t) for t in result.graph.initializer}
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.append(onnx.helper.make_empty_tensor_value_info("n"))
    session = ort.InferenceSession(probe.SerializeToString())
    x = np.max([np.abs(session.run(["n"], batch)[0]).max((0, 1)) for batch in batches], axis=0)
    w = np.abs(np.concatenate([before["wk"], before["wu"]], axis=1)).max(1)
    s = x**0.75 / w**0.25
    np.testing.assert_allclose(after["wk"], before["wk"] * s[:, None], rtol=1e-5)
    np.testing.assert_allclose(after["g"], before["g"] / s, rtol=1e-5)
    np.testing.assert_allclose(after["b"], before["b"] / s, rtol=1e-5)
    np.testing.assert_array_equal(after["table"], before["table"])


def test_quantization_gains() -> None:
    model = gated()
    batches = list(calibration_batches(model, 0, 4))
    plain = quantize_model(model, batches)
    better = quantize_model(model, batches, smooth_quant=0.5)
    assert distance(model, better) > distance(model, plain) + 6
    assert sorted(factors_of(better)) == ["head", "wd", "wk"] and not factors_of(plain)


def test_another_form_has_the_same_weights() -> None:
    model = gated()
    first = quantize_model(model, calibration_batches(model, 0, 4), smooth_quant=0.5)
    other = gated(GATED.replace("[1,8]", "[1,1]").replace("[1,8,", "[1,1,"))
    second = quantize_model(other, calibration_batches(other, 9, 2), like=first)
    ours, theirs = (
        {t.name: t for t in m.graph.initializer if t.name.endswith(("_quantized", "g", "b"))}
        for m in (first, second))
    assert ours.keys() == theirs.keys() and len(ours) > 5
    assert all(ours[name] == theirs[name] for name in ours)
    assert distance(other, second) > 15


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (GATED, ["n", "m", "n2"]),
        (GATED.replace("Add(d, e)", "Add(d, n)"), ["m", "n2"]),  # another reader
        (GATED.replace("Gelu(k)", "Gelu(u)"), ["n", "n2"]),  # u is read twice
        (GATED.replace("(e, g, b)", "(e, g2, b)"), ["m"]),  # norms share their gamma
        (GATED.replace("MatMul(n, wk)", "MatMul(n, wu)"), ["n2"]),  # weights of two layers
    ])
def test_what_can_be_smoothed(text: str, left: list[str]) -> None:
    assert sites(gated(text)) == left


def test_a_tied_embedding_is_left_alone() -> None:
    table = normal(20, 16)
    assert sites(gated(head=np.ascontiguousarray(table.T))) == ["n", "m"]
    one = GATED.replace("y = MatMul(n2, head)", "y = Gemm<transB = 1>(f, table)")
    one = one.replace("float[1,8,20] y", "float[8,20] y").replace(
        "y = Gemm", "f = Reshape(n2, flat) y = Gemm")
    assert sites(gated(one, flat=np.array([8, 16]))) == ["n", "m"]


@pytest.mark.parametrize("alpha", [-0.1, 1.5, float("nan")])
def test_a_share_out_of_range_is_refused(alpha: float) -> None:
    with pytest.raises(UserError, match="smooth_quant: must be from 0 to 1, got"):
        smoothed(gated(), [], alpha)


def test_nothing_to_smooth_is_refused() -> None:
    model = parsed("(float[1,8,16] x) => (float[1,8,8] y) { t = Transpose<perm = [0, 2, 1]>(x) "
                   "y = MatMul(x, t) }")
    with pytest.raises(UserError, match="smooth_quant: the model must have a norm or a layer"):
        quantize_model(model, calibration_batches(model, 0, 1), smooth_quant=0.5)
    model = parsed("(float[1,3,8,8] x) => (float[1,4,8,8] y) { y = Conv<pads = [1,1,1,1]>(x, w) }",
                   w=normal(4, 3, 3, 3))
    with pytest.raises(UserError, match="smooth_quant: must be asked for of a transformer"):
        quantize_model(model, calibration_batches(model, 0, 1), smooth_quant=0.5)
