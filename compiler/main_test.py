"""compile_model as a user meets it: options, determinism, messages."""

import dataclasses

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from jacquard.compiler.codelets.base import Case
from jacquard.compiler.codelets.case_model import model_of
from jacquard.compiler.dram import plan as dram
from jacquard.compiler.main import CompileOptions, compile_model, import_once
from jacquard.compiler.overrides import LayerOverride
from jacquard.compiler.passes import storage
from jacquard.compiler.passes.pipeline import GRAPH_PASSES
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch, load_config
from jacquard.proto.lib.errors import UserError

EDGE16 = load_config("edge16")
NANO4 = load_config("nano4")


def conv_case(
    shape: tuple[int, ...], weights: tuple[int, ...], **attributes: object
) -> onnx.ModelProto:
    w = np.random.default_rng(7).normal(size=weights).astype(np.float32)
    return model_of("Conv", Case("case", {"x": shape}, attributes, {"w": w}, ("w",)))


def residual_model() -> onnx.ModelProto:
    """x -> conv -> + x -> out, 8 channels, everything int8 with scale 0.05."""
    text_q = [numpy_helper.from_array(np.array(0.05, np.float32), "s"),
              numpy_helper.from_array(np.array(0, np.int8), "z"),
              numpy_helper.from_array(
                  np.random.default_rng(3).integers(-9, 9, (8, 8, 3, 3)).astype(np.int8), "w")]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xi"], "xq"),
        helper.make_node("DequantizeLinear", ["xi", "s", "z"], ["xr"], "xdq"),
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["wr"], "wdq"),
        helper.make_node("Conv", ["xr", "wr"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("QuantizeLinear", ["c", "s", "z"], ["ci"], "cq"),
        helper.make_node("DequantizeLinear", ["ci", "s", "z"], ["cr"], "cdq"),
        helper.make_node("Add", ["cr", "xr"], ["a"], "add"),
        helper.make_node("QuantizeLinear", ["a", "s", "z"], ["ai"], "aq"),
        helper.make_node("DequantizeLinear", ["ai", "s", "z"], ["y"], "adq"),
    ]
    shape = (1, 8, 12, 12)
    graph = helper.make_graph(
        nodes, "residual", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)], text_q)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("arch", [NANO4, EDGE16], ids=["nano4", "edge16"])
def test_same_input_same_bytes(arch: Arch) -> None:
    first, second = (
        compile_model(residual_model(), arch).SerializeToString(deterministic=True)
        for _ in range(2)
    )
    assert first == second


def test_a_model_imported_once_gives_every_machine_the_same_program() -> None:
    model = residual_model()
    once = import_once(model)
    for arch in (EDGE16, NANO4, EDGE16):
        assert compile_model(once, arch) == compile_model(model, arch)


def test_every_dram_plan_is_validated(monkeypatch: pytest.MonkeyPatch) -> None:
    def stacked(tensors: list[tuple[str, int, int, int]], alignment: int) -> dram.Plan:
        plan = dram.plan(tensors, alignment)
        same = tuple(a._replace(offset_bytes=0) for a in plan.allocations)
        return dataclasses.replace(plan, allocations=same)

    monkeypatch.setattr(storage, "plan_dram", stacked)
    with pytest.raises(AssertionError, match="must not overlap"):
        compile_model(residual_model(), EDGE16)


def test_fusion_is_one_layer_and_can_be_switched_off() -> None:
    fused = compile_model(residual_model(), EDGE16)
    assert [(layer.name, list(layer.nodes)) for layer in fused.layers] == [
        ("conv", ["conv", "add"])
    ]
    assert fused.layers[0].macs == 8 * 8 * 9 * 144
    for options in (
        CompileOptions(fuse=False), CompileOptions(overrides={"conv": LayerOverride(fuse=False)})
    ):
        apart = compile_model(residual_model(), EDGE16, options)
        assert [layer.op for layer in apart.layers] == ["Conv", "Add"]


def test_layers_cover_the_program() -> None:
    program = compile_model(residual_model(), NANO4, CompileOptions(fuse=False))
    codes = isa.decode_program(program.code)
    assert len(codes) == program.instruction_count
    assert program.layers[0].first_instruction == 0
    assert program.layers[-1].end_instruction == program.instruction_count
    for layer, following in zip(program.layers, program.layers[1:], strict=False):
        assert layer.end_instruction == following.first_instruction
        assert isinstance(codes[layer.end_instruction - 1], isa.Store)


@pytest.mark.parametrize(
    ("field", "value", "check"),
    [
        ("tile_height", 3, lambda m: m.n_y == 3),
        ("tile_width", 4, lambda m: m.n_x == 4),
        ("channel_tiles", 1, lambda m: m.n_c == 1),
    ],
)
def test_overrides_fix_the_tiling(field: str, value: int, check: object) -> None:
    model = conv_case((1, 32, 12, 12), (32, 32, 3, 3), pads=[1, 1, 1, 1])
    options = CompileOptions(overrides={"Conv_case": LayerOverride(**{field: value})})
    program = compile_model(model, EDGE16, options)
    products = [i for i in isa.decode_program(program.code) if isinstance(i, isa.Matrix)]
    assert callable(check)
    assert products and all(check(m) for m in products)


@pytest.mark.parametrize(
    ("fuse", "layer", "override", "message"),
    [
        (False, "add", LayerOverride(tile_height=4),
         "override of layer add: tile_height must be of a layer on MATRIX, got a layer that has no "
         "such tiling; leave tile_height out"),
        (True, "add", LayerOverride(tile_width=4, output_tiles=1),
         "override of layer add: tile_width, output_tiles must be of a layer on MATRIX, got a "
         "layer that is fused to conv; override conv"),
    ],
)
def test_overrides_without_effect_are_refused(
    fuse: bool, layer: str, override: LayerOverride, message: str
) -> None:
    options = CompileOptions(fuse=fuse, overrides={layer: override})
    with pytest.raises(UserError) as error:
        compile_model(residual_model(), EDGE16, options)
    assert error.value.lines == (message,)


def test_overrides_of_fusion_are_met_where_nothing_is_fused() -> None:
    options = CompileOptions(fuse=False, overrides={"add": LayerOverride(fuse=False)})
    assert len(compile_model(residual_model(), EDGE16, options).layers) == 2


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UserError, match="cnov: must name .* layers, got none .* mean conv"):
        compile_model(residual_model(), EDGE16,
                      CompileOptions(overrides={"cnov": LayerOverride(fuse=False)}))
    with pytest.raises(UserError, match="--dump-after tiles: must be one of import, views"):
        compile_model(residual_model(), EDGE16, CompileOptions(dump_after=("tiles",)))


def test_dump_after_gives_the_text_of_each_stage() -> None:
    names = ("import", *(name for name, _, _ in GRAPH_PASSES), "lower", "order")
    found: dict[str, str] = {}
    compile_model(residual_model(), EDGE16,
                  CompileOptions(dump_after=names, dump=found.__setitem__))
    assert tuple(found) == names
    assert "Conv(xi) " in found["import"] and "Add(ci, xi)" in found["import"]
    assert "Add" not in found["fuse-add"]
    assert "matrix ibuf=" in found["lower"]


def test_a_layer_that_cannot_fit_says_which_buffer_and_by_how_much() -> None:
    wide = conv_case((1, 4, 1, 200), (2, 4, 1, 150))
    with pytest.raises(UserError) as error:
        compile_model(wide, NANO4)
    assert str(error.value) == (
        "layer Conv_case: one kernel row of weights must fit half of WBUF (2048 bytes), needs "
        "2400, 352 too many; use a larger configuration or a narrower kernel"
    )
    dilated = conv_case((1, 2, 60, 60), (2, 2, 3, 3), dilations=[20, 20])
    with pytest.raises(UserError) as error:
        compile_model(dilated, NANO4)
    assert str(error.value) == (
        "layer Conv_case: two input tiles of one output position must fit IBUF (8192 bytes), "
        "5256 bytes too many; use a larger configuration"
    )


def _edited(kind: str) -> onnx.ModelProto:
    """The residual model with something that cannot be compiled."""
    model = residual_model()
    nodes = {n.name: n for n in model.graph.node}
    if kind == "operators":
        nodes["conv"].op_type, nodes["add"].op_type = "Sin", "Tan"
    elif kind == "float_input":
        nodes["conv"].input[0] = "x"
    elif kind == "unquantized":
        model.graph.node.remove(nodes["cq"])
        model.graph.node.remove(nodes["cdq"])
        nodes["add"].input[0] = "c"
    elif kind == "scale":
        model.graph.initializer[0].CopyFrom(
            numpy_helper.from_array(np.array(np.inf, np.float32), "s"))
    elif kind == "output":
        model.graph.output[0].name = "a"
    elif kind == "dynamic":
        model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    elif kind == "batch":
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    return model


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("operators", ["node conv (Sin): operator is not supported by the compiler",
                       "node add (Tan): operator is not supported by the compiler"]),
        ("float_input", ["node conv (Conv): its input must come from a DequantizeLinear, got float "
                         "graph input x; quantize it"]),
        ("unquantized", ["node conv (Conv): its result must be quantized before node add (Add) "
                         "reads it; quantize this operator too"]),
        ("scale", ["node xq (QuantizeLinear): scales must be finite and positive, got [inf]; "
                   "recalibrate the model"]),
        ("output", ["output a: must be quantized (a DequantizeLinear last); quantize it too"]),
        ("dynamic", ["input x: every dimension must have a size, got [1, 8, 'height', 12]; "
                     "give the sizes when importing"]),
        ("batch", ["node conv (Conv): must be two-dimensional with batch 1, got input "
                   "(2, 8, 12, 12) and weights (8, 8, 3, 3)"]),
    ],
)
def test_messages(kind: str, lines: list[str]) -> None:
    with pytest.raises(UserError) as error:
        compile_model(_edited(kind), EDGE16)
    for line in lines:
        assert any(found.startswith(line) for found in error.value.lines), error.value.lines


def test_arrays_with_more_rows_than_columns_are_refused() -> None:
    other = dataclasses.replace(EDGE16, rows=32)
    with pytest.raises(UserError, match="no more rows, got 32 rows, 16 columns and 16 lanes"):
        compile_model(residual_model(), other)


def test_a_cache_needs_a_square_array() -> None:
    options = CompileOptions(kv_cache=True)
    with pytest.raises(UserError, match="--kv-cache: config rect8x16 must have as many rows as"):
        compile_model(residual_model(), load_config("rect8x16"), options)


def test_weights_of_more_bits_than_the_array_has_are_refused() -> None:
    lines = "weights must lie in -8 to 7 for an array of 4-bit weights, got -9 to 8"
    with pytest.raises(UserError, match=lines):
        compile_model(residual_model(), load_config("edge16w4"))
