"""Ids and masks: what reaches the device, and every way in which they can be wrong."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib import rotary
from jacquard.proto.lib.errors import UserError
from jacquard.runtime.api.inputs import ModelInputs


def value(name: str, kind: int, shape: list[int]):
    return helper.make_tensor_value_info(name, kind, shape)


def host_model(extra=(), outputs=(), masked=-np.inf, mask_shape=(1, 1, 1, 4)) -> bytes:
    """attention_mask int64[1, 4] -> mask float32: 0 where it is not 0, else `masked`."""
    constants = {
        "shape": np.array(mask_shape, np.int64),
        "keep": np.float32(0),
        "drop": np.float32(masked),
        "one": np.array([1], np.int64),
        "twelve": np.array([12], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["attention_mask"], ["kept"], to=TensorProto.BOOL),
        helper.make_node("Reshape", ["kept", "shape"], ["rows"]),
        helper.make_node("Where", ["rows", "keep", "drop"], ["mask"]),
        *extra,
    ]
    graph = helper.make_graph(
        nodes,
        "host",
        [value("attention_mask", TensorProto.INT64, [1, 4])],
        [value("mask", TensorProto.FLOAT, list(mask_shape)), *outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return model.SerializeToString()


def program(host: bytes = host_model(), mask_shape=(1, 1, 1, 4)) -> pb.Program:
    made = pb.Program(model="small", host_model=host)
    made.inputs.add(
        name="input_ids", shape=[1, 4], dtype=pb.Tensor.INT32, role=pb.Tensor.INDEX, limit=8
    )
    made.inputs.add(
        name="mask", shape=mask_shape, dtype=pb.Tensor.INT32, role=pb.Tensor.MASK, scale=1.0
    )
    return made


IDS = np.array([[0, 7, 3, 3]], np.int64)
MASK = np.array([[1, 1, 0, 0]], np.int64)


def lines(made: pb.Program, **inputs: np.ndarray) -> tuple[str, ...]:
    with pytest.raises(UserError) as error:
        ModelInputs(made).bind(inputs)
    return error.value.lines


@pytest.mark.parametrize("masked", [-np.inf, -1e4, np.finfo(np.float32).min])
def test_ids_and_mask_reach_the_device_as_int32(masked: float) -> None:
    inputs = ModelInputs(program(host_model(masked=masked)))
    assert inputs.shapes == {"input_ids": (1, 4), "attention_mask": (1, 4)}
    bound = inputs.bind({"input_ids": IDS, "attention_mask": MASK})
    assert {array.dtype for array in bound.values()} == {np.dtype(np.int32)}
    assert bound["input_ids"].tolist() == [[0, 7, 3, 3]]
    assert bound["mask"].tolist() == [[[[0, 0, -(2**30), -(2**30)]]]]


@pytest.mark.parametrize("dtype", [np.int32, np.int8, np.uint8, bool])
def test_a_mask_of_any_integers_is_taken(dtype: type) -> None:
    inputs = ModelInputs(program())
    bound = inputs.bind({"input_ids": IDS.astype(np.int32), "attention_mask": MASK.astype(dtype)})
    assert bound["mask"].ravel().tolist() == [0, 0, -(2**30), -(2**30)]


def test_everything_wrong_is_told_at_once() -> None:
    found = lines(
        program(),
        input_ids=np.array([[0, 8, -1, 3]]),
        attention_mask=np.zeros((1, 4), np.int64),
        token_type_ids=IDS,
    )
    assert found == (
        "input token_type_ids: must be an input of the model; it has input_ids, attention_mask",
        "input input_ids: indices must be from 0 to 7, got 8 at [0, 1] and 1 more; "
        "use ids of the model's own vocabulary",
        "input attention_mask: every row must keep at least one position, got row [0] masked "
        "whole; unmask one of its positions",
    )


@pytest.mark.parametrize(
    "name,array,message",
    [
        ("input_ids", np.zeros((1, 5), np.int64), "shape must be [1, 4], got [1, 5]; the program"),
        ("input_ids", IDS.astype(np.float32), "dtype must be int64 or int32, got float32"),
        ("input_ids", IDS == 0, "dtype must be int64 or int32, got bool"),
        ("input_ids", np.full((1, 4), 2**40), f"got {2**40} at [0, 0] and 3 more"),
        ("attention_mask", np.ones((4, 4), np.int64), "shape must be [1, 4], got [4, 4]"),
        ("attention_mask", np.ones((1, 4), np.float32), "dtype must be int64, got float32"),
        ("attention_mask", np.full((1, 4), 2**63, np.uint64), "values must be those of int64"),
        ("attention_mask", np.array([["a"] * 4]), "dtype must be int64, got <U1"),
        ("attention_mask", None, "is missing; give an array of shape [1, 4]"),
    ],
)
def test_one_wrong_input(name: str, array: np.ndarray | None, message: str) -> None:
    inputs = {"input_ids": IDS, "attention_mask": MASK} | {name: array}
    found = lines(program(), **{k: v for k, v in inputs.items() if v is not None})
    assert len(found) == 1
    assert found[0].startswith(f"input {name}: {message}") or message in found[0]


def test_a_mask_is_all_or_nothing() -> None:
    found = lines(program(host_model(masked=-9999.0)), input_ids=IDS, attention_mask=MASK)
    assert found == (
        "input attention_mask: a mask must hold 0 and values of at most -10000, got -9999.0 at "
        "[0, 0, 0, 2] and 1 more; use 0 and -inf",
    )
    assert "got nan at" in lines(
        program(host_model(masked=np.nan)), input_ids=IDS, attention_mask=MASK
    )[0]


def test_the_row_that_is_masked_whole_is_named() -> None:
    made = program(host_model(mask_shape=(1, 1, 2, 2)), mask_shape=(1, 1, 2, 2))
    assert "got row [1] masked whole;" in lines(made, input_ids=IDS, attention_mask=MASK)[0]


def test_masks_given_by_the_caller() -> None:
    made = pb.Program(model="small")
    made.inputs.add(name="m", shape=[2, 2], dtype=pb.Tensor.INT32, role=pb.Tensor.MASK)
    inputs = ModelInputs(made)
    added = np.array([[0, -np.inf], [-1e9, 0]], np.float32)
    kept = np.array([[True, False], [False, True]])
    for array in (added, kept):
        assert inputs.bind({"m": array})["m"].tolist() == [[0, -(2**30)], [-(2**30), 0]]
    assert lines(made, m=~(kept | True)) == (
        "input m: every row must keep at least one position, got row [0] masked whole and 1 more; "
        "unmask one of its positions",
    )
    assert "dtype must be float32 or bool, got int64" in lines(made, m=np.zeros((2, 2), int))[0]


def test_indices_that_the_host_computes_are_checked_by_the_inputs_they_come_from() -> None:
    extra = [helper.make_node("Mul", ["attention_mask", "twelve"], ["rows_of_table"])]
    host = host_model(extra, [value("rows_of_table", TensorProto.INT64, [1, 4])])
    made = program(host)
    made.inputs.add(
        name="rows_of_table", shape=[1, 4], dtype=pb.Tensor.INT32, role=pb.Tensor.INDEX, limit=12
    )
    assert lines(made, input_ids=IDS, attention_mask=MASK) == (
        "input attention_mask: indices must be from 0 to 11, got 12 at [0, 0] and 1 more; use ids "
        "of the model's own vocabulary",
    )


@pytest.mark.parametrize(
    "limit,reason",
    [
        (64, "the model's table of positions ends at 64; use a shorter sequence"),
        (rotary.POSITIONS, "the compiler's tables of rotary embeddings end at 4096 positions; use"),
    ],
)
def test_what_ends_positions(limit: int, reason: str) -> None:
    made = pb.Program()
    made.inputs.add(
        name="position_ids", shape=[1, 1], dtype=pb.Tensor.INT32, role=pb.Tensor.INDEX, limit=limit
    )
    (line,) = lines(made, position_ids=np.array([[limit]]))
    assert line.startswith(
        f"input position_ids: indices must be from 0 to {limit - 1}, got {limit} at [0, 0]; "
        + reason
    )


def test_a_host_part_that_fails_is_one_line() -> None:
    extra = [helper.make_node("Gather", ["one", "attention_mask"], ["picked"])]
    host = host_model(extra, [value("picked", TensorProto.INT64, [1, 4])])
    (line,) = lines(program(host), input_ids=IDS, attention_mask=MASK * 5)
    assert line.startswith("program small: host part: onnxruntime must be able to run it, got ")
    assert line.endswith("; check the values of attention_mask")
    for broken in (b"junk", host[: len(host) // 2]):
        with pytest.raises(UserError, match="must be able to load it, got .*; recompile") as error:
            ModelInputs(program(broken))
        assert len(error.value.lines) == 1 and "\n" not in str(error.value)


def test_a_host_part_that_does_not_fit_the_program() -> None:
    (line,) = lines(program(mask_shape=(1, 1, 1, 8)), input_ids=IDS, attention_mask=MASK)
    assert line.startswith("program: host part must give mask the shape [1, 1, 1, 8], got [1, 1,")


def test_an_input_that_both_read_is_told_once() -> None:
    made = program()
    made.inputs[0].name = "attention_mask"
    bound = ModelInputs(made).bind({"attention_mask": MASK})
    assert bound["attention_mask"].tolist() == MASK.tolist()
    assert len(lines(made, attention_mask=MASK.astype(np.float64))) == 1
