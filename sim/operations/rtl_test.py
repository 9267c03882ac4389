"""Every operation of the catalogue through the whole chip in RTL, against what sim/func gives."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt

from jacquard.proto import npu_isa as isa
from jacquard.sim.operations import measure
from jacquard.sim.operations.operation import CONFIG, Operation
from jacquard.sim.operations.sequence import (
    DTYPES,
    Int64,
    parameter_bytes,
    stored,
    table_bytes,
)
from jacquard.sim.rtl import harness

_BINARY = Path(f"sim/rtl/npu_sim_{CONFIG}")
_IMAGE_BYTES, _OUTPUT = 0x20000, 0x18000
_ONCE = {"n1": 1, "n2": 1, "n3": 1}


def _image(operation: Operation, tiles: tuple[Int64, ...]) -> npt.NDArray[np.uint8]:
    """A program that brings one tile in, computes and stores; with its data."""
    sequence, result = operation.sequence()
    brought = [(isa.Buffer.VMEM, tensor.base, stored(tensor, tile))
               for tensor, tile in zip(sequence.inputs, tiles, strict=True)]  # fmt: skip
    if sequence.table is not None:
        brought.append((isa.Buffer.TABLE, 0, table_bytes(sequence.table)))
    if sequence.parameters is not None:
        brought.append((isa.Buffer.PARAM, 0, parameter_bytes(sequence.parameters)))
    image = np.zeros(_IMAGE_BYTES, np.uint8)
    program: list[isa.Instruction] = []
    top = 0x4000
    for number, (buffer, dst, data) in enumerate(brought, start=1):
        push = (1 << isa.Engine.VECTOR) * (number == len(brought))
        image[top : top + data.size] = data
        program.append(
            isa.Load(buffer=buffer, dst=dst, dram=top, n0=data.size, push=push, **_ONCE)
        )
        top += data.size
    assert top <= _OUTPUT
    vectors = list(sequence.instructions)
    vectors[0] = dataclasses.replace(vectors[0], pop=1 << isa.Engine.LOAD)
    vectors[-1] = dataclasses.replace(vectors[-1], push=1 << isa.Engine.STORE)
    size = result.vectors * sequence.arch.lanes * result.element_bytes
    store = isa.Store(buffer=isa.Buffer.VMEM, src=result.base, dram=_OUTPUT, n0=size,
                      pop=1 << isa.Engine.VECTOR, **_ONCE)  # fmt: skip
    code = isa.encode_program([*program, *vectors, store, isa.End()])
    image[: len(code)] = np.frombuffer(code, np.uint8)
    return image


def test_rtl_and_func_agree_on_every_operation(tmp_path: Path) -> None:
    names, images, expected = [], [], []
    for operation in measure.catalogue():
        sequence, result = operation.sequence()
        samples = operation.samples()
        tiles = samples[0].shape[0]
        for tile in sorted({0, tiles // 2, tiles - 1}):
            one = tuple(sample[tile : tile + 1] for sample in samples)
            names.append(f"{operation.name}, {operation.types}, tile {tile}")
            images.append(_image(operation, tuple(sample[0] for sample in one)))
            expected.append((result, sequence.runner(result).run(one)[0]))
    path = tmp_path / "images"
    np.stack(images).tofile(path)
    jobs = [
        harness.Job(name, path, _IMAGE_BYTES, program=0, max_cycles=100_000,
                    image_offset=number * _IMAGE_BYTES, stall_percent=10 * (number % 3))
        for number, name in enumerate(names)
    ]  # fmt: skip
    results = harness.run_jobs(_BINARY.absolute(), jobs)
    memory = np.fromfile(path, np.uint8).reshape(-1, _IMAGE_BYTES)
    assert len(results) > 200
    for number, outcome in enumerate(results):
        label = names[number]
        assert (outcome.finished, outcome.status, outcome.violation) == (True, 0, ""), label
        place, values = expected[number]
        raw = memory[number, _OUTPUT : _OUTPUT + values.size * place.element_bytes]
        assert np.array_equal(raw.view(DTYPES[place.dtype]).reshape(values.shape), values), label
