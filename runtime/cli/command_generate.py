"""Generates tokens: a prefill of the prompt's ids, then a decode step for each token."""

from __future__ import annotations

import pathlib
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
from absl import flags

from jacquard.proto import report_pb2
from jacquard.proto.lib.errors import UserError
from jacquard.runtime.api.report import peak_rss_bytes, write_report
from jacquard.runtime.api.session import DeviceError
from jacquard.runtime.cli import options, run_flags, screen
from jacquard.runtime.cli.entry import start
from jacquard.runtime.cli.graphs import PROGRAM, Graph, graph_paths, load_decodes, load_graph
from jacquard.runtime.cli.text import Text
from jacquard.runtime.generation.cache import open_stages
from jacquard.runtime.generation.decoder import DECODE, PREFILL
from jacquard.runtime.generation.generate import Generator, Step, check_counts
from jacquard.runtime.generation.reference_generation import reference_tokens
from jacquard.runtime.generation.sampling import Sampler, sampler


def define_flags() -> flags.FlagValues:
    values = flags.FlagValues()
    flags.DEFINE_string("model", None, "a built-in model, e.g. gpt2", flag_values=values)
    flags.DEFINE_string(
        "prefill", None, f"prefill of your own: ONNX (QDQ) or {PROGRAM}", flag_values=values
    )
    flags.DEFINE_multi_string(
        "decode",
        [],
        f"its decode step: ONNX (QDQ) or {PROGRAM}; once for each cache length",
        flag_values=values,
    )
    options.add_config_flag(values)
    flags.DEFINE_string("prompt_ids", None, "token ids, e.g. 464,3290", flag_values=values)
    flags.DEFINE_string("prompt", None, "the prompt as text; needs --tokenizer", flag_values=values)
    flags.DEFINE_string(
        "tokenizer",
        None,
        "tokenizer.json that the model came with; the text is shown as it comes",
        flag_values=values,
    )
    flags.DEFINE_integer("tokens", 16, "how many are generated", flag_values=values)
    flags.DEFINE_integer(
        "top_k", None, "draw from the K likeliest; default: the likeliest", flag_values=values
    )
    flags.DEFINE_float("temperature", None, "of --top-k; default 1", flag_values=values)
    flags.DEFINE_integer("seed", 0, "of the draws", flag_values=values)
    flags.DEFINE_bool(
        "kv_cache",
        True,
        "--nokv_cache: keys and values go through the host with every step",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "check",
        False,
        "compare tokens and logits with the integer reference's, bit for bit",
        flag_values=values,
    )
    # The cycle model has no tokens.
    run_flags.add_device_flags(values, backends=("func", "rtl"))
    return values


def main(argv: list[str]) -> int:
    """`jacquard generate`."""
    values = define_flags()
    options.parse(values, "generate", argv)
    text = Text(values["tokenizer"].value) if values["tokenizer"].value else None
    prompt = prompt_of(values, text)
    count = values["tokens"].value
    check_flags(values, prompt)
    prefill_path, decode_paths = graph_paths(values)
    arch = options.arch_of(values["config"].value)
    backend = values["backend"].value
    device = run_flags.device(values, arch)
    started = time.monotonic()
    in_place = values["kv_cache"].value
    prefill = load_graph(prefill_path, PREFILL, arch, in_place)
    decodes = list(load_decodes(values, decode_paths, arch))
    compile_seconds = time.monotonic() - started

    programs = [graph.program for graph in (prefill, *decodes)]
    memory, (first, *others) = open_stages(programs, device, arch)
    generator = Generator(first, others)
    generator.check(prompt, count)
    report = report_pb2.Generation(
        model=values["model"].value or prefill.program.model,
        config=arch.name,
        backend=backend,
        fingerprint=f"{arch.fingerprint:016x}",
        prompt=prompt,
        compile_seconds=compile_seconds,
        loaded_bytes=memory.loaded_bytes,
    )
    logits = []
    added = text.stream(prompt) if text else None
    try:
        for step in generator.steps(
            prompt,
            count,
            chosen(values),
            lambda program: screen.RunProgress(program, backend),
        ):
            add_step(report, step)
            screen.print_line(step_line(report.steps[-1], len(report.tokens), added))
            if step.logits is not None:
                logits.append(step.logits)
    except DeviceError as error:
        report.error = str(error)
        finish(report, values["report"].value)
        if values["report_failure"].value:
            return 0
        raise
    if values["check"].value:
        with screen.status("integer reference"):
            check(report, logits, values, prefill, decodes)
        if report.error:
            print(f"error: {report.model}: {report.error}", file=sys.stderr)
    finish(report, values["report"].value)
    print_summary(report, values["report"].value, text)
    return 1 if report.error and not values["report_failure"].value else 0


def chosen(values: flags.FlagValues) -> Sampler:
    """A sampler as the flags say. Raises UserError."""
    return sampler(values["top_k"].value, values["temperature"].value, values["seed"].value)


def prompt_of(values: flags.FlagValues, text: Text | None) -> list[int]:
    """The prompt's ids, given as such or as text. Raises UserError."""
    ids, written = values["prompt_ids"].value, values["prompt"].value
    if (ids is None) == (written is None):
        raise UserError(
            "--prompt-ids, --prompt: one of them must be given, got "
            f"{'none' if ids is None else 'both'}; e.g. --prompt-ids=464,3290"
        )
    if written is None:
        return parse_ids(ids)
    if text is None:
        raise UserError(
            "--prompt: must come with --tokenizer FILE, which makes ids of it; or give --prompt-ids"
        )
    return text.ids(written)


def parse_ids(text: str) -> list[int]:
    """`464,3290` -> [464, 3290]. Raises UserError."""
    try:
        return [int(token) for token in text.split(",")] if text.strip() else []
    except ValueError as error:
        raise UserError(
            f"--prompt-ids: must be integers with commas between, got {text}; e.g. 464,3290"
        ) from error


def check_flags(values: flags.FlagValues, prompt: Sequence[int]) -> None:
    """What can be refused before any work. Raises UserError."""
    check_counts(prompt, values["tokens"].value)
    chosen(values)
    run_flags.check_device_flags(values)
    paths = [values["prefill"].value or "", *values["decode"].value]
    compiled = [path for path in paths if path.endswith(PROGRAM)]
    if values["check"].value and compiled:
        raise UserError(
            f"--check: must have the models, got the program {compiled[0]}; give the QDQ model "
            "that it was compiled from"
        )


def add_step(report: report_pb2.Generation, step: Step) -> None:
    """Adds one run to the report."""
    result = step.result
    report.steps.add(
        stage=step.stage,
        bucket=step.bucket,
        position=step.position,
        gave_token=step.token is not None,
        token=step.token or 0,
        cycles=result.cycles,
        wall_seconds=result.seconds,
        dram_read_bytes=result.dram_read_bytes,
        dram_write_bytes=result.dram_write_bytes,
        to_device_bytes=step.to_device_bytes,
        from_device_bytes=step.from_device_bytes,
    )
    if step.token is not None:
        report.tokens.append(step.token)


def finish(report: report_pb2.Generation, path: str | None) -> None:
    """Sums of the steps; writes the report if there is a file for it."""
    decodes = [step.cycles for step in report.steps if step.stage == DECODE]
    report.prefill_cycles = sum(step.cycles for step in report.steps if step.stage == PREFILL)
    report.decode_cycles_per_token = round(sum(decodes) / len(decodes)) if decodes else 0
    report.wall_seconds = sum(step.wall_seconds for step in report.steps)
    report.peak_rss_bytes = peak_rss_bytes()
    if path:
        write_report(report, pathlib.Path(path))


def check(
    report: report_pb2.Generation,
    logits: Sequence[np.ndarray],
    values: flags.FlagValues,
    prefill: Graph,
    decodes: Sequence[Graph],
) -> None:
    """Compares tokens and logits with the integer reference's; the first difference is the error.
    """
    models = [graph.model for graph in decodes]
    theirs = reference_tokens(
        prefill.model, models, report.prompt, len(report.tokens), chosen(values)
    )
    report.checked, report.bit_exact = True, True
    pairs = zip(report.tokens, logits, theirs, strict=True)
    for number, (token, ours, (wanted, row)) in enumerate(pairs, 1):
        wrong = int(np.count_nonzero(ours != row))
        if wrong or token != wanted:
            report.bit_exact = False
            report.error = (
                f"token {number} differs from the integer reference: {token}, reference {wanted}; "
                f"{wrong} of {row.size} logits differ"
            )
            return


def step_line(
    step: report_pb2.GenerationStep, number: int, added: Callable[[int], str] | None = None
) -> str:
    """`token 3: 380   decode of position 6, cache of 32 rows, 1,234 cycles`.

    added: what a token adds to the text; it is shown behind the id.
    """
    token = f"token {number}: {step.token}" if step.gave_token else "prompt"
    if added is not None and step.gave_token:
        token += f" {added(step.token)!r}"
    what = (
        f"prefill of positions 0 to {step.position}"
        if step.stage == PREFILL
        else f"decode of position {step.position}, cache of {step.bucket} rows"
    )
    cycles = f", {step.cycles:,} cycles" if step.cycles else ""
    return f"{token:16}  {what}{cycles}"


def print_summary(report: report_pb2.Generation, path: str | None, text: Text | None) -> None:
    """All tokens, their text, cycles per token, speed, where the report lies."""
    screen.print_line("tokens: " + ",".join(str(token) for token in report.tokens))
    if text:
        screen.print_line("text: " + text.text([*report.prompt, *report.tokens]))
    if report.checked:
        exact = "bit-exact with" if report.bit_exact else "NOT bit-exact with"
        screen.print_line(f"{exact} the integer reference (tokens and logits)")
    decodes = [step for step in report.steps if step.stage == DECODE]
    if report.decode_cycles_per_token:
        prefill = f"prefill {report.prefill_cycles:,} cycles, " if report.prefill_cycles else ""
        screen.print_line(
            f"{prefill}decode {report.decode_cycles_per_token:,} cycles per token "
            f"(mean of {len(decodes)} steps)"
        )
    total = sum(step.cycles for step in report.steps)
    steps = [(step.to_device_bytes, step.from_device_bytes) for step in decodes]
    if steps:
        most = [max(column) for column in zip(*steps, strict=True)]
        screen.print_line(
            f"host and device: {report.loaded_bytes:,} bytes loaded once, a step takes {most[0]:,} "
            f"bytes in and {most[1]:,} out"
        )
    speed = f" at {total / report.wall_seconds / 1e3:,.0f} kHz" if total else ""
    first = sum(step.wall_seconds for step in report.steps if step.stage == PREFILL)
    mean = (report.wall_seconds - first) / max(1, len(decodes))
    screen.print_line(
        f"{len(report.steps)} runs in {report.wall_seconds:.1f} s{speed} (prefill {first:.1f} s, "
        f"{mean:.2f} s a step)"
    )
    if path:
        screen.print_line(f"report: {path}")


if __name__ == "__main__":
    start(main)
