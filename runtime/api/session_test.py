"""Sessions and their judges on a program of one copy: errors, mismatches, digests, ties."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from jacquard.proto import program_pb2 as pb
from jacquard.proto import report_pb2
from jacquard.proto.lib.arch import load_config
from jacquard.proto.lib.errors import UserError
from jacquard.proto.npu_isa import Bucket, End, Engine, Error, Store, encode_program
from jacquard.runtime.api import verify
from jacquard.runtime.api.program import check_model
from jacquard.runtime.api.report import build_report, program_roofline_cycles
from jacquard.runtime.api.session import DeviceError, Session
from jacquard.runtime.device.base import DeviceResult
from jacquard.sim.reference.interpreter import ReferenceResult

NANO4 = load_config("nano4")


def tensor(name: str, offset: int) -> pb.Tensor:
    layout = pb.Layout(kind=pb.Layout.BLOCKED, channels=4, height=1, width=1, block=4)
    return pb.Tensor(
        name=name,
        dtype=pb.Tensor.INT8,
        shape=[1, 4],
        scale=0.5,
        segment="data",
        offset_bytes=offset,
        size_bytes=4,
        layout=layout,
    )


def copy_program(fingerprint: int = NANO4.fingerprint) -> pb.Program:
    program = pb.Program(
        model="copy",
        config="nano4",
        fingerprint=fingerprint,
        instruction_count=2,
        code=encode_program([Store(n0=4, n1=1, n2=1, n3=1), End()]),
        segments=[pb.Segment(name="data", arg=1, size_bytes=64)],
        inputs=[tensor("x", 0)],
        outputs=[tensor("y", 32)],
    )
    program.layers.add(
        name="copy",
        op="Relu",
        first_instruction=0,
        end_instruction=2,
        macs=16,
        output=tensor("y", 32),
    )
    return program


class Copier:
    """A device that copies the four bytes of x to y, or fails."""

    name = "copier"

    def __init__(self, status: int = Error.OK) -> None:
        self._status = status

    def fingerprint(self) -> int:
        return NANO4.fingerprint

    def allocate(self, size_bytes: int) -> np.ndarray:
        return np.zeros(size_bytes, np.uint8)

    def run(self, image, program_address, args, checkpoints, progress):  # noqa: ANN001, ANN201
        image[args[1] + 32 : args[1] + 36] = image[args[1] : args[1] + 4]
        snapshots = [image[c.address : c.address + c.size].copy() for c in checkpoints]
        counters = np.zeros((len(Engine), len(Bucket)), np.int64)
        return DeviceResult(
            self._status,
            0,
            100,
            counters,
            8,
            4,
            np.array([60, 100]),
            np.array([0, 60]),
            snapshots,
            0.5,
        )


X = np.array([[0.5, -1.0, 3.0, 100.0]], np.float32)
EXPECTED = np.array([[1, -2, 6, 127]], np.int8)  # x / 0.5, saturated


def reference(values: np.ndarray, layer: np.ndarray) -> ReferenceResult:
    return ReferenceResult(
        outputs={}, integer_outputs={"y": values}, tensors={"y": layer}, digests={}
    )


def test_tensors_are_bound_by_name_and_quantized() -> None:
    session = Session(copy_program(), Copier(), NANO4)
    np.testing.assert_array_equal(session.run({"x": X})["y"], EXPECTED * np.float32(0.5))
    np.testing.assert_array_equal(session.run({"x": EXPECTED})["y"], EXPECTED * np.float32(0.5))


def test_a_stopped_machine_names_code_instruction_and_layer() -> None:
    session = Session(copy_program(), Copier(Error.ILLEGAL), NANO4)
    with pytest.raises(DeviceError) as error:
        session.run({"x": X})
    assert str(error.value) == (
        "device: run stopped with ILLEGAL at instruction 0 in layer copy (cycle 100)"
    )


def test_another_fingerprint_is_refused() -> None:
    with pytest.raises(UserError, match="recompile for this device"):
        Session(copy_program(fingerprint=1), Copier(), NANO4)


def test_report_before_a_run() -> None:
    with pytest.raises(UserError, match="call run"):
        Session(copy_program(), Copier(), NANO4).report()


@pytest.mark.parametrize(
    "inputs,message",
    [
        ({}, "input x: is missing"),
        ({"x": X, "z": X}, "input z: must be an input of the model; it has x"),
        ({"x": X[0]}, r"shape must be \[1, 4\], got \[4\]"),
        ({"x": X.astype(np.uint8)}, "dtype must be float32 or int8, got uint8"),
        ({"x": X * np.inf}, "values must be finite"),
    ],
)
def test_wrong_inputs(inputs: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Session(copy_program(), Copier(), NANO4).run(inputs)


@pytest.mark.parametrize("where", ["nowhere", "output", "layer"])
def test_one_wrong_element_is_found(where: str) -> None:
    program, session = copy_program(), Session(copy_program(), Copier(), NANO4)
    session.run({"x": X}, keep_layers=True)
    other = EXPECTED + np.array([[0, 0, 1, 0]], np.int8)
    judged = reference(
        other if where == "output" else EXPECTED, other if where == "layer" else EXPECTED
    )
    report = session.report()
    verify.compare_bits(report, program, session.last, judged)
    assert report.bit_exact == (where == "nowhere")
    assert report.elements_compared == 8
    assert report.layers[0].output_check == ("differs" if where == "layer" else "equal")
    assert report.layers[0].output_digest == hashlib.sha256(EXPECTED.tobytes()).hexdigest()
    lines = verify.describe_mismatch(program, session.last, judged)
    assert lines == (
        ["layer copy (Relu): 1 of 4 elements differ, first at [0, 2]: 6, reference 7"]
        if where == "layer"
        else []
    )


def test_figures_of_a_report() -> None:
    session = Session(copy_program(), Copier(), NANO4)
    session.run({"x": X})
    report: report_pb2.Report = build_report(copy_program(), NANO4, "copier", session.last.result)
    assert (report.cycles, report.macs, report.simulated_hz) == (100, 16, 200.0)
    assert report.array_utilization == 16 / (100 * 16)
    assert report.roofline_cycles == 2  # eight bytes in and out, four a cycle
    assert [layer.cycles for layer in report.layers] == [100]


def test_rows_that_no_index_names_are_not_compulsory() -> None:
    program = copy_program()
    program.segments[0].data = bytes(4000)  # a table
    assert program_roofline_cycles(program, NANO4) == 4008 // 4
    program.layers[0].dram_read_bytes = 200  # its rows that are read, their indices
    assert program_roofline_cycles(program, NANO4) == 204 // 4


@pytest.mark.parametrize(
    "ours,theirs,same",
    [
        ([1, 3, 2], [0, 9, 8], True),
        ([1, 3, 4], [0, 9, 8], False),
        ([1, 4, 4], [0, 8, 9], True),  # a tie here
        ([1, 4, 3], [0, 9, 9], True),  # a tie there
    ],
)
def test_top1(ours: list[int], theirs: list[int], same: bool) -> None:
    assert verify.same_top1(np.array([ours]), np.array([theirs])) is same


def test_sqnr() -> None:
    assert verify.sqnr_db(np.array([10.0]), np.array([9.0])) == pytest.approx(20.0)
    assert verify.sqnr_db(np.array([1.0]), np.array([1.0])) == 200.0


def output(name: str, dtype: int, scale: float) -> pb.Tensor:
    return pb.Tensor(name=name, dtype=dtype, scale=scale)


def test_outputs_are_judged_apart_and_the_worst_is_the_runs() -> None:
    exact = np.array([[[1.0, 2.0], [3.0, 4.0]]], np.float32)
    hidden = verify.compare_output(
        output("hidden", pb.Tensor.INT16, 0.001), exact, exact + np.float32(0.01), exact
    )
    scores = np.array([[1.0, 3.0]], np.float32)
    pooled = verify.compare_output(
        output("pooled", pb.Tensor.UINT8, 0.5), scores[:, ::-1] * 10, scores * 10, scores * 10
    )
    assert (hidden.bits, hidden.elements, hidden.max_lsb_error, hidden.top1) == (16, 4, 10, "")
    assert hidden.sqnr_db == 200.0
    assert hidden.sqnr_db_onnxruntime == pytest.approx(10 * np.log10(30 / (4 * 0.01**2)), abs=1e-3)
    assert (pooled.bits, pooled.max_lsb_error, pooled.top1) == (8, 40, "other")
    judged = verify.Accuracy((hidden, pooled))
    assert judged.sqnr_db == pooled.sqnr_db == pytest.approx(10 * np.log10(1000 / 800))
    assert judged.max_lsb_error == 40
    # Among hidden states and pooled features nothing is one's class.
    assert judged.top1_match and not judged.judges_top1
    assert not verify.Accuracy((pooled,)).top1_match
    report = report_pb2.Report()
    judged.fill(report)
    assert [o.name for o in report.outputs] == ["hidden", "pooled"]
    assert report.outputs[0].sqnr_db == 200.0
    assert report.max_lsb_error == 40


def test_a_layer_of_16_bits_with_its_features_last_is_compared() -> None:
    shape, form = [1, 2, 1, 4], pb.Layout(
        kind=pb.Layout.BLOCKED, channels=4, height=1, width=2, block=4, features_last=True
    )
    program = copy_program()
    made = program.layers[0].output
    made.CopyFrom(tensor("y", 0))
    made.MergeFrom(pb.Tensor(dtype=pb.Tensor.UINT16, size_bytes=16, layout=form))
    made.shape[:] = shape

    class Wide(Copier):
        def run(self, image, program_address, args, checkpoints, progress):  # noqa: ANN001, ANN201
            words = np.arange(8, dtype="<u2") * 9000
            image[args[1] : args[1] + 16] = words.view(np.uint8)
            return super().run(image, program_address, args, checkpoints, progress)

    session = Session(program, Wide(), NANO4)
    session.run({"x": X}, keep_layers=True)
    layer = (np.arange(8, dtype=np.uint16) * 9000).reshape(shape)
    report = session.report()
    verify.compare_bits(report, program, session.last, reference(session.last.integers["y"], layer))
    assert report.bit_exact and report.layers[0].output_check == "equal"
    assert report.layers[0].output_digest == hashlib.sha256(layer.tobytes()).hexdigest()


def test_a_program_of_another_model_is_refused() -> None:
    program = copy_program()
    program.model_sha256 = b"12345678"
    check_model(program, b"12345678", "m.npu")
    with pytest.raises(UserError, match=r"m\.npu: must be compiled from this very model .* recomp"):
        check_model(program, b"87654321", "m.npu")


def test_ids_and_mask_go_to_the_device() -> None:
    """The mask's four bytes of its first element are what the Copier copies."""
    program = copy_program()
    del program.inputs[:]
    blocked = pb.Layout(kind=pb.Layout.BLOCKED, channels=4, height=1, width=1, block=4)
    for name, offset, role, form in (
        ("m", 0, pb.Tensor.MASK, blocked),
        ("ids", 16, pb.Tensor.INDEX, pb.Layout(kind=pb.Layout.LINEAR)),
    ):
        program.inputs.add(
            name=name,
            shape=[1, 4],
            dtype=pb.Tensor.INT32,
            role=role,
            limit=8,
            segment="data",
            offset_bytes=offset,
            size_bytes=16,
            layout=form,
        )
    session = Session(program, Copier(), NANO4)
    keep = np.array([[False, True, True, True]])
    session.run({"m": keep, "ids": np.array([[1, 2, 3, 7]])})
    assert session.last.integers["y"].tolist() == [[0, 0, 0, -64]]  # -2^30, little endian
    with pytest.raises(UserError, match="input ids: indices must be from 0 to 7, got 8 at"):
        session.run({"m": keep, "ids": np.array([[1, 2, 3, 8]])})
