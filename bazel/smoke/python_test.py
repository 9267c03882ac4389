"""What the Python macros promise: one import name, no network, working PyPI packages."""

import socket
import types

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, strategies as st

from jacquard.bazel.smoke import types as own_types


def test_imports_by_one_name() -> None:
    assert own_types.ANSWER == 42
    assert types.SimpleNamespace  # the standard library's, not the file beside this one


def test_no_network() -> None:
    with pytest.raises(OSError), socket.create_connection(("192.0.2.1", 80), timeout=1):
        pass


@pytest.mark.parametrize("dtype", ["int8", "int32", "float32"])
def test_onnxruntime_adds(dtype: str) -> None:
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    value = lambda name: onnx.helper.make_tensor_value_info(name, kind, [4])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "g", [value("x")], [value("y")])
    model = onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 19)])
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.arange(4, dtype=dtype)
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], x)


@given(st.integers())
def test_hypothesis(x: int) -> None:
    assert -(-x) == x
