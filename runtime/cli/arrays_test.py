"""Inputs of `run`: ids and masks from files, and drawn by what reads them."""

from __future__ import annotations

import pathlib

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from jacquard.proto.lib.errors import UserError
from jacquard.runtime.cli.data import random_inputs
from jacquard.runtime.cli.arrays import load_inputs

INTEGERS = {"ids": TensorProto.INT64, "types": TensorProto.INT32, "mask": TensorProto.INT64}


def network() -> onnx.ModelProto:
    """ids int64[1, 6] -> a table of 9 rows; types int32[1, 6], cast, -> one of 2; mask; kept."""
    nodes = [
        helper.make_node("Gather", ["words", "ids"], ["a"]),
        helper.make_node("Cast", ["types"], ["types64"], to=TensorProto.INT64),
        helper.make_node("Gather", ["kinds", "types64"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
        helper.make_node("Cast", ["mask"], ["m"], to=TensorProto.BOOL),
        helper.make_node("And", ["m", "kept"], ["both"]),
    ]
    inputs = [helper.make_tensor_value_info(n, k, [1, 6]) for n, k in INTEGERS.items()]
    inputs.append(helper.make_tensor_value_info("kept", TensorProto.BOOL, [1, 6]))
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 6, 3])]
    tables = [
        numpy_helper.from_array(np.zeros((rows, 3), np.float32), name)
        for name, rows in (("words", 9), ("kinds", 2))
    ]
    return helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, tables))


def test_drawn_by_what_reads_them() -> None:
    drawn = [random_inputs(network(), seed) for seed in range(32)]
    stacked = {name: np.concatenate([one[name] for one in drawn]) for name in drawn[0]}
    assert {name: array.dtype for name, array in stacked.items()} == {
        "ids": np.int64,
        "types": np.int32,
        "mask": np.int64,
        "kept": np.bool_,
    }
    assert sorted(np.unique(stacked["ids"])) == list(range(9))
    assert sorted(np.unique(stacked["types"])) == [0, 1]
    for name in ("mask", "kept"):
        assert (np.diff(stacked[name].astype(int), axis=-1) <= 0).all()
        lengths = stacked[name].sum(-1)
        assert (lengths.min(), lengths.max()) == (3, 6)


def test_files_of_integers(tmp_path: pathlib.Path) -> None:
    ids, mask = np.arange(6)[None], np.ones((1, 6), np.int8)
    np.save(tmp_path / "ids.npy", ids.astype(np.int32))
    np.savez(tmp_path / "all.npz", mask=mask, ids=ids)
    found = load_inputs(
        network(), [f"ids={tmp_path}/ids.npy", f"mask={tmp_path}/all.npz"], seed=3
    )
    np.testing.assert_array_equal(found["ids"], ids)
    np.testing.assert_array_equal(found["mask"], mask)
    assert found["ids"].dtype == found["mask"].dtype == np.int64
    np.testing.assert_array_equal(found["types"], random_inputs(network(), 3)["types"])


def test_all_that_is_wrong_with_the_files(tmp_path: pathlib.Path) -> None:
    arrays = {
        "ids": np.full((1, 6), 9),
        "types": np.zeros((1, 6), np.float32),
        "mask": np.ones((1, 8), np.int64),
    }
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    np.savez(tmp_path / "kept.npz", other=np.ones((1, 6), bool))
    pairs = [f"{name}={tmp_path}/{name}.npy" for name in arrays]
    with pytest.raises(UserError) as error:
        load_inputs(network(), [*pairs, f"kept={tmp_path}/kept.npz"], seed=0)
    assert error.value.lines == (
        "input ids: indices must be from 0 to 8, got 9 at [0, 0] and 5 more; use ids of the "
        "model's own vocabulary",
        "input types: dtype must be int32, got float32; convert it with .astype",
        "input mask: shape must be [1, 6], got [1, 8]; pad or cut it, or give a model with that "
        "shape",
        f"{tmp_path}/kept.npz: must hold an array kept, got other; rename it",
    )
