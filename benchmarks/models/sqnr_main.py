"""The stage float model, QDQ model -> table: `sqnr_main --model F.onnx --quantized Q.onnx`.

`--products` adds what onnxruntime reaches when it quantizes matrix products alone, on the outputs.
"""

import json
import pathlib
import sys
from dataclasses import asdict, replace

import onnx
from absl import app, flags

from jacquard.benchmarks.models.seeded import calibration_batches, seeded_inputs
from jacquard.benchmarks.models.sqnr import format_table, products_quantized, sqnr_table
from jacquard.compiler.frontend.import_model import import_model
from jacquard.proto.lib.errors import UserError

_MODEL = flags.DEFINE_string("model", None, "the float .onnx", required=True)
_QUANTIZED = flags.DEFINE_string("quantized", None, "its QDQ .onnx", required=True)
_INPUTS = flags.DEFINE_integer("inputs", 4, "how many seeded inputs", lower_bound=1)
_PRODUCTS = flags.DEFINE_boolean("products", False, "compare with matrix products alone")
_SAMPLES = flags.DEFINE_integer("samples", 8, "inputs that calibrate for --products")
_OUTPUT = flags.DEFINE_string("output", None, "where the table goes as JSON")
_MARKDOWN = flags.DEFINE_string("markdown", None, "where it goes as Markdown; printed if neither")


def main(argv: list[str]) -> int:
    del argv
    try:
        model = import_model(_MODEL.value)
        quantized = onnx.load(_QUANTIZED.value)
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    inputs = [seeded_inputs(model, seed) for seed in range(_INPUTS.value)]
    rows = sqnr_table(model, quantized, inputs)
    text = [
        f"# {pathlib.Path(_QUANTIZED.value).name}: how far it is from the float model",
        f"Over {len(inputs)} seeded inputs, both models in onnxruntime. `fall`: below the worst "
        "tensor that the row is made of.",
        format_table(rows),
    ]
    record: dict[str, object] = {
        "inputs": len(inputs), "rows": [asdict(row) for row in rows],
    }
    if _PRODUCTS.value:
        other = products_quantized(model, calibration_batches(model, 0, _SAMPLES.value))
        outputs = {value.name for value in model.graph.output}
        theirs = [
            replace(row, fall_db=None)  # what it falls below is not shown
            for row in sqnr_table(model, other, inputs)
            if row.tensor in outputs
        ]
        text += ["## onnxruntime with matrix products alone quantized", format_table(theirs)]
        record["products"] = [asdict(row) for row in theirs]
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
