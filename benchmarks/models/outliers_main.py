"""The stage float model -> one with outliers: `outliers_main --model F.onnx --output O.onnx`."""

import pathlib

from absl import app, flags

from jacquard.benchmarks.models.outliers import with_outliers
from jacquard.compiler.frontend.import_model import import_model

_MODEL = flags.DEFINE_string("model", None, "the float .onnx", required=True)
_SEED = flags.DEFINE_integer("seed", 1, "of the channels")
_OUTPUT = flags.DEFINE_string("output", None, "where the .onnx with outliers goes", required=True)


def main(argv: list[str]) -> None:
    del argv
    model = with_outliers(import_model(_MODEL.value), _SEED.value)
    pathlib.Path(_OUTPUT.value).write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    app.run(main)
