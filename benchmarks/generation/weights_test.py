"""One image of the weights: prefill and steps of the cuts have the same bytes, however tiled."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from jacquard.benchmarks.generation.tiny_pair import quantized_pair, with_rows
from jacquard.compiler.main import CompileOptions, compile_model
from jacquard.compiler.overrides import LayerOverride
from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.arch import load_config
from jacquard.proto.lib.errors import UserError
from jacquard.runtime.generation import weights

CACHED = CompileOptions(kv_cache=True)


def image(program: pb.Program) -> bytes:
    return weights.segment(program).data


@pytest.mark.parametrize("config", ["nano4", "edge16"])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_prefill_and_buckets_have_one_image(config: str, family: str) -> None:
    """Steps have the tables of positions behind it, whose rows a prefill knows."""
    arch = load_config(config)
    prefill, decode = quantized_pair(family)
    first = image(compile_model(prefill, arch))
    step = image(compile_model(decode, arch, CACHED))
    assert len(first) > 150_000  # matrices and the table of ids: all but positions
    assert step[: len(first)] == first
    if family == "gpt2":
        assert image(compile_model(with_rows(decode, 16), arch, CACHED)) == step
        assert image(compile_model(decode, arch)) == step  # without a cache in place, too


def test_tiling_does_not_change_it() -> None:
    arch = load_config("nano4")
    prefill, _ = quantized_pair()
    plain = compile_model(prefill, arch)
    products = [layer.name for layer in plain.layers if layer.op == "MatMul"]
    narrow = {name: LayerOverride(tile_width=4, output_tiles=1) for name in products}
    tiled = compile_model(prefill, arch, CompileOptions(overrides=narrow))
    assert len(products) > 4 and tiled.code != plain.code
    assert image(tiled) == image(plain)


def test_other_weights_are_refused() -> None:
    arch = load_config("nano4")
    prefill, decode = quantized_pair()
    other = onnx.ModelProto()
    other.CopyFrom(decode)
    matrix = next(
        t for t in other.graph.initializer
        if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 2
    )
    values = numpy_helper.to_array(matrix).copy()
    values[0, 0] = -values[0, 0] or np.int8(1)
    matrix.CopyFrom(numpy_helper.from_array(values, matrix.name))
    programs = [compile_model(prefill, arch), compile_model(other, arch, CACHED)]
    with pytest.raises(UserError) as error:
        weights.check(programs[0], programs[1], "decode other", "the prefill")
    (line,) = error.value.lines
    assert line.startswith("decode other: weights must be the prefill's bit for bit (sha256 ")
    assert "which differ in " in line and "and quantize their weights alike" in line
