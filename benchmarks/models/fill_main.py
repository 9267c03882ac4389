"""The stage graph -> float model: `fill --graph G.textproto --seed S --output F.onnx`.

With `--like G2.textproto` weights that the two have in common are those of G2.
"""

import pathlib

from absl import app, flags

from jacquard.benchmarks.models.fill import fill, load_graph

_GRAPH = flags.DEFINE_string("graph", None, "the committed graph, .textproto", required=True)
_LIKE = flags.DEFINE_string("like", None, "a graph whose weights are taken where it has them")
_SEED = flags.DEFINE_integer("seed", 1, "of the weights")
_OUTPUT = flags.DEFINE_string("output", None, "where the filled .onnx goes", required=True)


def main(argv: list[str]) -> None:
    del argv
    like = None if _LIKE.value is None else fill(load_graph(_LIKE.value), _SEED.value)
    model = fill(load_graph(_GRAPH.value), _SEED.value, like)
    pathlib.Path(_OUTPUT.value).write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    app.run(main)
