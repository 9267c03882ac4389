"""The stage float model, QDQ model -> table: `sqnr_main --model F.onnx --quantized Q.onnx`.

`--before_after` adds columns: what one scale for all heads of keys and values gives, what smoothing
does, where the model has such; `--products` what onnxruntime reaches with matrix products alone.
"""

import json
import pathlib
import sys
from collections.abc import Callable
from dataclasses import asdict

import onnx
from absl import app, flags

from jacquard.benchmarks.models.seeded import calibration_batches, seeded_inputs
from jacquard.benchmarks.models.sqnr import format_table, products_quantized, sqnr_table
from jacquard.compiler.frontend.import_model import import_model
from jacquard.compiler.frontend.patterns.view import View
from jacquard.compiler.frontend.quantize import quantize_model
from jacquard.compiler.frontend.smooth import find_sites
from jacquard.proto.lib.errors import UserError

_MODEL = flags.DEFINE_string("model", None, "the float .onnx", required=True)
_QUANTIZED = flags.DEFINE_string("quantized", None, "its QDQ .onnx", required=True)
_INPUTS = flags.DEFINE_integer("inputs", 4, "how many seeded inputs", lower_bound=1)
_BEFORE_AFTER = flags.DEFINE_boolean("before_after", False, "compare with other ways to quantize")
_SMOOTH = flags.DEFINE_float("smooth_quant", 0.5, "the share of the column `smoothed`")
_PRODUCTS = flags.DEFINE_boolean("products", False, "compare with matrix products alone")
_SAMPLES = flags.DEFINE_integer("samples", 8, "inputs that calibrate what is compared with")
_OUTPUT = flags.DEFINE_string("output", None, "where the table goes as JSON")
_MARKDOWN = flags.DEFINE_string("markdown", None, "where it goes as Markdown; printed if neither")
_MEANING = {
    "one scale": "keys and values of a cache with one scale for all heads",
    "smoothed": "a share of the activations' outliers in the weights (SmoothQuant)",
    "products": "onnxruntime with matrix products alone quantized, all else in float",
}


def _others(model: onnx.ModelProto, quantized: onnx.ModelProto) -> dict[
    str, Callable[[], onnx.ModelProto]
]:
    """The columns beside the model's own that differ from it."""

    def ours(per_head: bool, smooth_quant: float | None) -> onnx.ModelProto:
        batches = calibration_batches(model, 0, _SAMPLES.value)
        return quantize_model(model, batches, per_head=per_head, smooth_quant=smooth_quant)

    found: dict[str, Callable[[], onnx.ModelProto]] = {}
    by_head = any(
        node.op_type == "QuantizeLinear" and any(a.name == "axis" for a in node.attribute)
        for node in quantized.graph.node
    )
    if _BEFORE_AFTER.value and by_head:
        found["one scale"] = lambda: ours(False, None)
    if _BEFORE_AFTER.value and find_sites(View(model.graph)):
        found["smoothed"] = lambda: ours(True, _SMOOTH.value)
    if _PRODUCTS.value:
        found["products"] = lambda: products_quantized(
            model, calibration_batches(model, 0, _SAMPLES.value))
    return found


def main(argv: list[str]) -> int:
    del argv
    try:
        model = import_model(_MODEL.value)
        quantized = onnx.load(_QUANTIZED.value)
        inputs = [seeded_inputs(model, seed) for seed in range(_INPUTS.value)]
        others = _others(model, quantized)
        rows = sqnr_table(model, quantized, inputs, others)
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    said = [f"Over {len(inputs)} seeded inputs, both models in onnxruntime.",
            "`fall`: below the worst tensor that the row is made of."]
    said += [f"`{name}`: {_MEANING[name]}, the same tensors in dB." for name in others]
    text = [
        f"# {pathlib.Path(_QUANTIZED.value).name}: how far it is from the float model",
        " ".join(said), format_table(rows),
    ]
    record = {"inputs": len(inputs), "rows": [asdict(row) for row in rows]}
    page = "\n\n".join(text) + "\n"
    if _OUTPUT.value:
        pathlib.Path(_OUTPUT.value).write_text(json.dumps(record, indent=1) + "\n")
    if _MARKDOWN.value:
        pathlib.Path(_MARKDOWN.value).write_text(page)
    if not _OUTPUT.value and not _MARKDOWN.value:
        print(page, end="")
    return 0


if __name__ == "__main__":
    app.run(main)
