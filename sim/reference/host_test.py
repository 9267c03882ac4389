"""Host operators that onnx.reference runs: which nodes they are, types, refusals."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from jacquard.proto.lib.errors import UserError
from jacquard.sim.reference.host import host_values
from jacquard.sim.reference.interpreter import run_reference

TEXT = """<ir_version: 10, opset_import: ["" : 21]> g (int64[1,5] ids, float[1,5,2] x) =>
  (float[1,5,2] y) {
  n = CumSum(ids, one)  m = Mod(n, three)  c = Clip(m, zero, most)
  t = DequantizeLinear(table, s, z)  r = Gather(t, c)
  q = QuantizeLinear(x, s, z)  d = DequantizeLinear(q, s, z)  a = Add(d, r)
  p = QuantizeLinear(a, s, z)  y = DequantizeLinear(p, s, z) }"""
TABLE = np.arange(6, dtype=np.int16).reshape(3, 2) * 10
CONSTANTS = {"one": np.array(1), "three": np.array(3), "zero": np.array(0), "most": np.array(1),
             "s": np.float32(0.5), "z": np.int16(0), "table": TABLE}


def model(text: str = TEXT) -> onnx.ModelProto:
    made: onnx.ModelProto = parser.parse_model(text)
    for name, value in CONSTANTS.items():
        made.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return made


def test_operators_of_the_host() -> None:
    assert host_values(model().graph) == {"ids", "n", "m", "c"}
    ids = np.array([[3, 1, 1, 5, 0]])
    found = run_reference(model(), {"ids": ids, "x": np.ones((1, 5, 2), np.float32)})
    rows = np.clip(np.cumsum(ids, 1) % 3, 0, 1)
    np.testing.assert_array_equal(found.integer_outputs["y"], TABLE[rows] + 2)


def test_what_is_no_host_operator_is_named() -> None:
    text = TEXT.replace("a = Add(d, r)", "e = Add(d, r)  a = Sinh(e)")
    with pytest.raises(UserError, match=r"Sinh.*must be known to the reference, got Sinh"):
        run_reference(model(text), {"ids": np.ones((1, 5), np.int64),
                                    "x": np.ones((1, 5, 2), np.float32)})
