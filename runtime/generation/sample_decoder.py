"""For tests: a decoder of two heads whose logits tell whether it saw what it should have seen.

A key row is the id and the position, so a step can read back from its cache, through its mask,
which ids it attends to; its logits are a digest of them. Whoever pads, masks, moves or numbers rows
wrongly gets other tokens than `expected_tokens`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from jacquard.proto import program_pb2 as pb
from jacquard.runtime.api.session import Run
from jacquard.runtime.device.base import DeviceResult
from jacquard.runtime.generation.cache import Stage
from jacquard.runtime.generation.sampling import Sampler

WORDS, HEADS, DEPTH, LAYERS = 200, 2, 2, 2
SCALE, ZERO = 0.5, 3
PARTS = tuple(f"{layer}.{part}" for layer in range(LAYERS) for part in ("key", "value"))


def digest_logits(seen: Sequence[int]) -> np.ndarray:
    """float32[WORDS] that depend on every id and their order."""
    seed = hashlib.sha256(bytes(seen)).digest()[:8]
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(seed, "little")))
    return generator.permutation(WORDS).astype(np.float32)


def expected_tokens(prompt: Sequence[int], count: int, sampler: Sampler) -> list[int]:
    """What a decoder without caches gives."""
    ids = list(prompt)
    for _ in range(count):
        ids.append(sampler.choose(digest_logits(ids)))
    return ids[len(prompt) :]


def quantized(name: str, shape: Sequence[int], scale: float = SCALE) -> pb.Tensor:
    return pb.Tensor(
        name=name, shape=shape, dtype=pb.Tensor.UINT8, scale=scale, zero_point=ZERO
    )


def rows_of(ids: Sequence[int], first: int = 0) -> np.ndarray:
    """uint8[HEADS, len(ids), DEPTH]: id + head, position."""
    rows = [[[token + head, first + i] for i, token in enumerate(ids)] for head in range(HEADS)]
    return np.array(rows, np.uint8).reshape(HEADS, len(ids), DEPTH)


class SampleMemory:
    """Rows of all states, [ROWS, HEADS * DEPTH] each: those of a program are the first of them."""

    ROWS = 64

    def __init__(self) -> None:
        self.states = {f"past.{p}": np.zeros((self.ROWS, HEADS * DEPTH), np.uint8) for p in PARTS}


MEMORY = SampleMemory()  # as on a device: what a test before left in it must not matter


class SampleSession:
    """What Generator needs of a Session, for a prefill or a decode step."""

    def __init__(self, shapes: dict[str, tuple[int, ...]], program: pb.Program) -> None:
        self.input_shapes, self.program, self.runs = shapes, program, 0
        self.memory = MEMORY
        self.states = {
            t.name: self.memory.states[t.name][: t.shape[1]] for t in program.states
        }

    def run(self, inputs, progress=None, arguments=None):  # noqa: ANN001, ANN201
        assert {n: np.shape(a) for n, a in inputs.items()} == self.input_shapes
        self.runs += 1
        prefill = "attention_mask" not in self.input_shapes
        integers = self._prefill(inputs) if prefill else self._decode(inputs, arguments)
        logits = integers.pop("logits")
        counters = np.zeros((4, 9), np.int64)
        result = DeviceResult(0, 0, 100, counters, 8, 4, None, None, [], 0.5)
        self.last = Run(result, integers, {"logits": logits}, None, 12, 34)
        return self.last.outputs

    def _prefill(self, inputs):  # noqa: ANN001, ANN202
        ids = [int(token) for token in inputs["input_ids"][0]]
        logits = [digest_logits(ids[: i + 1]) for i in range(len(ids))]
        (shape,) = [t.shape for t in self.program.outputs if t.name == "logits"]
        kept = {f"present.{part}": rows_of(ids)[None] for part in PARTS}
        for name, state in self.states.items():
            rows = kept.pop(f"present{name.removeprefix('past')}")[0]
            state[:] = rows.transpose(1, 0, 2).reshape(len(ids), -1)
        return {**kept, "logits": np.array(logits)[None, -shape[1] :]}

    def _decode(self, inputs, arguments):  # noqa: ANN001, ANN202
        (token,), (mask,) = inputs["input_ids"][0], inputs["attention_mask"]
        position = int(inputs["position_ids"][0, 0])
        caches = {}
        for part in PARTS:
            if self.states:
                assert arguments == {"position": position}
                flat = self.states[f"past.{part}"]
                caches[part] = flat.reshape(-1, HEADS, DEPTH).transpose(1, 0, 2)
            else:
                assert arguments is None
                caches[part] = inputs[f"past.{part}"][0]
        new = rows_of([token], position)
        seen = []
        for part, cache in caches.items():
            grown = np.concatenate([cache, new], axis=1)[:, mask == 1]
            ids = [int(row[0]) for row in grown[0]]
            assert (grown == rows_of(ids)).all(), f"{part}: {grown} at {position}"
            seen.append(tuple(ids))
        assert len(set(seen)) == 1
        integers = {"logits": digest_logits(seen[0])[None, None]}
        for part, cache in caches.items():
            if self.states:
                self.states[f"past.{part}"][position] = new[:, 0].reshape(-1)
            else:
                integers[f"present.{part}"] = np.concatenate([cache, new], axis=1)[None]
        return integers


def _state(place: int, rows: int) -> pb.Tensor:
    """The state of a part: keys and values of all layers side by side in a row."""
    size = HEADS * DEPTH
    made = quantized(f"past.{PARTS[place]}", [1, rows, size])
    made.offset_bytes, made.size_bytes = place * size, rows * size
    made.layout.CopyFrom(pb.Layout(
        kind=pb.Layout.ROWS, channels=size, height=1, width=rows, row_bytes=len(PARTS) * size
    ))
    return made


def prefill(positions: int, all_logits: bool = False, in_place: bool = False) -> Stage:
    """Logits of the last position, or of all."""
    program = pb.Program(model="p", config="nano4", fingerprint=7)
    program.inputs.add(
        name="input_ids", shape=[1, positions], role=pb.Tensor.INDEX, limit=WORDS
    )
    rows = positions if all_logits else 1
    program.outputs.append(quantized("logits", [1, rows, WORDS]))
    for place, part in enumerate(PARTS):
        if in_place:
            program.states.append(_state(place, positions))
            continue
        program.outputs.append(quantized(f"present.{part}", [1, HEADS, positions, DEPTH]))
    return Stage(program, SampleSession({"input_ids": (1, positions)}, program))


def decode(rows: int, in_place: bool = False, positions: int = 100) -> Stage:
    """A step with a cache of `rows` rows; `positions`: of the model."""
    program = pb.Program(model=f"d{rows}", config="nano4", fingerprint=7)
    shapes = {"input_ids": (1, 1), "position_ids": (1, 1), "attention_mask": (1, rows + 1)}
    for name, limit in (("input_ids", WORDS), ("position_ids", positions)):
        program.inputs.add(name=name, shape=[1, 1], role=pb.Tensor.INDEX, limit=limit)
    program.outputs.append(quantized("logits", [1, 1, WORDS]))
    for place, part in enumerate(PARTS):
        if in_place:
            program.states.append(_state(place, rows))
            continue
        shapes[f"past.{part}"] = (1, HEADS, rows, DEPTH)
        program.inputs.append(quantized(f"past.{part}", shapes[f"past.{part}"]))
        program.outputs.append(quantized(f"present.{part}", [1, HEADS, rows + 1, DEPTH]))
    if in_place:
        program.arguments.add(name="position", count=rows)
    return Stage(program, SampleSession(shapes, program))
