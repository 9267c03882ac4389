"""Normalisation of real exporters' graphs, and every way in which a file can be wrong."""

import pathlib
from collections import Counter

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper, parser

from jacquard.benchmarks.models.seeded import SeededStream, seeded_inputs
from jacquard.compiler.frontend.import_model import import_model
from jacquard.proto.lib.errors import UserError

SUPPORTED = {"Conv", "Relu", "Add", "MatMul", "Gemm", "MaxPool", "Reshape", "BatchNormalization",
             "GlobalAveragePool", "Flatten", "Transpose"}
NEW = '<ir_version: 9, opset_import: ["" : 18]>'


def normal(*shape: int, seed: int = 1) -> np.ndarray:
    return SeededStream(seed).normal(shape)


def parsed(text: str, **tensors: np.ndarray) -> onnx.ModelProto:
    model: onnx.ModelProto = parser.parse_model(text)
    model.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in tensors.items())
    return model


def run(model: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    results: list[np.ndarray] = ort.InferenceSession(model.SerializeToString()).run(None, inputs)
    return results


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def opset9() -> onnx.ModelProto:
    """As the ONNX project's own zoo writes: initializers are inputs, BN, Sum, Dropout."""
    text = """<ir_version: 3, opset_import: ["" : 9]>
    g (float[1,3,8,8] x, float[4,3,3,3] w, float[4] gamma, float[4] beta, float[4] mean,
       float[4] var, int64[2] shape, int64[2] wide) => (float[1,10] y) {
      c = Conv<pads = [1,1,1,1]>(x, w)
      b = BatchNormalization<epsilon = 0.001>(c, gamma, beta, mean, var)
      r = Relu(b)
      b2 = BatchNormalization(r, gamma, beta, mean, var)
      s = Sum(b2, b, r)
      d, mask = Dropout<ratio = 0.5>(s)
      p = GlobalAveragePool(d)
      f = Reshape(p, shape)
      w2 = ConstantOfShape<value = float[1] {0.25}>(wide)
      m = MatMul(f, w2)
      y = Identity(m)
    }"""
    return parsed(
        text, w=normal(4, 3, 3, 3), gamma=normal(4, seed=2), beta=normal(4, seed=3),
        mean=normal(4, seed=4), var=np.abs(normal(4, seed=5)) + np.float32(0.1),
        shape=np.array([1, -1]), wide=np.array([4, 10]),
    )


def test_opset_9_style() -> None:
    original = opset9()
    model = import_model(original.SerializeToString(), supported=SUPPORTED)
    assert Counter(operators(model)) == {
        "Conv": 1, "Relu": 1, "BatchNormalization": 1, "Add": 2, "GlobalAveragePool": 1,
        "Reshape": 1, "MatMul": 1,
    }
    assert [value.name for value in model.graph.input] == ["x"]
    assert [value.name for value in model.graph.output] == ["y"]
    assert model.opset_import[0].version >= 13
    inputs = {"x": normal(1, 3, 8, 8, seed=9)}
    np.testing.assert_allclose(run(model, inputs)[0], run(original, inputs)[0], rtol=1e-5)


def test_computed_shapes_are_folded() -> None:
    """TorchScript's view(x.size(0), -1), and a Constant node as an argument."""
    text = f"""{NEW} g (float[N,4,6,6] x) => (float[N,M] y) {{
      s = Shape(x)
      zero = Constant<value = int64 {{0}}>()
      n = Gather(s, zero)
      axes = Constant<value = int64[1] {{0}}>()
      n1 = Unsqueeze(n, axes)
      minus = Constant<value = int64[1] {{-1}}>()
      to = Concat<axis = 0>(n1, minus)
      r = Reshape(x, to)
      y = Relu(r)
    }}"""
    original = parsed(text)
    model = import_model(original.SerializeToString(), {"x": (2, 4, 6, 6)}, SUPPORTED)
    assert operators(model) == ["Reshape", "Relu"]
    sizes = [dim.dim_value for dim in model.graph.output[0].type.tensor_type.shape.dim]
    assert sizes == [2, 144]
    inputs = seeded_inputs(model, 1)
    assert (run(model, inputs)[0] == run(original, inputs)[0]).all()


def test_copies_before_outputs_keep_the_outputs_name() -> None:
    text = f"""{NEW} g (float[2,4] x) => (float[2,4] y, float[2,4] z) {{
      a = Relu(x)
      y = Identity(a)
      b = Identity(a)
      z = Add(b, a)
    }}"""
    model = import_model(parsed(text).SerializeToString())
    assert operators(model) == ["Relu", "Add"]
    assert list(model.graph.node[1].input) == ["y", "y"]
    names = [node.name for node in model.graph.node]
    assert all(names) and len(set(names)) == len(names)


def test_external_data(tmp_path: pathlib.Path) -> None:
    model = parsed(f"{NEW} g (float[2,64] x) => (float[2,64] y) {{ y = MatMul(x, w) }}",
                   w=normal(64, 64))
    path = tmp_path / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="m.data", size_threshold=0)
    assert numpy_helper.to_array(import_model(path).graph.initializer[0]).shape == (64, 64)
    with pytest.raises(UserError, match="1 tensors with external data; give the file's path"):
        import_model(path.read_bytes())
    (tmp_path / "m.data").unlink()
    with pytest.raises(UserError, match="external data must lie beside it"):
        import_model(path)


def test_same_bytes_each_time() -> None:
    first, second = (import_model(opset9().SerializeToString()) for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(
        deterministic=True
    )


# ---- bad input --------------------------------------------------------------------------------


def test_missing_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="must be an ONNX file, got no such file; check the path"):
        import_model(tmp_path / "none.onnx")


@pytest.mark.parametrize("data", [b"", b"hello, I am no model", b"\x89PNG\r\n\x1a\n" * 9])
def test_not_onnx(data: bytes) -> None:
    with pytest.raises(UserError, match=r"must be an? (whole )?ONNX file"):
        import_model(data)


@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.5, 0.9, 0.999])
def test_truncated(fraction: float) -> None:
    data = opset9().SerializeToString()
    with pytest.raises(UserError, match="ONNX file"):
        import_model(data[: int(len(data) * fraction)])


def test_all_unsupported_operators_are_named() -> None:
    text = f"""{NEW} g (float[2,4] x) => (float[2,4] y) {{
      a = Softmax(x)
      b = Relu(a)
      c = Erf(b)
      y = Foo(c)
    }}"""
    with pytest.raises(UserError) as error:
        import_model(parsed(text).SerializeToString(), supported=SUPPORTED)
    *nodes, last = error.value.lines
    assert [line.split(",")[1].split(";")[0] for line in sorted(nodes)] == [
        " got Erf", " got Foo", " got Softmax",
    ]
    assert last.startswith("supported operators: Add, ")
    known = parsed(text.replace("Foo", "Tanh"))
    with pytest.raises(UserError) as error:
        import_model(known.SerializeToString(), supported=SUPPORTED)
    assert len(error.value.lines) == 4 and error.value.lines[3] == last
    assert error.value.lines[0] == (
        "node Softmax_0: operator must be supported, got Softmax; replace it by an operator of "
        "the last line"
    )


def test_what_is_made_of_ids_and_masks_alone_may_have_any_operator() -> None:
    text = f"""{NEW} g (int64[1,4] ids, int64[1,4] mask) => (float[1,4,8] y) {{
      e = Gather(table, ids)
      s = Sinh(e)
      i = Sub(one, mask)
      f = Cast<to = 1>(i)
      m = Mul(f, low)
      u = Unsqueeze(m, last)
      y = Add(s, u)
    }}"""
    model = parsed(text, table=normal(9, 8), one=np.array([1]), low=np.float32(-1e4),
                   last=np.array([2]))
    with pytest.raises(UserError) as error:
        import_model(model.SerializeToString(), supported={*SUPPORTED, "Gather"})
    assert [line.split(",")[1].split(";")[0] for line in error.value.lines[:-1]] == [" got Sinh"]
    import_model(model.SerializeToString(), supported={*SUPPORTED, "Gather", "Sinh"})


def test_unsupported_data_types_are_all_named() -> None:
    text = f"""{NEW} g (float16[2,4] x, double[2,4] z) => (float16[2,4] y, double[2,4] u) {{
      y = Relu(x)
      u = Relu(z)
    }}"""
    with pytest.raises(UserError) as error:
        import_model(parsed(text).SerializeToString())
    assert len(error.value.lines) == 4
    assert "got FLOAT16" in str(error.value) and "got DOUBLE" in str(error.value)
    assert "node Relu_0 (Relu): data type of y" in str(error.value)


def test_disagreeing_products_are_all_named() -> None:
    text = f"""{NEW} g (float[2,4] x, float[1,3,8,8] z) => (float[2,5] y, float[1,2,6,6] c) {{
      y = MatMul(x, w)
      c = Conv(z, k)
    }}"""
    model = parsed(text, w=normal(6, 5), k=normal(2, 4, 3, 3))
    with pytest.raises(UserError) as error:
        import_model(model.SerializeToString())
    assert error.value.lines == (
        "node MatMul_0 (MatMul): inner dimensions must agree, got 4 of [2, 4] and 6 of [6, 5]; "
        "correct the model",
        "node Conv_1 (Conv): input channels and group x weight channels must agree, got 3 of "
        "[1, 3, 8, 8] and 4 of [2, 4, 3, 3]; correct the model",
    )


def test_contradicting_shapes() -> None:
    text = f"{NEW} g (float[2,4] x, float[2,5] z) => (float[2,4] y) {{ y = Add(x, z) }}"
    with pytest.raises(UserError, match="shapes must agree along the graph"):
        import_model(parsed(text).SerializeToString())


def test_a_sequence_longer_than_the_models_positions() -> None:
    text = f"""{NEW} g (int64[1,S] ids) => (float[1,S,8] y) {{
      e = Gather(table, ids)
      shape = Shape(ids)
      length = Gather<axis = 0>(shape, one)
      p = Slice(positions, zero, length, one)
      s = Add(e, p)
      y = Mul(s, s)
    }}"""
    model = parsed(text, table=normal(9, 8), positions=normal(1, 16, 8), one=np.array([1]),
                   zero=np.array([0]))
    import_model(model.SerializeToString(), {"ids": [1, 16]})
    with pytest.raises(UserError) as error:
        import_model(model.SerializeToString(), {"ids": [1, 17]})
    (line,) = error.value.lines
    assert "node name: Add_4): [ShapeInferenceError] Incompatible dimensions; correct" in line
    assert line.endswith("a sequence may not have more positions than the model")
    assert "Mul_5" not in line


def test_dynamic_shapes_without_a_size() -> None:
    text = f"{NEW} g (float[N,3,H,8] x) => (float[N,3,H,8] y) {{ y = Relu(x) }}"
    data = parsed(text).SerializeToString()
    with pytest.raises(UserError) as error:
        import_model(data)
    assert error.value.lines == (
        "input x: dimension 0 must have a size, got 'N'; give --shape x=SIZES",
        "input x: dimension 2 must have a size, got 'H'; give --shape x=SIZES",
    )
    with pytest.raises(UserError, match=r"must have shape \['N', 3, 'H', 8\], got \[1, 4, 8, 8\]"):
        import_model(data, {"x": (1, 4, 8, 8)})
    with pytest.raises(UserError, match="shape of q: must name an input"):
        import_model(data, {"x": (1, 3, 8, 8), "q": (1,)})
    assert operators(import_model(data, {"x": (1, 3, 8, 8)})) == ["Relu"]


def test_an_opset_from_the_future_is_refused() -> None:
    text = '<ir_version: 8, opset_import: ["" : 999]> g (float[2,4] x) => (float[2,4] y) {y = Relu(x)}'
    with pytest.raises(UserError, match=r"model: opset must be at most \d+, got 999; export"):
        import_model(parsed(text).SerializeToString())


def test_infinite_weights_are_named() -> None:
    weights = normal(4, 5)
    weights[1, 2] = -np.inf
    text = f"{NEW} g (float[2,4] x) => (float[2,5] y) {{ y = MatMul(x, w) }}"
    with pytest.raises(UserError, match="weights w: must be finite, got 1 infinite"):
        import_model(parsed(text, w=weights).SerializeToString())


def test_a_mask_may_be_infinite() -> None:
    mask = np.array([[0, 0, 0, -np.inf]], np.float32)
    text = f"{NEW} g (float[2,4] x) => (float[2,4] y) {{ y = Add(x, m) }}"
    assert operators(import_model(parsed(text, m=mask).SerializeToString())) == ["Add"]


def test_nan_weights_are_named() -> None:
    weights = normal(4, 5)
    weights[1, 2] = np.nan
    text = f"{NEW} g (float[2,4] x) => (float[2,5] y) {{ y = MatMul(x, w) }}"
    with pytest.raises(UserError, match="weights w: must be numbers, got 1 NaN"):
        import_model(parsed(text, w=weights).SerializeToString())


def test_data_dependent_shapes_are_refused() -> None:
    text = f"""{NEW} g (float[2,4] x) => (int64[2,n] y) {{ y = NonZero(x) }}"""
    with pytest.raises(UserError, match=r"shape of y must be known|data type of y"):
        import_model(parsed(text).SerializeToString())


def graph_of(*nodes: onnx.NodeProto) -> bytes:
    graph = helper.make_graph(
        list(nodes), "g", [helper.make_tensor_value_info("x", 1, [1])],
        [helper.make_tensor_value_info("y", 1, [1])],
    )
    data: bytes = helper.make_model(graph).SerializeToString()
    return data


def test_undefined_tensors_are_all_named() -> None:
    data = graph_of(
        helper.make_node("Relu", ["nowhere"], ["a"]), helper.make_node("Add", ["a", "gone"], ["y"])
    )
    with pytest.raises(UserError) as error:
        import_model(data)
    assert error.value.lines == tuple(
        f"node {node}: input {name} must be a graph input, a weight or another node's output, got "
        "a tensor that nothing produces; export the model again"
        for node, name in (("Relu_0 (Relu)", "nowhere"), ("Add_1 (Add)", "gone"))
    )


def test_optional_inputs_may_be_absent() -> None:
    text = f"{NEW} g (float[2,4] x) => (float[2,4] y) {{ y = Clip(x, , most) }}"
    model = parsed(text, most=np.array(1, np.float32))
    assert operators(import_model(model.SerializeToString())) == ["Clip"]


@pytest.mark.parametrize(
    ("nodes", "cycle"),
    [
        (
            [("Add", "x b", "a"), ("Relu", "a", "b"), ("Relu", "b", "y")],
            "Add_0: must not depend on its own result, got the cycle Add_0 -> Relu_1 -> Add_0;",
        ),
        (
            [("Relu", "b", "y"), ("Add", "x b", "b")],
            "Add_1: must not depend on its own result, got the cycle Add_1 -> Add_1;",
        ),
    ],
)
def test_cycles_are_named(nodes: list[tuple[str, str, str]], cycle: str) -> None:
    data = graph_of(*(helper.make_node(op, i.split(), [o]) for op, i, o in nodes))
    with pytest.raises(UserError) as error:
        import_model(data)
    assert error.value.lines == (f"node {cycle} export the model again",)


def test_nodes_out_of_order_are_no_cycle() -> None:
    data = graph_of(helper.make_node("Relu", ["a"], ["y"]), helper.make_node("Abs", ["x"], ["a"]))
    with pytest.raises(UserError, match="model: "):
        import_model(data)


def test_truncated_external_data(tmp_path: pathlib.Path) -> None:
    model = parsed(f"{NEW} g (float[2,64] x) => (float[2,64] y) {{ y = MatMul(x, w) }}",
                   w=normal(64, 64))
    path, weights = tmp_path / "m.onnx", tmp_path / "m.data"
    onnx.save(model, path, save_as_external_data=True, location="m.data", size_threshold=0)
    bare = onnx.load(path, load_external_data=False)
    weights.write_bytes(weights.read_bytes()[:-1])
    for keep in (("location", "offset", "length"), ("location",)):
        (tensor,) = bare.graph.initializer
        entries = [entry for entry in tensor.external_data if entry.key in keep]
        del tensor.external_data[:]
        tensor.external_data.extend(entries)
        path.write_bytes(bare.SerializeToString())
        with pytest.raises(UserError, match=r"m.data: must hold 16384 .* got 16383: it is trunc"):
            import_model(path)
