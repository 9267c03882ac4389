"""What users fix: from text and textproto, its effect, messages with layer, field and limit."""

from __future__ import annotations

import pathlib

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from jacquard.compiler.codelets.base import Case
from jacquard.compiler.codelets.case_model import model_of
from jacquard.compiler.main import CompileOptions, compile_model
from jacquard.compiler.overrides import LayerOverride, parse_override, read_overrides
from jacquard.proto import npu_isa as isa
from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.arch import load_config
from jacquard.proto.lib.errors import UserError

EDGE16 = load_config("edge16")
NANO4 = load_config("nano4")


def conv(channels: int, size: int, filters: int, kernel: int = 3) -> onnx.ModelProto:
    w = np.random.default_rng(7).normal(size=(filters, channels, kernel, kernel))
    case = Case("case", {"x": (1, channels, size, size)}, {"pads": [kernel // 2] * 4},
                {"w": w.astype(np.float32)}, ("w",))
    return model_of("Conv", case)


def residual() -> onnx.ModelProto:
    """x -> conv -> + x, 8 channels, everything int8 with scale 0.05."""
    w = np.random.default_rng(3).integers(-9, 9, (8, 8, 3, 3)).astype(np.int8)
    constants = [numpy_helper.from_array(np.array(0.05, np.float32), "s"),
                 numpy_helper.from_array(np.array(0, np.int8), "z"),
                 numpy_helper.from_array(w, "w")]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xi"]),
        helper.make_node("DequantizeLinear", ["xi", "s", "z"], ["xr"]),
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["wr"]),
        helper.make_node("Conv", ["xr", "wr"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("QuantizeLinear", ["c", "s", "z"], ["ci"]),
        helper.make_node("DequantizeLinear", ["ci", "s", "z"], ["cr"]),
        helper.make_node("Add", ["cr", "xr"], ["a"], "add"),
        helper.make_node("QuantizeLinear", ["a", "s", "z"], ["ai"]),
        helper.make_node("DequantizeLinear", ["ai", "s", "z"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, 8, 12, 12)) for n in "xy")
    graph = helper.make_graph(nodes, "residual", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def compiled(model: onnx.ModelProto, **override: object) -> pb.Program:
    fixed = LayerOverride(**override)  # type: ignore[arg-type]
    return compile_model(model, EDGE16, CompileOptions(overrides={"Conv_case": fixed}))


def loaded(program: pb.Program, buffer: isa.Buffer) -> int:
    """Bytes that LOAD writes into a memory."""
    return sum(
        i.n0 * i.n1 * i.n2 * i.n3 for i in isa.decode_program(program.code)
        if isinstance(i, isa.Load) and i.buffer == buffer
    )


def test_order_fixes_what_is_loaded_once() -> None:
    """A convolution of 784 positions in a row, 256 to 64 channels: four tiles of positions."""
    model = conv(256, 28, 64, kernel=1)
    weights = compiled(model, order="weights", tile_width=196)
    assert loaded(weights, isa.Buffer.WBUF) == 64 * 256
    inputs = compiled(model, order="inputs", tile_width=196)
    assert loaded(inputs, isa.Buffer.IBUF) == 28 * 28 * 256
    # In chunks of the reduction neither stays.
    free = compiled(model, channel_tiles=4, tile_width=196, output_tiles=1)
    assert loaded(free, isa.Buffer.IBUF) == 4 * 28 * 28 * 256
    assert loaded(free, isa.Buffer.WBUF) == 4 * 64 * 256


@pytest.mark.parametrize(
    ("model", "override", "message"),
    [
        (conv(64, 32, 64), LayerOverride(tile_height=32, tile_width=32, output_tiles=1),
         "override of layer Conv_case: tile_height 32, tile_width 32, output_tiles 1 must fit half "
         "of OBUF (128 rows), needs 1024; give smaller ones"),
        (conv(64, 32, 64), LayerOverride(channel_tiles=16, tile_width=32),
         "override of layer Conv_case: tile_width 32, channel_tiles 16 must fit IBUF (8192 bytes), "
         "needs 6528, twice since the next tile's arrive meanwhile; give smaller ones"),
        (conv(64, 32, 64), LayerOverride(order="weights", tile_height=1),
         "override of layer Conv_case: order weights must fit WBUF (4096 bytes), needs 36864 for "
         "all weights; leave it out"),
        (conv(2, 32, 8), LayerOverride(channel_tiles=1),
         "override of layer Conv_case: channel_tiles must be all 2 of inputs that lie together in "
         "DRAM, got 1; leave it out"),
    ],
)
def test_what_does_not_fit_names_layer_field_and_limit(
    model: onnx.ModelProto, override: LayerOverride, message: str
) -> None:
    with pytest.raises(UserError) as error:
        compile_model(model, NANO4, CompileOptions(overrides={"Conv_case": override}))
    assert error.value.lines == (message,)


def test_placement() -> None:
    """The sum takes over the convolution's result; nothing takes over a model's output."""

    def layers(**override: object) -> int:
        fixed = {"conv": LayerOverride(**override)}  # type: ignore[arg-type]
        return len(compile_model(residual(), EDGE16, CompileOptions(overrides=fixed)).layers)

    assert (layers(placement="chip"), layers(placement="dram")) == (1, 2)
    with pytest.raises(UserError) as error:
        layers(placement="chip", fuse=False)
    assert error.value.lines == (
        "override of layer conv: placement must not be chip where fuse is false; leave one of them "
        "out",
    )
    with pytest.raises(UserError) as error:
        compiled(conv(16, 8, 16), placement="chip")
    assert error.value.lines == (
        "override of layer Conv_case: placement chip must be of a result that the next operator "
        "takes over or that IBUF has room for, got one that is stored for the host; leave it out",
    )


def test_from_text() -> None:
    assert parse_override("conv:order=INPUTS") == ("conv", LayerOverride(order="inputs"))
    assert parse_override("a:b:tile_height=4,fuse=false,order=inputs") == (
        "a:b", LayerOverride(tile_height=4, fuse=False, order="inputs")
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tile_height=4", "must be LAYER:FIELD=VALUE,..., got no layer"),
        ("conv:height=4", "field must be one of tile_height, tile_width, channel_tiles"),
        ("conv:tile_height=-4", "tile_height must be a positive number, got '-4'"),
        ("conv:fuse=no", "fuse must be true or false, got 'no'"),
        ("conv:order=rows", "order must be inputs or weights, got 'rows'"),
    ],
)
def test_text_that_is_not_understood(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_override(text)


def test_from_a_textproto(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "o.textproto"
    file.write_text("""
        layer { name: "conv1" tile_height: 14 output_tiles: 2 order: INPUTS }
        layer { name: "conv2" fuse: false placement: DRAM }
    """)
    assert read_overrides(file) == {
        "conv1": LayerOverride(tile_height=14, output_tiles=2, order="inputs"),
        "conv2": LayerOverride(fuse=False, placement="dram"),
    }


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ('layer { name: "a" tile_height: 0 } layer { name: "a" } layer { fuse: true }',
         ["layer a: tile_height must be a positive number, got 0", "layer a: must stand there once",
          "name of a layer must be given"]),
        ('layer { name: "a" tile: 3 }', ["must be an Overrides textproto, got 1:19 : "]),
        ('layer { name: "a" order: ROWS }', ["must be an Overrides textproto", "ROWS"]),
    ],
)
def test_a_textproto_with_mistakes(
    text: str, messages: list[str], tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "o.textproto"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        read_overrides(file)
    assert all(any(m in line for line in error.value.lines) for m in messages), error.value.lines
    with pytest.raises(UserError, match="must be a file that can be read, got No such file"):
        read_overrides(tmp_path / "none")
