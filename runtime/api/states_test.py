"""States and arguments on a program that stores a row of two caches and gives them whole."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from jacquard.compiler.checker import check
from jacquard.compiler.checker.sample_programs import CACHES, POSITIONS, cache_step, link_cache
from jacquard.proto import npu_isa
from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib import arch as archs
from jacquard.proto.lib.errors import UserError
from jacquard.runtime.api import inputs as model_inputs
from jacquard.runtime.api import states
from jacquard.runtime.api.report import program_roofline_cycles
from jacquard.runtime.api.session import DeviceError, Session
from jacquard.runtime.device.func import FuncDevice

NANO4 = archs.load_config("nano4")
WIDTH = 2 * NANO4.rows  # channels of a row of a cache
ROW_CHANNELS = np.arange(2 * WIDTH)  # keys, then values


def opened(program: pb.Program | None = None) -> Session:
    program = program or link_cache(NANO4, cache_step(NANO4))
    assert check.check(program, NANO4) == []
    return Session(program, FuncDevice(NANO4), NANO4)


def rows(number: int) -> np.ndarray:
    """int8[1, 16], other values at each number."""
    return (ROW_CHANNELS[None] * 3 + 17 * number - 60).astype(np.int8)


def test_rows_stay_where_the_number_says_from_run_to_run() -> None:
    session = opened()
    keys, values = np.zeros((2, POSITIONS, WIDTH), np.int8)
    for number in (2, 0, 7, 2, 5):
        before = keys.copy()
        keys[number], values[number] = rows(number)[0, :WIDTH], rows(number)[0, WIDTH:]
        session.run({"rows": rows(number)}, arguments={"position": number})
        found = session.last.integers
        np.testing.assert_array_equal(found["before"], before)  # read before the row was written
        np.testing.assert_array_equal(found["new_keys"], keys)  # and after
        np.testing.assert_array_equal(found["new_values"], values)
        np.testing.assert_array_equal(session.read_state("keys"), keys)
        np.testing.assert_array_equal(session.read_state("values"), values)
    session.reset()
    assert not session.read_state("keys").any() and not session.read_state("values").any()
    session.run({"rows": rows(1)}, arguments={"position": np.int64(1)})
    assert np.flatnonzero(session.read_state("keys").any(axis=1)).tolist() == [1]


def test_states_are_read_and_written() -> None:
    session, other = opened(), opened()
    session.run({"rows": rows(3)}, arguments={"position": 3})
    for name in CACHES:
        other.write_state(name, session.read_state(name))
    other.run({"rows": rows(4)}, arguments={"position": 4})
    session.run({"rows": rows(4)}, arguments={"position": 4})
    assert session.states["keys"].scale == 1.0 and session.arguments == {"position": POSITIONS}
    for name in CACHES:
        np.testing.assert_array_equal(other.read_state(name), session.read_state(name))
    given = session.read_state("keys")
    given[:] = 0  # what was read is the caller's
    assert session.read_state("keys").any()


@pytest.mark.parametrize(
    "act,said",
    [
        (lambda s: s.read_state("kys"), "state kys: must be a state of the program; it has keys,"),
        (
            lambda s: s.write_state("keys", np.zeros((8, 9), np.int8)),
            r"state keys: must be int8\[8, 8\], got int8\[8, 9\]",
        ),
        (
            lambda s: s.write_state("keys", np.zeros((8, 8), np.uint8)),
            r"state keys: must be int8\[8, 8\], got uint8\[8, 8\]",
        ),
    ],
)
def test_wrong_states(act: Callable[[Session], object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        act(opened())


@pytest.mark.parametrize(
    "arguments,lines",
    [
        (None, ["argument position: is missing; give a number from 0 to 7"]),
        (
            {"position": 8},
            [
                "argument position: must be from 0 to 7, got 8; the program is made for those: "
                "compile for more"
            ],
        ),
        ({"position": -1}, ["argument position: must be from 0 to 7, got -1; the program is made "
                            "for those: compile for more"]),
        ({"position": 1.0}, ["argument position: must be an integer, got 1.0; give a number from 0 "
                             "to 7"]),
        (
            {"place": 1},
            [
                "argument place: must be an argument of the program; it has position",
                "argument position: is missing; give a number from 0 to 7",
            ],
        ),
    ],
)
def test_wrong_arguments(arguments: dict[str, int] | None, lines: list[str]) -> None:
    session = opened()
    with pytest.raises(UserError) as error:
        session.run({"rows": rows(0)}, arguments=arguments)
    assert list(error.value.lines) == lines
    assert not session.read_state("keys").any()


def test_a_program_without_arguments_takes_none() -> None:
    assert states.numbers(pb.Program(), {}) == {}
    with pytest.raises(UserError, match="argument position: must be .*; it has none"):
        states.numbers(pb.Program(), {"position": 0})


def test_a_run_that_fails_leaves_other_rows() -> None:
    """The second STORE of a row is out of range: keys' row has been written by then, and stays."""
    program = link_cache(NANO4, cache_step(NANO4))
    code = npu_isa.decode_program(program.code)
    code[3] = npu_isa.Store(buffer=npu_isa.Buffer.VMEM, arg=4, src=1 << 20, n0=4, n1=1, n2=1, n3=1)
    program.code = npu_isa.encode_program(code)
    broken = Session(program, FuncDevice(NANO4), NANO4)
    held = np.arange(POSITIONS * WIDTH, dtype=np.int8).reshape(POSITIONS, WIDTH)
    for name in CACHES:
        broken.write_state(name, held)
    with pytest.raises(DeviceError, match="LOCAL_RANGE at instruction 3"):
        broken.run({"rows": rows(4)}, arguments={"position": 4})
    np.testing.assert_array_equal(broken.read_state("values"), held)
    others = np.arange(POSITIONS) != 4
    np.testing.assert_array_equal(broken.read_state("keys")[others], held[others])
    np.testing.assert_array_equal(broken.read_state("keys")[4], rows(4)[0, :WIDTH])


def test_the_last_element_of_a_mask_goes_where_the_number_says() -> None:
    program = pb.Program(arguments=[pb.Argument(name="position", count=3)])
    program.inputs.add(
        name="mask", shape=[1, 1, 2, 3], dtype=pb.Tensor.INT32, role=pb.Tensor.MASK,
        position_argument="position",
    )
    bound = model_inputs.ModelInputs(program)
    assert bound.shapes == {"mask": (1, 1, 2, 4)}
    no = model_inputs.MASKED
    keep = np.array([[[[1, 0, 0, 1], [1, 1, 0, 0]]]], bool)
    assert bound.bind({"mask": keep}, {"position": 1})["mask"].tolist() == [
        [[[0, 0, no], [0, no, no]]]
    ]
    assert bound.bind({"mask": keep}, {"position": 2})["mask"].tolist() == [
        [[[0, no, 0], [0, 0, no]]]
    ]
    with pytest.raises(UserError, match=r"shape must be \[1, 1, 2, 4\], got \[1, 1, 2, 3\]"):
        bound.bind({"mask": keep[..., 1:]}, {"position": 1})
    # The row that stood where the new one goes does not count as kept.
    with pytest.raises(UserError, match=r"got row \[1\] masked whole"):
        bound.bind({"mask": keep & np.array([1, 0, 0, 1], bool)}, {"position": 0})


def test_states_are_compulsory_bytes_once() -> None:
    program = link_cache(NANO4, cache_step(NANO4))
    sizes = 4 * NANO4.rows + 2 * POSITIONS * WIDTH + 3 * POSITIONS * WIDTH  # in, states, out
    assert program_roofline_cycles(program, NANO4) == sizes // 4  # four bytes a cycle
