"""The stage float model -> QDQ model: `quantize --model F.onnx --seed S --output Q.onnx`."""

import pathlib
import sys

import onnx
from absl import app, flags

from jacquard.benchmarks.models.seeded import calibration_batches
from jacquard.compiler.frontend.import_model import import_model
from jacquard.compiler.frontend.quantize import quantize_model
from jacquard.proto.lib.errors import UserError

_MODEL = flags.DEFINE_string("model", None, "the float .onnx", required=True)
_SEED = flags.DEFINE_integer("seed", 0, "of the calibration data")
_SAMPLES = flags.DEFINE_integer("samples", 8, "how many inputs calibrate", lower_bound=1)
_LIKE = flags.DEFINE_string("like", None, "a QDQ .onnx whose grids are taken for what is shared")
_WEIGHT_BITS = flags.DEFINE_enum("weight_bits", "8", ["4", "8"], "of the configuration's array")
_OUTPUT = flags.DEFINE_string("output", None, "where the QDQ .onnx goes", required=True)


def main(argv: list[str]) -> int:
    del argv
    try:
        model = import_model(_MODEL.value)
        batches = calibration_batches(model, _SEED.value, _SAMPLES.value)
        like = None if _LIKE.value is None else onnx.load(_LIKE.value)
        quantized = quantize_model(
            model, batches, like=like, weight_bits=int(_WEIGHT_BITS.value))
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    pathlib.Path(_OUTPUT.value).write_bytes(quantized.SerializeToString(deterministic=True))
    return 0


if __name__ == "__main__":
    app.run(main)
