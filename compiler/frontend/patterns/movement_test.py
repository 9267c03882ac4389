"""Movements in their shortest form, mask subgraphs, shared nodes, constants."""

import numpy as np
import pytest

from jacquard.benchmarks.models.seeded import SeededStream
from jacquard.compiler.frontend.patterns.equivalence_test import (
    assert_same,
    model_of,
    operators,
)
from jacquard.compiler.frontend.patterns.view import attributes_of


def normal(*shape: int, seed: int = 1) -> np.ndarray:
    return SeededStream(seed).normal(shape)


# Each ends in a Softmax, which makes the rules run at all.
CASES = {
    "k_by_reshapes": ("""(float[1,2,6,4] x) => (float[1,2,4,6] y) {
      a = Reshape(x, flat)  b = Transpose<perm = [0, 2, 1]>(a)  c = Reshape(b, back)
      y = Softmax(c) }""",
                      {"flat": np.array([-1, 6, 4]), "back": np.array([1, 2, 4, 6])},
                      ["Softmax", "Transpose"]),
    "k_after_heads": ("""(float[1,6,8] x) => (float[1,2,4,6] y) {
      h = Reshape(x, heads)  t = Transpose<perm = [0, 2, 1, 3]>(h)
      a = Reshape(t, flat)  b = Transpose<perm = [0, 2, 1]>(a)  c = Reshape(b, back)
      y = Softmax(c) }""",
                      {"heads": np.array([1, 6, 2, 4]), "flat": np.array([-1, 6, 4]),
                       "back": np.array([1, 2, 4, 6])},
                      ["Reshape", "Softmax", "Transpose"]),
    "reshape_that_mixes": ("""(float[1,2,6,4] x) => (float[1,4,2,6] y) {
      a = Reshape(x, flat)  b = Transpose<perm = [0, 2, 1]>(a)  c = Reshape(b, back)
      y = Softmax(c) }""",
                           {"flat": np.array([2, 6, 4]), "back": np.array([1, 4, 2, 6])},
                           ["Reshape", "Reshape", "Softmax", "Transpose"]),
    "transposes_that_undo": ("""(float[2,3,4] x) => (float[2,3,4] y) {
      a = Transpose<perm = [2, 0, 1]>(x)  b = Transpose<perm = [1, 2, 0]>(a)
      y = Softmax(b) }""", {}, ["Softmax"]),
    "views_of_views": ("""(float[2,3,4] x) => (float[24] y) {
      a = Flatten<axis = 2>(x)  b = Unsqueeze(a, zero)  c = Reshape(b, flat)
      y = Softmax(c) }""", {"zero": np.array([0]), "flat": np.array([-1])},
                       ["Reshape", "Softmax"]),
    "view_between_two_outputs": ("""(float[2,3] x) => (float[6] y, float[3,2] z) {
      a = Softmax(x)  y = Reshape(a, flat)  z = Reshape(y, back) }""",
                                 {"flat": np.array([6]), "back": np.array([3, 2])},
                                 ["Reshape", "Reshape", "Softmax"]),
    "gather_that_reverses": ("""(float[2,3] x) => (float[2,3] y) {
      a = Gather<axis = 1>(x, back)  y = Softmax(a) }""", {"back": np.array([2, 1, 0])},
                             ["Gather", "Softmax"]),
    "slice_of_all": ("""(float[2,3] x) => (float[2,3] y) {
      a = Slice(x, zero, end)  y = Softmax(a) }""",
                     {"zero": np.array([0, 0]), "end": np.array([2, 2**62])}, ["Softmax"]),
    "quotient": ("""(float[2,3] x) => (float[2,3] y) { a = Div(x, eight)  y = Softmax(a) }""",
                 {"eight": np.array(8, np.float32)}, ["Mul", "Softmax"]),
    "bias_first": ("""(float[2,3] x) => (float[2,3] y) { a = Add(b, x)  y = Softmax(a) }""",
                   {"b": normal(3)}, ["Add", "Softmax"]),
    "two_added": ("""(float[2,3] x) => (float[2,3] y) {
      a = Add(x, b)  c = Add(d, a)  y = Softmax(c) }""", {"b": normal(3), "d": normal(2, 3)},
                  ["Add", "Softmax"]),
    "two_added_that_would_grow": ("""(float[2,3] x) => (float[2,3] y) {
      a = Add(x, b)  c = Add(d, a)  y = Softmax(c) }""", {"b": normal(3), "d": normal(2, 1)},
                                  ["Add", "Add", "Softmax"]),
    "added_and_read_twice": ("""(float[2,3] x) => (float[2,3] y, float[2,3] z) {
      z = Add(x, b)  c = Add(z, d)  y = Softmax(c) }""", {"b": normal(3), "d": normal(3)},
                             ["Add", "Add", "Softmax"]),
}


@pytest.mark.parametrize("name", CASES)
def test_rewrites(name: str) -> None:
    text, tensors, wanted = CASES[name]
    assert operators(assert_same(model_of(text, **tensors))) == wanted


def test_transposes_compose_in_order() -> None:
    text = """(float[1,6,8] x) => (float[1,2,4,6] y) {
      h = Reshape(x, heads)  t = Transpose<perm = [0, 2, 1, 3]>(h)
      c = Transpose<perm = [0, 1, 3, 2]>(t)  y = Softmax(c) }"""
    imported = assert_same(model_of(text, heads=np.array([1, 6, 2, 4])))
    (turn,) = [node for node in imported.graph.node if node.op_type == "Transpose"]
    assert attributes_of(turn)["perm"] == [0, 2, 3, 1]


MASKS = {
    # dynamo: GatherND by constant indices, And with a constant
    "gather_nd": ("""k = Cast<to = 9>(m)  g = GatherND(k, at)  a = And(all, g)
      w = Where(a, zero, low)""",
                  {"at": np.stack(np.broadcast_arrays(
                      np.zeros((1, 1, 1, 6), np.int64), np.arange(6)), -1),
                   "all": np.ones((1, 1, 6, 1), bool)}),
    # TorchScript: Flatten, Gather, Reshape, Cast again, And, Expand
    "flatten_gather": ("""k = Cast<to = 9>(m)  f = Flatten<axis = 2>(k)  g = Gather<axis = 0>(f, at)
      h = Reshape(g, axes)  k2 = Cast<to = 9>(h)  a = And(all, k2)  e = Expand(a, sizes)
      w = Where(e, zero, low)""",
                       {"at": np.arange(6).reshape(1, 1, 1, 6), "axes": np.array([1, 1, 1, 6]),
                        "all": np.ones((1, 1, 6, 1), bool), "sizes": np.array([1, 1, 6, 6])}),
    "unsqueeze": ("""u = Unsqueeze(m, ones)  k = Cast<to = 9>(u)  e = Expand(k, sizes)
      w = Where(e, zero, low)""",
                  {"ones": np.array([1, 2]), "sizes": np.array([1, 1, 6, 6])}),
}


@pytest.mark.parametrize("name", MASKS)
def test_mask_subgraphs_come_down_to_one_form(name: str) -> None:
    body, tensors = MASKS[name]
    text = f"""(float[1,2,6,6] x, int64[1,6] m) => (float[1,2,6,6] y) {{
      {body}  s = Add(x, w)  y = Softmax(s) }}"""
    model = model_of(text, zero=np.array(0, np.float32),
                     low=np.array(np.finfo(np.float32).min), **tensors)
    imported = assert_same(model)
    assert operators(imported) == sorted(["Cast", "Reshape", "Where", "Add", "Softmax"])
    for mask in (np.zeros((1, 6), np.int64), np.array([[2, 0, -1, 0, 1, 0]])):
        assert_same(model, {"x": normal(1, 2, 6, 6), "m": mask})


def test_a_mask_that_is_not_all_true_stays() -> None:
    text = """(float[1,6,6] x, int64[1,1,6] m) => (float[1,6,6] y) {
      k = Cast<to = 9>(m)  a = And(k, some)  w = Where(a, zero, low)
      s = Add(x, w)  y = Softmax(s) }"""
    imported = assert_same(model_of(
        text, some=np.tril(np.ones((1, 6, 6), bool)), zero=np.array(0, np.float32),
        low=np.array(-1e4, np.float32)))
    assert "And" in operators(imported)


def test_a_constant_mask_is_folded_and_shared() -> None:
    """Trilu at run time, once per layer, as TorchScript writes a causal mask."""
    text = """(float[1,6,6] x) => (float[1,6,6] y, float[1,6,6] z) {
      t = Trilu<upper = 0>(all)  w = Where(t, zero, low)  s = Add(x, w)  y = Softmax(s)
      t2 = Trilu<upper = 0>(all)  w2 = Where(t2, zero, low)  r = Add(y, w2)  z = Softmax(r) }"""
    imported = assert_same(model_of(
        text, all=np.ones((6, 6), bool), zero=np.array(0, np.float32),
        low=np.array(-1e4, np.float32)))
    assert operators(imported) == ["Add", "Add", "Softmax", "Softmax"]
