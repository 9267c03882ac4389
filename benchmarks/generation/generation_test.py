"""Generation on the cuts of GPT-2 and of a Llama-style decoder: logits and tokens of the functional
simulator are the integer reference's, with one cache and across two."""

from __future__ import annotations

import functools

import numpy as np
import onnx
import pytest

from jacquard.benchmarks.generation.tiny_pair import quantized_pair, with_rows
from jacquard.compiler.main import CompileOptions, compile_model
from jacquard.proto.lib.arch import load_config
from jacquard.runtime.api.session import Session
from jacquard.runtime.device.func import FuncDevice
from jacquard.runtime.generation.cache import open_stages
from jacquard.runtime.generation.generate import Generator
from jacquard.runtime.generation.reference_generation import reference_tokens
from jacquard.runtime.generation.sampling import Greedy, Sampler, TopK

PROMPT = [17, 400, 3, 511, 0, 9, 260, 77, 123, 45, 8, 301, 12]
TOKENS = 16


@functools.cache
def graphs(*rows: int) -> tuple[onnx.ModelProto, ...]:
    """The prefill, then a decode graph for each cache."""
    prefill, decode = quantized_pair()
    return prefill, *(decode if count == 32 else with_rows(decode, count) for count in rows)


@functools.cache
def generator(config: str, *rows: int, in_place: bool = True) -> Generator:
    arch = load_config(config)
    device = FuncDevice(arch)
    graph, *others = graphs(*rows)
    wanted = CompileOptions(kv_cache=in_place)
    programs = [compile_model(model, arch, wanted) for model in (graph, *others)]
    assert all(bool(program.states) == in_place for program in programs)
    _, (prefill, *decodes) = open_stages(programs, device, arch)
    return Generator(prefill, decodes)


def generated(made: Generator, prompt: list[int], count: int, sampler: Sampler) -> list[tuple]:
    steps = list(made.steps(prompt, count, sampler))
    return [(step.token, step.logits) for step in steps if step.token is not None]


def same(ours: list[tuple], theirs: list[tuple]) -> None:
    assert [token for token, _ in ours] == [token for token, _ in theirs]
    for (_, mine), (_, other) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_limits_of_the_cut() -> None:
    made = generator("nano4", 32)
    assert (made.ids, made.longest) == (512, 32)


@pytest.mark.parametrize("config", ["nano4", "edge16"])
@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "host"])
def test_greedy_tokens_are_the_integer_references(config: str, in_place: bool) -> None:
    wanted = list(reference_tokens(*_split(32), PROMPT, TOKENS, Greedy()))
    assert len(wanted) == TOKENS
    made = generator(config, 32, in_place=in_place)
    same(generated(made, PROMPT, TOKENS, Greedy()), wanted)


@pytest.mark.parametrize("config", ["nano4", "edge16"])
def test_rotary_embeddings_and_shared_key_heads(config: str) -> None:
    """The Llama-style cut: keys are rotated before they are stored, 2 heads for 4 of queries."""
    prefill, decode = quantized_pair("llama")
    wanted = list(reference_tokens(prefill, [decode], PROMPT, TOKENS, Greedy()))
    assert len({token for token, _ in wanted}) > 4
    arch = load_config(config)
    device = FuncDevice(arch)
    programs = [compile_model(m, arch, CompileOptions(kv_cache=True)) for m in (prefill, decode)]
    assert all("Attention" in [layer.op for layer in program.layers] for program in programs)
    _, (first, second) = open_stages(programs, device, arch)
    same(generated(Generator(first, [second]), PROMPT, TOKENS, Greedy()), wanted)


@pytest.mark.parametrize("length", [1, 3])
def test_sampled_tokens_are_the_integer_references(length: int) -> None:
    """At a temperature that lets many ids come up."""
    wanted = list(reference_tokens(*_split(32), PROMPT[:length], 8, TopK(200, 30.0, seed=1)))
    assert len({token for token, _ in wanted}) > 4
    same(generated(generator("nano4", 32), PROMPT[:length], 8, TopK(200, 30.0, seed=1)), wanted)


def test_tokens_across_a_bucket_boundary_are_those_without_one() -> None:
    """Positions 12 to 15 with 16 rows, 16 to 27 with 32."""
    sampler = functools.partial(TopK, 200, 30.0, seed=2)
    made = generator("nano4", 16, 32)
    buckets = [s.bucket for s in made.steps(PROMPT, TOKENS, sampler()) if s.stage == "decode"]
    assert buckets == [16] * 4 + [32] * 12
    found = generated(made, PROMPT, TOKENS, sampler())
    same(found, generated(generator("nano4", 32), PROMPT, TOKENS, sampler()))
    same(found, list(reference_tokens(*_split(16, 32), PROMPT, TOKENS, sampler())))


def test_keys_and_values_never_pass_through_the_host() -> None:
    """Every byte between the host and device memory is an input or the logits of the run's program;
    the step that changes the bucket moves no more than the others."""
    arch = load_config("nano4")
    wanted = CompileOptions(kv_cache=True)
    programs = [compile_model(model, arch, wanted) for model in graphs(16, 32)]
    memory, (prefill, small, large) = open_stages(programs, FuncDevice(arch), arch)
    made = Generator(prefill, [small, large])
    ids, logits = 4, 512 * 2  # an id or position; a step's logits. A mask has 4 bytes a row
    bytes_in = {("prefill", 32): 32 * ids, ("decode", 16): 2 * ids + 16 * 4,
                ("decode", 32): 2 * ids + 32 * 4}
    total = [0, 0]
    for step in made.steps(PROMPT, TOKENS, Greedy()):
        sizes = bytes_in[step.stage, step.bucket], logits
        assert (step.to_device_bytes, step.from_device_bytes) == sizes
        total = [a + b for a, b in zip(total, sizes, strict=True)]
    assert (memory.to_device_bytes, memory.from_device_bytes) == tuple(total)


def test_a_prefill_writes_the_rows_that_it_would_give() -> None:
    prefill, _ = quantized_pair()
    arch = load_config("nano4")
    ids = {"input_ids": np.arange(3, 35)[None] * 11 % 512}
    given, kept = (
        Session(compile_model(prefill, arch, CompileOptions(kv_cache=way)), FuncDevice(arch), arch)
        for way in (False, True)
    )
    given.run(ids)
    kept.run(ids)
    assert list(kept.states) == [f"past.{n}.{part}" for n in (0, 1) for part in ("key", "value")]
    for name in kept.states:
        rows = given.last.integers[name.replace("past", "present")]
        heads_last = rows.transpose(0, 2, 1, 3).reshape(1, rows.shape[2], -1)
        np.testing.assert_array_equal(kept.read_state(name), heads_last)


@pytest.mark.parametrize("family, copies", [("gpt2", 0), ("llama", 2)])
def test_products_store_into_the_cache(family: str, copies: int) -> None:
    """All but rotated keys, which a product does not make."""
    prefill, _ = quantized_pair(family)
    program = compile_model(prefill, load_config("edge16"), CompileOptions(kv_cache=True))
    assert [layer.op for layer in program.layers].count("CacheAppend") == copies
    made = {layer.output.name for layer in program.layers if layer.output.segment == "cache"}
    assert len(made) == len(program.states) == 4


def _split(*rows: int) -> tuple[onnx.ModelProto, list[onnx.ModelProto]]:
    prefill, *decodes = graphs(*rows)
    return prefill, decodes
