"""import_qdq: what joins a product, what the host computes, masks, and what is refused."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from jacquard.compiler.graph.host import Bound
from jacquard.compiler.graph.ir import Graph, Op
from jacquard.compiler.passes.import_qdq import import_qdq
from jacquard.proto.lib.errors import UserError
from jacquard.proto.lib.masks import MASKED

LOW = np.finfo(np.float32).min
SX, SW = np.float32(0.02), np.float32(0.003)


class Model:
    """A QDQ model in the making; every tensor has the scale 0.02 unless something else is said."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[str] = []

    def input(self, name: str, shape: Sequence[int], kind: int = TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def constant(self, name: str, value: Any) -> str:
        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, op: str, operands: Sequence[str], name: str, **attributes: Any) -> str:
        """The node's only output has its name."""
        self.nodes.append(helper.make_node(op, operands, [name], name=name, **attributes))
        return name

    def pair(self, real: str, dtype: str = "int8", scale: float = float(SX)) -> str:
        """Q, DQ behind `real`."""
        grid = [self.constant(f"{real}.s", np.float32(scale)),
                self.constant(f"{real}.z", np.zeros((), dtype))]
        self.add("QuantizeLinear", [real, *grid], f"{real}.q")
        return self.add("DequantizeLinear", [f"{real}.q", *grid], f"{real}.dq")

    def weights(self, name: str, q: np.ndarray, scale: Any = SW) -> str:
        grid = [self.constant(f"{name}.s", np.asarray(scale, np.float32)),
                self.constant(f"{name}.z", np.zeros(np.shape(scale), q.dtype))]
        return self.add("DequantizeLinear", [self.constant(f"{name}.q", q), *grid], name,
                        axis=q.ndim - 1)

    def imported(self, *outputs: str) -> Graph:
        return import_qdq(self.proto(*outputs), "test")

    def proto(self, *outputs: str) -> onnx.ModelProto:
        infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs]
        graph = helper.make_graph(self.nodes, "test", self.inputs, infos, self.initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def ops(graph: Graph, kind: str) -> list[Op]:
    return [op for op in graph.ops if op.kind == kind]


def lines(model: Model, *outputs: str) -> str:
    with pytest.raises(UserError) as error:
        model.imported(*outputs)
    return "\n".join(error.value.lines)


# --- what joins a product -------------------------------------------------------------------------

Q = np.random.default_rng(1).integers(-9, 9, (8, 4)).astype(np.int8)
STEP = np.float64(SX) * np.float64(SW)


def product(two: bool = False) -> tuple[Model, str]:
    model = Model()
    x = model.pair(model.input("x", (1, 3, 8)))
    w = model.pair(model.input("w", (1, 8, 4))) if two else model.weights("w", Q)
    return model, model.add("MatMul", [x, w], "product")


@pytest.mark.parametrize("first", [True, False], ids=["sum_first", "bias_first"])
@pytest.mark.parametrize("kind", ["same_grid", "other_grid", "float", "one"])
def test_an_add_of_constants_per_column_is_the_bias(kind: str, first: bool) -> None:
    model, y = product()
    steps = np.array([5, -700, 0, 123456])
    if kind == "same_grid":
        bias = model.weights("b", steps.astype(np.int32), STEP)
    elif kind == "other_grid":
        bias = model.weights("b", (steps // 100).astype(np.int32), STEP * 100)
        steps = steps // 100 * 100
    elif kind == "float":
        bias = model.constant("b", ((steps + 0.3) * STEP).astype(np.float32)[None, None])
    else:
        bias = model.constant("b", np.float32(77.2 * STEP))
        steps = np.full(4, 77)
    total = model.add("Add", [y, bias] if first else [bias, y], "sum")
    (op,) = model.imported(model.pair(total, "int16")).ops
    assert (op.kind, op.name, op.nodes) == ("MatMul", "product", ("product", "sum"))
    np.testing.assert_array_equal(op.attrs["weights"].bias, steps)
    np.testing.assert_allclose(op.attrs["weights"].bias_real, steps * STEP)


def test_a_factor_behind_a_product_scales_its_step_in_the_references_order() -> None:
    model, y = product()
    biased = model.add("Add", [y, model.constant("b", np.full(4, 3 * STEP, np.float32))], "sum")
    third = model.add("Mul", [model.constant("c", np.float32(1 / 3)), biased], "third")
    part = model.add("Div", [third, model.constant("d", np.full((1, 1), 7, np.float32))], "part")
    (op,) = model.imported(model.pair(part)).ops
    weights = op.attrs["weights"]
    assert op.nodes == ("product", "sum", "third", "part")
    assert weights.step(SX) == STEP * np.float64(np.float32(1 / 3)) * (1 / 7.0)
    np.testing.assert_array_equal(weights.bias, [3] * 4)


def test_products_of_two_activations_have_biases_and_factors_too() -> None:
    model, y = product(two=True)
    bias = model.constant("b", np.array([1, 2, 3, 4], np.float32) * SX * SX)
    half = model.constant("c", np.array([0.5], np.float32))
    scaled = model.add("Mul", [model.add("Add", [y, bias], "sum"), half], "half")
    (op,) = model.imported(model.pair(scaled)).ops
    np.testing.assert_array_equal(op.attrs["bias"], [1, 2, 3, 4])
    assert op.attrs["gains"] == (0.5,)


@pytest.mark.parametrize("kind", ["rows", "second", "behind", "negative", "columns", "wider"])
def test_what_does_not_join_a_product_must_be_quantized_first(kind: str) -> None:
    model, y = product()
    one = model.constant("one", np.float32(1))
    if kind == "rows":
        y = model.add("Add", [y, model.constant("c", np.ones((3, 1), np.float32))], "node")
    elif kind in ("second", "behind"):
        before = model.add("Add" if kind == "second" else "Mul", [y, one], "before")
        y = model.add("Add", [before, one], "node")
    elif kind == "negative":
        y = model.add("Mul", [y, model.constant("c", np.float32(-1))], "node")
    elif kind == "columns":
        y = model.add("Mul", [y, model.constant("c", np.ones(4, np.float32))], "node")
    else:
        y = model.add("Mul", [y, model.constant("c", np.ones((1, 1, 1, 1), np.float32))], "node")
    assert "node product (MatMul): its result must be quantized before node node" in lines(
        model, model.pair(y))


def test_gemm_takes_a_factor_and_no_second_bias() -> None:
    for op, joins in (("Mul", True), ("Add", False)):
        model = Model()
        x = model.pair(model.input("x", (3, 8)))
        y = model.add("Gemm", [x, model.weights("w", Q)], "gemm", alpha=0.5)
        y = model.add(op, [y, model.constant("c", np.float32(0.25))], "node")
        if joins:
            (found,) = model.imported(model.pair(y)).ops
            assert found.attrs["weights"].gains == (0.5, 0.25)
        else:
            assert "its result must be quantized before node node (Add)" in lines(
                model, model.pair(y))


# --- 16 bits, and results that are quantized twice ------------------------------------------------

def test_a_result_quantized_twice_is_two_ops_and_a_chain_is_one_more() -> None:
    model, y = product()
    wide = model.pair(y, "int16", 1e-4)
    grid = [model.constant("s", np.float32(0.03)), model.constant("z", np.uint8(120))]
    model.add("QuantizeLinear", [y, *grid], "second.q")
    second = model.add("DequantizeLinear", ["second.q", *grid], "second")
    narrow = model.pair(wide, "uint8", 0.05)
    graph = model.imported(wide, second, narrow)
    assert [(op.kind, graph.tensors[op.outputs[0]].grid.dtype) for op in graph.ops] == [
        ("MatMul", "int16"), ("MatMul", "uint8"), ("QuantizeLinear", "uint8")
    ]
    assert len({op.name for op in graph.ops}) == 3


def test_activations_of_32_bits_are_refused() -> None:
    model, y = product()
    assert "activations must be int8, uint8, int16, uint16, got int32" in lines(
        model, model.pair(y, "int32"))


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_scales_of_activations_that_calibrate_nothing_are_refused(scale: float) -> None:
    model, y = product()
    assert f"an activation's scale must lie in [9.09495e-13, 1.67772e+07], got {scale:g}" in lines(
        model, model.pair(y, scale=scale))


def test_products_of_16_bits_are_refused() -> None:
    model = Model()
    x = model.pair(model.input("x", (1, 3, 8)), "int16")
    y = model.pair(model.add("MatMul", [x, model.weights("w", Q)], "product"))
    assert lines(model, y) == (
        "node product (MatMul): its operands must be int8 or uint8, got int16; quantize them to "
        "uint8 in front of it"
    )
    model, y = product()
    assert lines(model, model.pair(y, "uint16")) == (
        "node product (MatMul): its result must be int8 or uint8 or int16, got uint16; quantize it "
        "to int16"
    )


# --- the host's part ------------------------------------------------------------------------------

def attention(mask_shape: Sequence[int] = (1, 1, 1, 6)) -> tuple[Model, str]:
    """Logits [1, 2, 5, 6] and an int64 input m."""
    model = Model()
    model.input("m", mask_shape, TensorProto.INT64)
    return model, model.pair(model.input("x", (1, 2, 5, 6)), "int16")


def softmaxed(model: Model, logits: str, name: str = "softmax") -> str:
    return model.pair(model.add("Softmax", [logits], name, axis=-1), "uint8", 1 / 255)


def host_result(graph: Graph, **inputs: np.ndarray) -> np.ndarray:
    assert graph.host is not None
    host = onnx.load_from_string(graph.host.model)
    onnx.checker.check_model(host, full_check=True)
    (result,) = ReferenceEvaluator(host).run(None, inputs)
    return np.asarray(result)


M = np.array([1, 0, 1, 1, 0, 1]).reshape(1, 1, 1, 6)


def test_a_mask_made_by_the_host_stands_beside_the_logits() -> None:
    model, x = attention()
    model.constant("low", np.array([LOW], np.float32))
    model.constant("zero", np.array([0], np.float32))
    keep = model.add("Cast", ["m"], "keep", to=TensorProto.BOOL)
    mask = model.add("Where", [keep, "zero", "low"], "mask")
    y = softmaxed(model, model.add("Add", [x, mask], "masked"), "first")
    z = softmaxed(model, model.add("Add", [mask, y], "again"), "second")
    graph = model.imported(z)
    first, second = graph.ops
    assert first.inputs == ("x.q", "mask") and first.nodes == ("masked", "first")
    assert second.inputs == ("first.q", "mask") and second.name == "second"
    mask_tensor = graph.tensors["mask"]
    assert (mask_tensor.shape, mask_tensor.grid.dtype) == ((1, 1, 1, 6), "int32")
    assert graph.inputs == {"x": "x.q", "mask": "mask"}
    assert graph.host is not None and graph.host.inputs == {"mask": Bound("mask")}
    assert [(n.name, n.op) for n in graph.host.nodes] == [("keep", "Cast"), ("mask", "Where")]
    np.testing.assert_array_equal(host_result(graph, m=M), np.where(M, 0, LOW).astype(np.float32))


@pytest.mark.parametrize("low_first", [True, False])
def test_a_choice_by_the_host_becomes_a_mask(low_first: bool) -> None:
    model, x = attention()
    low = model.constant("low", np.float32(-np.inf))
    keep = model.add("Cast", ["m"], "keep", to=TensorProto.BOOL)
    y = model.add("Where", [keep, low, x] if low_first else [keep, x, low], "chosen")
    graph = model.imported(softmaxed(model, y))
    (op,) = graph.ops
    assert op.inputs == ("x.q", "chosen.mask") and op.nodes == ("chosen", "softmax")
    hidden = M != 0 if low_first else M == 0
    np.testing.assert_array_equal(host_result(graph, m=M), np.where(hidden, -np.inf, 0))


def test_any_operator_may_run_on_the_host_and_dead_ones_do_not() -> None:
    model, x = attention((1, 6))
    axis = model.constant("axis", np.int64(1))
    sums = model.add("CumSum", ["m", axis], "sums")
    model.add("Sin", [model.add("Cast", ["m"], "reals", to=TensorProto.FLOAT)], "dead")
    late = model.add("Greater", [sums, model.constant("three", np.int64(3))], "late")
    low = model.constant("low", np.float32(-1e5))
    graph = model.imported(softmaxed(model, model.add("Where", [late, low, x], "chosen")))
    assert graph.host is not None
    assert [node.op for node in graph.host.nodes] == ["CumSum", "Greater", "Where"]
    m = np.array([[2, 1, 1, 0, 0, 0]])
    np.testing.assert_array_equal(host_result(graph, m=m), [[0, 0, -1e5, -1e5, -1e5, -1e5]])


def test_a_float_input_may_be_the_mask() -> None:
    model = Model()
    x = model.pair(model.input("x", (1, 2, 5, 6)), "int16")
    y = softmaxed(model, model.add("Add", [x, model.input("mask", (1, 1, 5, 6))], "masked"))
    graph = model.imported(y)
    assert graph.host is not None and graph.host.model == b"" and not graph.host.nodes
    assert graph.host.inputs == {"mask": Bound("mask")}


CAUSAL = np.triu(np.full((5, 6), LOW, np.float32), 2)


def test_constant_masks_are_one_tensor() -> None:
    model, x = attention()
    model.inputs.pop(0)
    causal = model.constant("causal", CAUSAL)
    y = softmaxed(model, model.add("Add", [x, causal], "masked"), "first")
    upper = model.constant("upper", CAUSAL != 0)
    low = model.constant("low", np.float32(-np.inf))
    z = softmaxed(model, model.add("Where", [upper, low, y], "chosen"), "second")
    graph = model.imported(z)
    first, second = graph.ops
    assert first.inputs[1] == second.inputs[1]
    data = graph.tensors[first.inputs[1]].data
    np.testing.assert_array_equal(data, np.where(CAUSAL != 0, MASKED, 0))
    assert graph.host is None and list(graph.inputs) == ["x"]


def test_masks_add_up_on_the_host() -> None:
    model, x = attention()
    keep = model.add("Cast", ["m"], "keep", to=TensorProto.BOOL)
    low, zero = model.constant("low", np.float32(-1e5)), model.constant("zero", np.float32(0))
    padding = model.add("Where", [keep, zero, low], "padding")
    y = model.add("Add", [x, model.constant("causal", CAUSAL)], "first")
    graph = model.imported(softmaxed(model, model.add("Add", [y, padding], "second")))
    (op,) = graph.ops
    assert op.nodes == ("first", "second", "softmax")
    assert graph.tensors[op.inputs[1]].shape == (1, 1, 5, 6)
    found = host_result(graph, m=M)
    np.testing.assert_array_equal(found <= -1e4, (CAUSAL != 0) | (M == 0))
    assert (found[found > -1e4] == 0).all()


def test_a_mask_of_zeros_is_none() -> None:
    model, x = attention()
    y = model.add("Add", [x, model.constant("c", np.zeros((5, 6), np.float32))], "masked")
    (op,) = model.imported(softmaxed(model, y)).ops
    assert op.inputs == ("x.q",)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.where(CAUSAL != 0, -5, 0), "an additive mask must be 0 or at most -10000, got -5"),
        (np.where(CAUSAL != 0, np.nan, 0), "an additive mask must be 0 or at most -10000, got nan"),
        (np.array([[0.0], [0], [LOW], [0], [0]]),
         r"a mask must leave an element of every row, got row [2] masked whole"),
    ],
)
def test_constant_masks_that_are_none(values: np.ndarray, message: str) -> None:
    model, x = attention()
    y = model.add("Add", [x, model.constant("c", values.astype(np.float32))], "masked")
    assert f"node softmax (Softmax): {message}" in lines(model, softmaxed(model, y))


def test_an_added_constant_is_an_offset_to_everything_but_softmax() -> None:
    model, x = attention()
    y = model.add("Add", [x, model.constant("c", np.full(6, 0.5, np.float32))], "sum")
    (op,) = model.imported(model.pair(y)).ops
    assert op.kind == "Add" and op.attrs["offset"].tolist() == [0.5] * 6


# --- the NaN guard --------------------------------------------------------------------------------

def guarded(model: Model, logits: str, swapped: bool = False) -> str:
    y = model.add("Softmax", [logits], "softmax", axis=-1)
    test = model.add("IsNaN", [y], "test")
    zero = model.constant("guard", np.array([0], np.float32))
    return model.add("Where", [test, y, zero] if swapped else [test, zero, y], "guarded")


def test_the_guard_goes() -> None:
    model, x = attention()
    keep = model.add("Cast", ["m"], "keep", to=TensorProto.BOOL)
    y = model.add("Where", [keep, x, model.constant("low", np.float32(-np.inf))], "chosen")
    (op,) = model.imported(model.pair(guarded(model, y), "uint8")).ops
    assert op.kind == "Softmax" and op.outputs == ("guarded.q",)
    assert op.nodes == ("chosen", "softmax", "guarded")


def test_other_choices_by_isnan_are_refused() -> None:
    model, x = attention()
    assert "node guarded (Where): must put a constant where IsNaN holds" in lines(
        model, model.pair(guarded(model, x, swapped=True), "uint8"))


# --- indices --------------------------------------------------------------------------------------

def table(model: Model, name: str, rows: int) -> str:
    return model.weights(name, np.zeros((rows, 8), np.int16))


def test_ids_are_bound_below_the_smallest_table() -> None:
    model = Model()
    model.input("ids", (1, 5), TensorProto.INT64)
    a = model.pair(model.add("Gather", [table(model, "a", 30), "ids"], "ga"), "int16", float(SW))
    b = model.pair(model.add("Gather", [table(model, "b", 20), "ids"], "gb"), "int16", float(SW))
    graph = model.imported(a, b)
    assert [op.inputs for op in graph.ops] == [("ids",), ("ids",)]
    assert graph.tensors[graph.ops[0].outputs[0]].shape == (1, 5, 8)
    assert graph.inputs == {"ids": "ids"}
    assert graph.host is not None and graph.host.inputs == {"ids": Bound("index", 20, "ids")}
    assert graph.host.model == b""


def test_computed_ids_come_from_the_host() -> None:
    model = Model()
    model.input("ids", (1, 5), TensorProto.INT64)
    shifted = model.add("Add", ["ids", model.constant("two", np.int64(2))], "shifted")
    y = model.add("Gather", [table(model, "a", 30), shifted], "ga")
    graph = model.imported(model.pair(y, "int16", float(SW)))
    assert graph.inputs == {"shifted": "shifted"}
    assert graph.host is not None and graph.host.inputs == {"shifted": Bound("index", 30, "ids")}
    np.testing.assert_array_equal(host_result(graph, ids=np.arange(5)[None]), [[2, 3, 4, 5, 6]])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("floats", "node node (Gather): its table must be quantized"),
        ("moved", "node node (Gather): indices into an activation must be constants, got integers"),
        ("axis", "node node (Gather): must take rows of a matrix, got axis 1 of shape (30, 8)"),
        ("channels", "node node (Gather): its table must have one scale"),
        ("range", "node node (Gather): indices must lie in [-5, 5), got [5]"),
    ],
)
def test_gathers_that_are_refused(kind: str, message: str) -> None:
    model = Model()
    model.input("ids", (1, 5), TensorProto.INT64)
    x = model.pair(model.input("x", (1, 5, 8)))
    if kind == "floats":  # beside activations: alone it would run on the host
        both = model.add("Add", [x, x], "both")
        indices = model.constant("i", np.array([0]))
        y = model.add("Gather", [both, indices], "node")
        model.nodes[-1].input[0] = model.constant("t", np.zeros((30, 8), np.float32))
        model.nodes[-1].input[1] = "ids"
        message = "node node.q (QuantizeLinear): must not read what the host computes, got node"
    elif kind == "moved":
        y = model.add("Gather", [x, "ids"], "node", axis=1)
    elif kind == "axis":
        y = model.add("Gather", [table(model, "a", 30), "ids"], "node", axis=1)
    elif kind == "channels":
        w = model.weights("a", np.zeros((30, 8), np.int16), np.full(8, SW))
        y = model.add("Gather", [w, "ids"], "node")
    else:
        y = model.add("Gather", [x, model.constant("i", np.array([5]))], "node", axis=1)
    assert message in lines(model, model.pair(y, "int16", float(SW)))


def test_elements_at_constant_indices_are_a_move() -> None:
    model = Model()
    x = model.pair(model.input("x", (1, 5, 8)))
    y = model.pair(model.add("Gather", [x, model.constant("i", np.int64(-2))], "node", axis=1))
    (op,) = model.imported(y).ops
    np.testing.assert_array_equal(op.attrs["maps"][0], np.arange(24, 32).reshape(1, 8))


# --- what the host must not do --------------------------------------------------------------------

@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("add", "node node (Add): must be a mask directly in front of a Softmax, got another "
                "reader"),
        ("mul", "node node (Mul): must not mix activations with what the host computes, got "
                "reals"),
        ("where", "node node (Where): must not mix activations with what the host computes, got "
                  "keep"),
        ("output", "output reals: must come from the device, got what the host computes of m, which no "
                   "QuantizeLinear reads; "),
        ("quantized", "node reals.q (QuantizeLinear): must not read what the host computes, got "
                      "reals, made of m alone; leave a mask in float up to its Softmax"),
        ("conv", "node node (MatMul): must not mix activations with what the host computes, got "
                 "plain"),
        ("unknown", "node node (Sin): operator is not supported by the compiler"),
    ],
)
def test_what_is_not_the_hosts(kind: str, message: str) -> None:
    model, x = attention((1, 2, 5, 6))
    reals = model.add("Cast", ["m"], "reals", to=TensorProto.FLOAT)
    outputs = []
    if kind == "where":
        keep = model.add("Cast", ["m"], "keep", to=TensorProto.BOOL)
        y = model.add("Where", [keep, x, model.constant("c", np.float32(0))], "node")
    elif kind == "output":
        y, outputs = x, [reals]
    elif kind == "quantized":
        y = reals
    elif kind == "conv":
        model.input("plain", (3, 8))
        y = model.add("MatMul", ["plain", model.weights("w", Q)], "node")
    elif kind == "unknown":
        y = model.add("Sin", [x], "node")
    else:
        y = model.add(kind.capitalize(), [x, reals], "node")
    assert message in lines(model, model.pair(y), *outputs)
