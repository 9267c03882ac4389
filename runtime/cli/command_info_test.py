"""`info`: what a program with a host's part reads."""

from __future__ import annotations

import pathlib

import pytest
from onnx import TensorProto, helper

from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.errors import UserError
from jacquard.runtime.api import program as programs
from jacquard.runtime.cli import command_info


def test_inputs_are_told_with_what_they_mean(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = helper.make_node("Cast", ["keep"], ["mask"], to=TensorProto.FLOAT)
    graph = helper.make_graph(
        [node],
        "host",
        [helper.make_tensor_value_info("keep", TensorProto.INT64, [1, 4])],
        [helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 4])],
    )
    host = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    program = pb.Program(model="m", code=b"code", host_model=host.SerializeToString())
    program.inputs.add(
        name="ids", shape=[1, 4], dtype=pb.Tensor.INT32, role=pb.Tensor.INDEX, limit=512
    )
    program.inputs.add(name="mask", shape=[1, 4], dtype=pb.Tensor.INT32, role=pb.Tensor.MASK)
    program.outputs.add(name="y", shape=[1, 4], dtype=pb.Tensor.INT16, scale=0.5)
    program.host_nodes.add(name="node_1", op="Cast", reason="reads what nothing quantizes")
    programs.save(program, tmp_path / "m.npu")
    assert command_info.main([f"--program={tmp_path}/m.npu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:6] == [
        "input keep: int64[1, 4], read by the host",
        "input ids: int32[1, 4] indices below 512",
        "made by the host of keep: mask: int32[1, 4] mask, 0 or -2^30",
        "output y: int16[1, 4] scale 0.5 zero point 0",
        "host node node_1: Cast: reads what nothing quantizes",
    ]


def test_arguments_and_states_are_told(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = pb.Program(model="m", code=b"code")
    program.inputs.add(
        name="mask", shape=[1, 8], dtype=pb.Tensor.INT32, role=pb.Tensor.MASK,
        position_argument="position",
    )
    for arg in (4, 5):  # one number, two registers
        program.arguments.add(name="position", arg=arg, segment="cache", step_bytes=16, count=8)
    program.states.add(name="past.0.key", shape=[1, 8, 4], dtype=pb.Tensor.UINT8, scale=0.5)
    program.states.add(name="past.0.value", shape=[1, 8, 4], dtype=pb.Tensor.INT8, scale=0.5,
                       scales=[0.25, 0.5], axis=2)
    program.segments.add(name="cache", kind=pb.Segment.STATE, arg=3, size_bytes=128)
    programs.save(program, tmp_path / "m.npu")
    assert command_info.main([f"--program={tmp_path}/m.npu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:5] == [
        "input mask: int32[1, 8] mask, 0 or -2^30, the host's last element at position",
        "argument position: a number from 0 to 7, given with each run",
        "state past.0.key: uint8[1, 8, 4] scale 0.5 zero point 0",
        "state past.0.value: int8[1, 8, 4] 2 scales along 2, 0.25 to 0.5, zero point 0",
    ]
    assert "states: 128 bytes kept from run to run" in lines


def test_the_plan_is_drawn(tmp_path: pathlib.Path) -> None:
    program = pb.Program(model="m", code=b"code")
    program.layers.add(name="conv1", output=pb.Tensor(name="x", shape=[1, 2]))
    program.memory_plan.planned_bytes = program.memory_plan.lower_bound_bytes = 64
    program.memory_plan.allocations.add(tensor="x", size_bytes=64, first_layer=0, end_layer=2)
    programs.save(program, tmp_path / "m.npu")
    picture = tmp_path / "plan.svg"
    assert command_info.main([f"--program={tmp_path}/m.npu", f"--plan_picture={picture}"]) == 0
    assert "x: 64 bytes at 0, layers 0 (conv1) to 1" in picture.read_text()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--config=edge16"], "--plan-picture: must come with --program, got none; name the"),
        (["--program=m.npu"], "must be a file that can be written, got no folder"),
    ],
)
def test_a_picture_of_nothing_is_refused(
    flags: list[str], message: str, tmp_path: pathlib.Path
) -> None:
    picture = f"--plan_picture={tmp_path}/none/plan.svg"
    with pytest.raises(UserError) as caught:
        command_info.main([*flags, picture])
    assert message in str(caught.value)
