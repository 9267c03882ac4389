"""What argument registers may hold, and the rules of a Program's segments, arguments and states.

In: a Program. Out: lines of broken rules; for each register that a run sets, every place that it
may name. Instructions through such a register are then checked as if they touched all of these,
which holds whatever number the run is given.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from jacquard.proto import program_pb2

_REGISTERS = range(1, 8)


_BLOCKED, _ROWS = program_pb2.Layout.BLOCKED, program_pb2.Layout.ROWS
_CONSTANT = (program_pb2.Segment.CONSTANT, program_pb2.Segment.WEIGHTS)


class Segment(NamedTuple):
    """What DRAM accesses are checked against."""

    name: str
    size_bytes: int
    constant: bool


class Walk(NamedTuple):
    """A register that holds the address of segment `arg` + step_bytes * [0, places)."""

    arg: int
    step_bytes: int
    places: int


def segments(program: program_pb2.Program) -> dict[int, Segment]:
    """Segments by their registers."""
    return {
        s.arg: Segment(s.name, s.size_bytes, s.kind in _CONSTANT)
        for s in program.segments
    }


def walks(program: program_pb2.Program) -> dict[int, Walk]:
    """Arguments by their registers. Only of a program that `check` finds nothing in."""
    register = {s.name: s.arg for s in program.segments}
    return {
        a.arg: Walk(register[a.segment], a.step_bytes if a.count > 1 else 0, a.count)
        for a in program.arguments
    }


def check(program: program_pb2.Program) -> list[str]:
    """Lines on registers, arguments, states, and tensors outside their segments."""
    return [
        *_registers(program),
        *_segments(program),
        *_arguments(program),
        *_tensors(program),
        *_states(program),
        *_masks(program),
    ]


def _registers(program: program_pb2.Program) -> Iterator[str]:
    """Each its own, in range."""
    users = [("segment", s.name, s.arg) for s in program.segments]
    users += [("argument", a.name, a.arg) for a in program.arguments]
    args = [arg for _, _, arg in users]
    for what, name, arg in users:
        if arg not in _REGISTERS or args.count(arg) > 1:
            yield (
                f"{what} {name}: arg must lie in 1 to 7 and be its own, got {arg}; choose another"
            )


def _segments(program: program_pb2.Program) -> Iterator[str]:
    for s in program.segments:
        if s.kind in _CONSTANT and len(s.data) != s.size_bytes:
            yield (
                f"segment {s.name}: data must have size_bytes = {s.size_bytes} bytes, got "
                f"{len(s.data)}; compile it again"
            )
        if s.kind == program_pb2.Segment.STATE and s.data:
            yield (
                f"segment {s.name}: a state must have no data, got {len(s.data)} bytes; it is "
                "zero at first"
            )


def _arguments(program: program_pb2.Program) -> Iterator[str]:
    sizes = {s.name: s.size_bytes for s in program.segments}
    counts: dict[str, int] = {}
    for a in program.arguments:
        if a.segment not in sizes:
            yield (
                f"argument {a.name}: segment must be one of {', '.join(sizes) or 'none'}, got "
                f"{a.segment!r}; name it"
            )
        elif a.count < 1 or (a.count - 1) * a.step_bytes >= max(sizes[a.segment], 1):
            # Keeps addresses far from the end of 64 bits, too.
            yield (
                f"argument {a.name}: count must be at least 1 and its last step begin in segment "
                f"{a.segment} of {sizes[a.segment]} bytes, got {a.count} steps of {a.step_bytes}; "
                "lower the count"
            )
        if counts.setdefault(a.name, a.count) != a.count:
            yield (
                f"argument {a.name}: count must be the same in all of its registers, got "
                f"{counts[a.name]} and {a.count}; take the smaller"
            )


def _tensors(program: program_pb2.Program) -> Iterator[str]:
    sizes = {s.name: s.size_bytes for s in program.segments}
    made = [layer.output for layer in program.layers if layer.HasField("output")]
    for tensor in itertools.chain(program.inputs, program.outputs, program.states, made):
        end = tensor.offset_bytes + _extent(tensor)
        if end > sizes.get(tensor.segment, -1):
            yield (
                f"tensor {tensor.name}: must lie in its segment {tensor.segment!r} of "
                f"{sizes.get(tensor.segment, 0)} bytes, got end {end}; compile it again"
            )


def _states(program: program_pb2.Program) -> Iterator[str]:
    """States have names and places of their own, and arguments walk over their positions."""
    lasting = {s.name for s in program.segments if s.kind == program_pb2.Segment.STATE}
    names = [t.name for t in program.states]
    for t in program.states:
        if t.segment not in lasting:
            yield (
                f"state {t.name}: must lie in a segment of kind STATE, got {t.segment!r}; move it"
            )
        if names.count(t.name) > 1:
            yield f"state {t.name}: must be the only one of that name, got another; rename it"
    yield from _overlaps(program)
    for a in program.arguments:
        for t in program.states:
            if t.segment == a.segment and t.layout.kind in (_BLOCKED, _ROWS):
                yield from _walk_over(a, t)


def _overlaps(program: program_pb2.Program) -> Iterator[str]:
    """Blocked states follow each other; those of rows stand side by side in rows of one size."""
    spans = [(_spans(t), t) for t in program.states]
    spans.sort(key=lambda span: (span[1].segment, span[0]))
    for (a, first), (b, second) in itertools.pairwise(spans):
        if first.segment == second.segment and a[1] > b[0]:
            yield (
                f"state {second.name}: must not overlap state {first.name}, got offset "
                f"{second.offset_bytes}; move it"
            )
    for t in program.states:
        rows = [u for u in program.states if u.segment == t.segment]
        sizes = {u.layout.row_bytes if u.layout.kind == _ROWS else 0 for u in rows}
        if t.layout.kind == _ROWS and (sizes != {t.layout.row_bytes} or not t.layout.row_bytes):
            yield (
                f"state {t.name}: row_bytes must be the same for all states of its segment, and "
                f"not 0, got {', '.join(map(str, sorted(sizes)))}; give each the row they share"
            )
        elif t.layout.kind == _ROWS and _spans(t)[1] > t.layout.row_bytes:
            yield (
                f"state {t.name}: must lie in a row of {t.layout.row_bytes} bytes, got its end at "
                f"{_spans(t)[1]}; move it"
            )


def _spans(t: program_pb2.Tensor) -> tuple[int, int]:
    """Bytes of its segment, or of each of its rows, that a state has."""
    if t.layout.kind == _ROWS:
        start = t.offset_bytes % max(t.layout.row_bytes, 1)
        return start, start + t.size_bytes // max(t.layout.height * t.layout.width, 1)
    return t.offset_bytes, t.offset_bytes + t.size_bytes


def _extent(t: program_pb2.Tensor) -> int:
    """Bytes from its first to behind its last."""
    if t.layout.kind != _ROWS:
        return t.size_bytes
    positions = max(t.layout.height * t.layout.width, 1)
    return (positions - 1) * t.layout.row_bytes + -(-t.size_bytes // positions)


def _walk_over(a: program_pb2.Argument, t: program_pb2.Tensor) -> Iterator[str]:
    """An argument goes from position to position of a state, and not past its last."""
    positions = t.layout.height * t.layout.width
    tiles = -(-t.layout.channels // max(t.layout.block, 1))
    step = t.size_bytes // max(tiles * positions, 1)
    if t.layout.kind == _ROWS:
        step = t.layout.row_bytes
    if a.count > 1 and (a.step_bytes == 0 or a.step_bytes % max(step, 1)):
        yield (
            f"argument {a.name}: step_bytes must be a multiple of {step}, a position of state "
            f"{t.name}, got {a.step_bytes}; step over whole positions"
        )
    elif (a.count - 1) * a.step_bytes >= positions * step:
        yield (
            f"argument {a.name}: count must keep it in the {positions} positions of state "
            f"{t.name}, got {a.count} steps of {a.step_bytes // max(step, 1)} positions; lower it"
        )


def _masks(program: program_pb2.Program) -> Iterator[str]:
    """Where a number moves the last element of a mask's rows, it stays in them."""
    counts = {a.name: a.count for a in program.arguments}
    for t in program.inputs:
        name = t.position_argument
        if name and t.role != program_pb2.Tensor.MASK:
            yield f"input {t.name}: only a mask's last element moves, got argument {name}; drop it"
        elif name and counts.get(name, 0) != t.shape[-1]:
            yield (
                f"input {t.name}: position_argument must have {t.shape[-1]} numbers, got "
                f"{counts.get(name, 0)} of {name}; one for each element of a row"
            )
