"""Emits the reference pages in Markdown: the instruction set, and one page per configuration."""

from collections.abc import Mapping, Sequence
from typing import Any

from jacquard.proto.lib import arch as arch_lib
from jacquard.proto.lib import isa as isa_lib


def emit_isa(isa: isa_lib.Isa) -> str:
    """Text of `isa.md`: encoding, instructions, enumerations, registers."""
    lines = [
        "# Instruction set",
        "",
        "Generated from `proto/isa/npu.textproto`. What the instructions mean beyond this page: "
        "`docs/machine.md`.",
        "",
        f"An instruction is 1 to {isa.max_words} words of {isa.word_bits} bits, little-endian. "
        f"Bits `a:b` count from the start of the instruction; word k starts at bit "
        f"{isa.word_bits}k. Trailing zero words are left out; `length_words` says how many are there.",
        "",
        "## Header",
        "",
        *_field_table(isa.header),
        "",
    ]
    for instruction in isa.instructions:
        engine = f"engine {instruction.engine}" if instruction.engine else "executed by fetch"
        lines += [
            f"## {instruction.name}",
            "",
            f"Opcode {instruction.opcode}, {engine}. {instruction.doc}",
            "",
            *_field_table(instruction.fields[len(isa.header) :]),
            "",
        ]
    lines += ["## Enumerations", ""]
    for enum in isa.enums:
        lines += [
            f"### {enum.name}",
            "",
            enum.doc,
            "",
            "| value | name | meaning |",
            "|---|---|---|",
        ]
        lines += [f"| {v.number} | {v.name} | {_cell(v.doc)} |" for v in enum.values]
        lines.append("")
    lines += [
        "## Registers",
        "",
        "AXI4-Lite, 32-bit; 64-bit registers take two words, low first.",
        "",
        "| offset | name | bits | access | meaning |",
        "|---|---|---|---|---|",
    ]
    for r in isa.registers:
        name = f"{r.name}[{r.count}]" if r.count > 1 else r.name
        lines.append(
            f"| `{r.offset:#05x}` | {name} | {r.width} | {'RO' if r.read_only else 'RW'} | "
            f"{_cell(r.doc)} |"
        )
    return "\n".join([*lines, ""])


def emit_arch(isa: isa_lib.Isa, arch: arch_lib.Arch) -> str:
    """Text of one configuration's page."""

    def kib(size: int) -> str:
        return f"{size / 1024:g} KiB"

    lines = [
        f"# {arch.name}",
        "",
        f"{arch.summary} Tier: {arch.tier}. Generated from `proto/arch/{arch.name}.textproto`.",
        "",
        "| | |",
        "|---|---|",
        f"| array | {arch.rows} rows x {arch.cols} columns, {arch.act_bits}-bit activations, "
        f"{arch.weight_bits}-bit weights, {arch.acc_bits}-bit accumulators |",
        f"| vector | {arch.lanes} lanes |",
        f"| DRAM | {arch.bytes_per_cycle} bytes a cycle, {arch.latency_cycles} cycles latency |",
        f"| frontend | {arch.queue_depth} instructions per queue, {arch.token_bits}-bit tokens, "
        f"{arch.fetch_buffer_bytes} bytes fetched ahead, watchdog {arch.watchdog_cycles} cycles |",
    ]
    for name, dma in (("LOAD", arch.load), ("STORE", arch.store)):
        lines.append(
            f"| {name} | {dma.instructions_in_flight} instructions and "
            f"{dma.outstanding_bursts} bursts in flight, {dma.buffer_bytes} bytes |"
        )
    lines += [
        f"| on chip | {kib(arch.on_chip_bytes)} |",
        f"| fingerprint | `{arch_lib.fingerprint(isa, arch):016x}` |",
        "",
        "| memory | capacity | row | rows |",
        "|---|---|---|---|",
    ]
    for value in isa.enum("buffer").values:
        if value.name != "NONE":
            size, row = arch.buffer_bytes(value.name), arch.buffer_row_bytes(value.name)
            lines.append(f"| {value.name} | {kib(size)} | {row} bytes | {size // row} |")
    return "\n".join([*lines, ""])


def emit_operations(rows: Sequence[Mapping[str, Any]]) -> str:
    """The section of `isa.md` on what VECTOR computes, from rows that sim/operations measured."""
    lines = [
        "",
        "## Operations",
        "",
        "What VECTOR computes, an instruction or several. A pass is an iteration: one vector of "
        "lanes elements. Errors in steps of the output, against float64 before rounding (0.5 is "
        "the best that a rounded result can do), measured by executing the instructions.",
    ]
    for group in dict.fromkeys(row["group"] for row in rows):
        lines += [
            "",
            f"### {group.capitalize()}",
            "",
            "| operation | types | instructions | passes | inputs and results | max error | RMS |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {row['name']} | {row['types']} | {'; '.join(row['sequence'])} | "
            f"{row['passes']:g} | {row['domain']} | {row['max']:g} | {row['rms']:g} |"
            for row in rows
            if row["group"] == group
        ]
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _field_table(fields: tuple[isa_lib.Field, ...]) -> list[str]:
    if not fields:
        return ["No fields beyond the header."]
    rows = ["| bits | field | type | meaning |", "|---|---|---|---|"]
    for f in fields:
        kind = f.enum or f"{'int' if f.signed else 'uint'}{f.width}"
        unit = f" ({f.unit})" if f.unit else ""
        rows.append(
            f"| {f.offset + f.width - 1}:{f.offset} | `{f.name}` | {kind} | {_cell(f.doc)}{unit} |"
        )
    return rows
