"""Generation: padding, masks, positions, caches, buckets against a decoder without any; errors."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.errors import UserError
from jacquard.runtime.generation.cache import Stage
from jacquard.runtime.generation.generate import Generator
from jacquard.runtime.generation.sample_decoder import (
    SampleMemory,
    decode,
    expected_tokens,
    prefill,
)
from jacquard.runtime.generation.sampling import Greedy, TopK

PROMPT = [17, 0, 199, 17, 3, 44, 5, 90, 2, 11]


def tokens(generator: Generator, prompt: list[int], count: int) -> list[int]:
    steps = list(generator.steps(prompt, count, Greedy()))
    return [step.token for step in steps if step.token is not None]


@pytest.mark.parametrize("in_place", [False, True], ids=["host", "in place"])
@pytest.mark.parametrize("all_logits", [False, True], ids=["last", "all"])
@pytest.mark.parametrize("length", range(1, 11))
def test_tokens_are_those_of_a_decoder_without_cache(
    length: int, all_logits: bool, in_place: bool
) -> None:
    """Prompts shorter than the prefill, of its length, longer."""
    generator = Generator(prefill(8, all_logits, in_place), [decode(16, in_place)])
    wanted = expected_tokens(PROMPT[:length], 16 - length, Greedy())
    assert tokens(generator, PROMPT[:length], 16 - length) == wanted


@pytest.mark.parametrize("in_place", [False, True], ids=["host", "in place"])
@pytest.mark.parametrize("positions", [4, 8], ids=["shorter", "longer than the small cache"])
def test_tokens_across_buckets(positions: int, in_place: bool) -> None:
    small, large = decode(6, in_place), decode(20, in_place)
    generator = Generator(prefill(positions, in_place=in_place), [large, small])
    assert tokens(generator, PROMPT[:3], 12) == expected_tokens(PROMPT[:3], 12, Greedy())
    # Positions 2 to 5 lie in the small cache, 6 to 13 in the large one.
    assert (small.session.runs, large.session.runs) == (4, 8)


@pytest.mark.parametrize("in_place", [False, True], ids=["host", "in place"])
def test_caches_are_kept_where_the_prefills_is(in_place: bool) -> None:
    refused(
        prefill(8, in_place=in_place), decode(16, not in_place),
        f"decode d16: cache: must be kept in the {'device' if in_place else 'host'}, as the "
        f"prefill's is, got the {'host' if in_place else 'device'}; compile both with kv_cache",
    )


def test_weights_are_the_prefills() -> None:
    """The image of one may end before the other's: a table of positions that it does not read."""
    first, fitting, stage = prefill(8), decode(8), decode(16)
    for at, made in enumerate((first, fitting, stage)):
        data = bytes(64) + (b"\1" if at == 2 else b"\0") * 64 + bytes(64 * min(at, 1))
        weights = made.program.segments.add(
            kind=pb.Segment.WEIGHTS, data=data, size_bytes=len(data)
        )
        for name, offset in (("wte", 0), ("c_attn", 64)):
            weights.parts.add(layer=name, offset_bytes=offset, size_bytes=64)
    assert Generator(first, [fitting]).longest == 8
    with pytest.raises(UserError) as error:
        Generator(first, [fitting, stage])
    (line,) = error.value.lines
    assert line.startswith("decode d16: weights must be the prefill's bit for bit (sha256 ")
    assert line.endswith(
        ", which differ in c_attn; export both graphs of one model and quantize their weights alike"
    )


def test_tables_of_positions_are_one() -> None:
    """The prefill has none to compare with: the decode steps are compared with each other."""
    first, fitting, stage = prefill(8), decode(8), decode(16)
    for made, data in ((first, b""), (fitting, b"\1" * 64), (stage, b"\2" * 64)):
        weights = made.program.segments.add(
            kind=pb.Segment.WEIGHTS, data=bytes(64) + data, size_bytes=64 + len(data)
        )
        for name, offset in (("wte", 0), ("wpe", 64))[: 1 + bool(data)]:
            weights.parts.add(layer=name, offset_bytes=offset, size_bytes=64)
    Generator(first, [stage])
    with pytest.raises(UserError) as error:
        Generator(first, [fitting, stage])
    (line,) = error.value.lines
    assert line.startswith("decode d16: weights must be decode d8's bit for bit (sha256 ")
    assert ", which differ in wpe; " in line


def test_sessions_of_two_memories_are_a_mistake() -> None:
    first, second = prefill(8, in_place=True), decode(16, in_place=True)
    second.session.memory = SampleMemory()
    with pytest.raises(ValueError, match="must share one DeviceMemory"):
        Generator(first, [second])


def test_a_second_prompt_finds_nothing_of_the_first() -> None:
    generator = Generator(prefill(8, in_place=True), [decode(16, in_place=True)])
    tokens(generator, PROMPT[:9], 6)
    assert tokens(generator, [5, 6], 9) == expected_tokens([5, 6], 9, Greedy())
    assert tokens(generator, [7], 9) == expected_tokens([7], 9, Greedy())


def test_sampled_tokens() -> None:
    generator = Generator(prefill(8), [decode(16)])
    steps = generator.steps(PROMPT[:4], 8, TopK(20, 30.0, seed=5))
    found = [step.token for step in steps if step.token is not None]
    assert found == expected_tokens(PROMPT[:4], 8, TopK(20, 30.0, seed=5))
    assert found != expected_tokens(PROMPT[:4], 8, TopK(20, 30.0, seed=6))


def test_steps_say_what_ran() -> None:
    steps = list(Generator(prefill(8), [decode(16)]).steps(PROMPT[:5], 2, Greedy()))
    ran = [(step.stage, step.bucket, step.position) for step in steps]
    assert ran == [("prefill", 8, 3), ("decode", 16, 4), ("decode", 16, 5)]
    assert [step.token is None for step in steps] == [True, False, False]
    assert [step.result.cycles for step in steps] == [100] * 3
    assert [(step.to_device_bytes, step.from_device_bytes) for step in steps] == [(12, 34)] * 3


def test_a_full_prefill_gives_the_first_token() -> None:
    steps = list(Generator(prefill(8), [decode(16)]).steps(PROMPT[:8], 2, Greedy()))
    assert [(step.stage, step.position) for step in steps] == [("prefill", 7), ("decode", 8)]


@pytest.mark.parametrize(
    "prompt,count,message",
    [
        ([], 1, "prompt: must have at least one token id, got none"),
        ([1, 200, -1], 1, "token ids must be from 0 to 199, got 200 and 1 more"),
        ([1], 0, "tokens: must be at least 1, got 0"),
        ([1] * 9, 8, "must fit into the 16 rows of the largest cache, got 9 ids and 8 tokens, 17"),
    ],
)
def test_wrong_prompts_run_nothing(prompt: list[int], count: int, message: str) -> None:
    stages = prefill(8), decode(16)
    with pytest.raises(UserError) as error:
        Generator(stages[0], [stages[1], decode(8)]).steps(prompt, count, Greedy())
    assert message in str(error.value)
    assert [stage.session.runs for stage in stages] == [0, 0]


def test_the_models_positions_are_a_limit() -> None:
    generator = Generator(prefill(8), [decode(16, positions=10)])
    assert len(tokens(generator, [1, 2], 8)) == 8
    with pytest.raises(UserError, match="must fit into the model's 10 positions, got 2 ids and 9"):
        generator.check([1, 2], 9)
    with pytest.raises(UserError, match="11; the model's table of positions ends at 10; shorten"):
        generator.check([1, 2], 9)


def _dropped(names: tuple[str, ...]) -> Callable[[pb.Program], None]:
    def change(program: pb.Program) -> None:
        for field in (program.inputs, program.outputs, program.states):
            kept = [tensor for tensor in field if tensor.name not in names]
            del field[:]
            field.extend(kept)

    return change


def _set(name: str, **values: object) -> Callable[[pb.Program], None]:
    def change(program: pb.Program) -> None:
        for tensor in [*program.inputs, *program.outputs, *program.states]:
            if tensor.name == name:
                tensor.MergeFrom(pb.Tensor(**{k: v for k, v in values.items() if k != "shape"}))
                if "shape" in values:
                    tensor.shape[:] = values["shape"]

    return change


def _fingerprint(program: pb.Program) -> None:
    program.fingerprint, program.config = 8, "edge16"


LAST = ("1.key", "1.value")
ALL = ("0.key", "0.value", *LAST)
BOTH = pytest.mark.parametrize("in_place", [False, True], ids=["host", "in place"])


def refused(first: Stage, second: Stage, message: str) -> None:
    fitting = decode(8, bool(first.program.states))
    with pytest.raises(UserError) as error:
        Generator(first, [fitting, second])
    (line,) = error.value.lines
    assert message in line


@BOTH
@pytest.mark.parametrize(
    "change,message",
    [
        (
            _dropped(tuple(f"{kind}.{n}" for n in LAST for kind in ("past", "present"))),
            "decode d16: cache: must be of the prefill's 2 layers, keys and values, got 1",
        ),
        (
            _dropped(tuple(f"{kind}.{n}" for n in ALL for kind in ("past", "present"))),
            "decode d16: cache: must be of the prefill's 2 layers, keys and values, got 0",
        ),
        (
            _fingerprint,
            "decode d16: fingerprint must be the prefill's, 0000000000000007 (config nano4), got "
            "0000000000000008 (config edge16)",
        ),
        (_dropped(("logits",)), "decode d16: must have an output logits, got "),
        (
            _set("logits", shape=[1, 1, 300]),
            "logits: must be of the same vocabulary in all graphs, got [200, 300] words",
        ),
    ],
)
def test_decode_of_another_model(change, message: str, in_place: bool) -> None:
    stage = decode(16, in_place)
    change(stage.program)
    refused(prefill(8, in_place=in_place), stage, message)


@pytest.mark.parametrize(
    "change,message",
    [
        (_set("past.1.key", scale=0.25), "past and present, got uint8 scale 0.25 zero point 3 and"),
        (
            _set("past.1.key", shape=[1, 4, 16, 2]),
            "layer 1's key must have the prefill's 2 heads of 2, got [1, 4, 16, 2]",
        ),
        (_set("past.0.value", shape=[1, 2, 15, 2]), "as many rows as the others, got [15, 16]"),
        (_set("present.1.key", shape=[1, 2, 16, 2]), "an output present of one more row than its"),
        (_dropped(("present.1.key",)), "more row than its past [1, 2, 16, 2], got none"),
    ],
)
def test_caches_in_the_host_that_do_not_fit(change, message: str) -> None:
    stage = decode(16)
    change(stage.program)
    refused(prefill(8), stage, message)


@pytest.mark.parametrize(
    "change,message",
    [
        (_set("past.1.key", shape=[1, 16, 6]), "the prefill's rows of 4 numbers, got rows of 6"),
        (_set("past.1.key", offset_bytes=12), "byte 8 of rows of 16, got byte 12 of rows of 16"),
        (_set("past.1.key", shape=[1, 15, 4]), "as many rows as the others, got [15, 16]"),
        (lambda program: program.ClearField("arguments"), "arguments must be {'position': 16}"),
    ],
)
def test_caches_in_place_that_do_not_fit(change, message: str) -> None:
    stage = decode(16, in_place=True)
    change(stage.program)
    refused(prefill(8, in_place=True), stage, message)


@BOTH
@pytest.mark.parametrize(
    "value,got",
    [
        ({"scale": 0.25}, "uint8 scale 0.25 zero point 3"),
        ({"zero_point": 4}, "uint8 scale 0.5 zero point 4"),
        ({"dtype": pb.Tensor.UINT16}, "uint16 scale 0.5 zero point 3"),
    ],
)
def test_scales_of_the_cache_are_the_prefills(value, got: str, in_place: bool) -> None:
    stage = decode(16, in_place)
    for name in ("past.0.value", "present.0.value"):
        _set(name, **value)(stage.program)
    message = (
        "decode d16: cache: layer 0's value must lie on the prefill's grid, uint8 scale 0.5 zero "
        f"point 3, got {got}; quantize the decode graph with the prefill's scales"
    )
    refused(prefill(8, in_place=in_place), stage, message)


def test_prefill_without_its_cache() -> None:
    stage = prefill(8)
    _dropped(tuple(f"present.{name}" for name in ALL))(stage.program)
    refused(stage, decode(16), "prefill p: must have outputs present.N.key and present.N.value")


@pytest.mark.parametrize(
    "shapes,message",
    [
        ({"attention_mask": (1, 16)}, "attention_mask must have shape [1, 17], one element for"),
        ({"input_ids": (1, 2)}, "decode d16: input_ids must have shape [1, 1], got [1, 2]"),
        ({"kind": (1, 1)}, "position_ids, attention_mask, past.N.key, past.N.value, got kind; exp"),
    ],
)
def test_inputs_that_a_step_cannot_have(shapes: dict, message: str) -> None:
    stage = decode(16)
    stage.session.input_shapes.update(shapes)
    refused(prefill(8), stage, message)


def test_a_step_must_read_a_mask() -> None:
    stage = decode(16)
    del stage.session.input_shapes["attention_mask"]
    refused(prefill(8), stage, "decode d16: must read attention_mask, its inputs are input_ids, ")


def test_a_generator_needs_a_decode_program() -> None:
    with pytest.raises(UserError, match="decode: at least one program must be given"):
        Generator(prefill(8), [])
