"""The static checker: proves that a Program is safe before it is written out.

In: a `program.proto` Program and the configuration. Out: one line per violation, none if
the program
    - decodes, ends with `end`, and belongs to the configuration;
    - breaks no rule of docs/machine.md in any instruction, on-chip or DRAM range, or segment,
      whatever numbers within their counts its arguments are given;
    - runs to its end in finite queues and counters, with every token taken;
    - has no race: accesses of two engines to the same bytes, one a write, are ordered by tokens.
Shares no code with the emitter that put the tokens in. What it does not prove: that values are
right, or that bytes read were written before.
"""

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from jacquard.compiler.checker import access, arguments, order, races, table, vector_access
from jacquard.proto import npu_isa, program_pb2
from jacquard.proto.lib import asm, errors
from jacquard.proto.lib.arch import Arch

MOST_LINES = 20


def require(program: program_pb2.Program, arch: Arch) -> None:
    """Raises UserError with the lines of `check`, if there are any."""
    errors.raise_if_any(check(program, arch))


def check(program: program_pb2.Program, arch: Arch, limit: int = MOST_LINES) -> list[str]:
    """At most `limit` lines `program[index]: instruction: rule, got value; way out`."""
    found = _head(program, arch)
    try:
        code = table.read(program.code)
    except ValueError as error:
        return [*found, f"program: code must decode, got {error}; compile it again"]
    found += _shape(program, code)
    if found:
        return found[:limit]

    def describe(index: int) -> str:
        return f"program[{index}] {asm.disassemble(code.instruction(index))}"

    rules = access.Rules(
        arch, arguments.segments(program), arguments.walks(program), code, limit
    )
    access.check_tokens(rules)
    access.check_load(rules)
    access.check_matrix(rules)
    vector_access.check_vector(rules)
    access.check_store(rules)
    if rules.broken:
        rules.broken.sort(key=lambda line: line[0])
        return [f"{describe(index)}: {line}" for index, line in rules.broken[:limit]]
    run = order.execute(
        code.engine.tolist(),
        code.pop.tolist(),
        code.push.tolist(),
        arch.queue_depth,
        arch.max_tokens,
        describe,
    )
    if run.stuck:
        return run.stuck[:limit]
    columns = races.columns(rules.accesses, code.engine, run)
    return list(itertools.islice(_races(columns, describe), limit))


def _head(program: program_pb2.Program, arch: Arch) -> list[str]:
    found = []
    if program.fingerprint != arch.fingerprint:
        found.append(
            f"program: fingerprint must be that of {arch.name} ({arch.fingerprint:016x}), "
            f"got {program.fingerprint:016x}; compile it again for this configuration"
        )
    found += arguments.check(program)
    return found


def _shape(program: program_pb2.Program, code: table.Code) -> list[str]:
    found = []
    if len(code) != program.instruction_count:
        found.append(
            f"program: instruction_count must be {len(code)}, "
            f"got {program.instruction_count}; compile it again"
        )
    ends = np.flatnonzero(code.engine < 0).tolist()
    if ends != [len(code) - 1]:
        found.append(
            f"program: `end` must be the last instruction and no other, got it at "
            f"{', '.join(map(str, ends)) or 'no place'}; end the program once"
        )
    for layer in program.layers:
        if not layer.first_instruction <= layer.end_instruction <= len(code):
            found.append(
                f"layer {layer.name}: instructions must lie in 0 to {len(code)}, got "
                f"{layer.first_instruction} to {layer.end_instruction}; compile it again"
            )
    return found


def _races(
    columns: dict[tuple[int, int], races.Column], describe: Callable[[int], str]
) -> Iterator[str]:
    for (space, engine_a), (other, engine_b) in itertools.combinations(columns, 2):
        if space != other:
            continue
        a, b = columns[space, engine_a], columns[other, engine_b]
        for row_a, row_b in races.races(a, b, engine_a, engine_b):
            name = (
                f"DRAM segment of arg {space - access.DRAM}"
                if space >= access.DRAM
                else npu_isa.Buffer(space).name
            )
            first, second = (a, row_a), (b, row_b)
            if b.instruction[row_b] < a.instruction[row_a]:
                first, second = second, first
            text = " and ".join(
                f"{'write' if c.write[r] else 'read'} of {c.lo[r]} to {c.hi[r]}"
                for c, r in (first, second)
            )
            yield (
                f"{describe(int(second[0].instruction[second[1]]))}: must be ordered by tokens "
                f"against {describe(int(first[0].instruction[first[1]]))}, got {text} of {name} "
                "with no order; push a token from one to the other"
            )
