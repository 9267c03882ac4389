"""Quantizes a float model into a QDQ file, such as the prefill and the decode step of a decoder."""

from __future__ import annotations

import pathlib

import onnx
from absl import flags

from jacquard.compiler.frontend.load import read
from jacquard.compiler.frontend.quantize import is_quantized
from jacquard.proto.lib.errors import UserError, raise_if_any
from jacquard.runtime.api.files import write_whole
from jacquard.runtime.cli import options, screen
from jacquard.runtime.cli.entry import start


def define_flags() -> flags.FlagValues:
    values = flags.FlagValues()
    options.add_quantization_flags(values)
    flags.DEFINE_string(
        "like",
        None,
        "a quantized model whose scales are taken for what the two share: the prefill of a decode "
        "step",
        flag_values=values,
    )
    flags.DEFINE_string("output", None, "QDQ file to write", flag_values=values)
    return values


def main(argv: list[str]) -> int:
    """`jacquard quantize`."""
    values = define_flags()
    options.parse(values, "quantize", argv)
    if not values["output"].value:
        raise UserError("--output: a file for the quantized model must be given")
    output = pathlib.Path(values["output"].value)
    options.check_writable(values["output"].value, "output")
    model = options.load_model(values)
    if is_quantized(model):
        raise UserError(
            f"--model {values['model'].value}: must be a float model, got one that is quantized; "
            "run or compile it as it is"
        )
    like = load_like(values["like"].value, values, model)
    with screen.status("calibrating"):
        qdq, _ = options.quantized(model, values, like)
    write_whole(output, qdq.SerializeToString(deterministic=True))
    quantized = sum(node.op_type == "QuantizeLinear" for node in qdq.graph.node)
    screen.print_line(
        f"{output}: {len(qdq.graph.node)} nodes, {quantized} tensors quantized, "
        f"{output.stat().st_size:,} bytes"
    )
    return 0


def load_like(
    path: str | None, values: flags.FlagValues, model: onnx.ModelProto
) -> onnx.ModelProto | None:
    """The model of --like. Raises UserError if it is none that `model` can go on from."""
    if path is None:
        return None
    if values["smooth_quant"].value is not None:
        raise UserError("--smooth-quant: must not come with --like, whose factors are taken")
    like = read(path)
    if not is_quantized(like):
        raise UserError(
            f"--like {path}: must be quantized (QDQ), got a float model; quantize it first"
        )
    given = {output.name for output in like.graph.output}
    shared = [output.name for output in model.graph.output if output.name.startswith("present")]
    if not shared:
        raise UserError(
            "--like: must come with a decode step, which gives present.N.key and present.N.value, "
            f"got a model of {', '.join(v.name for v in model.graph.output)}; quantize it without"
        )
    raise_if_any(
        f"--like {path}: must give {name} as --model does; give the prefill of this decode step"
        for name in shared
        if name not in given
    )
    return like


if __name__ == "__main__":
    start(main)
