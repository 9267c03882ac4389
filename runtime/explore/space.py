"""The configurations of an exploration: a base, and the values that some of its fields take.

In: an `Arch` message and sweeps such as `rows,cols=8..32` or `ibuf_bytes=64K,128K`. Out: every
combination, with the rules of proto/lib/arch_rules.py that it breaks. What cannot be meant is
refused here, before anything is compiled.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import hashlib
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence

from jacquard.proto import arch_pb2
from jacquard.proto.lib import arch_rules
from jacquard.proto.lib import isa as isa_lib
from jacquard.proto.lib.arch import Arch, from_message
from jacquard.proto.lib.errors import UserError, raise_if_any

# What can be swept, and the part of an Arch that has it: all that the front counts as a cost.
AXES: Mapping[str, str] = {
    "rows": "matrix",
    "cols": "matrix",
    "lanes": "vector",
    **{field.name: "memory" for field in arch_pb2.Memory.DESCRIPTOR.fields},
    "bytes_per_cycle": "dram",
}

_VALUES = re.compile(r"\d{1,12}[KM]?(\.\.\d{1,12}[KM]?(\+\d{1,12}[KM]?)?)?", re.ASCII)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20}
_LARGEST = 2**32 - 1  # of a field of an Arch
_WAY = "give numbers (8,16,32), doublings (8..64) or steps (64K..256K+64K)"


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Fields that take the same value together, and the values they take."""

    text: str  # as the user wrote it
    fields: tuple[str, ...]
    values: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One combination.

    Attributes:
      values: of every axis, in the order of AXES.
      broken: the rules it breaks, `field rule, got value; way out`; none where it can be built.
    """

    message: arch_pb2.Arch
    values: Mapping[str, int]
    broken: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.message.name

    @functools.cached_property
    def arch(self) -> Arch:
        """The machine; only of a candidate that breaks no rule."""
        return from_message(self.message)


def parse_sweeps(texts: Sequence[str], max_points: int) -> tuple[Sweep, ...]:
    """Sweeps of `FIELD[,FIELD...]=VALUES`.

    Raises:
      UserError: every sweep that is malformed, names a field twice or none that can be swept, is
        empty; or more combinations than max_points.
    """
    if not texts:
        raise UserError(f"--sweep: must be given, e.g. --sweep rows,cols=8,16; {_WAY}")
    problems: list[str] = []
    sweeps: list[Sweep] = []
    for text in texts:
        try:
            sweeps.append(_parse(text, max_points))
        except UserError as error:
            problems += error.lines
    named = collections.Counter(field for sweep in sweeps for field in sweep.fields)
    problems += [
        f"--sweep {field}: must be swept once, got it {count} times"
        for field, count in named.items()
        if count > 1
    ]
    raise_if_any(problems)
    points = math.prod(len(sweep.values) for sweep in sweeps)
    if points > max_points:
        raise UserError(_too_many(points, max_points))
    return tuple(sweeps)


def _too_many(points: int, max_points: int) -> str:
    return (
        f"--sweep: must give at most {max_points:,} configurations (--max-points), got "
        f"{points:,}; sweep fewer values"
    )


def _parse(text: str, max_points: int) -> Sweep:
    place = f"--sweep {text}"
    left, equals, right = text.partition("=")
    fields = tuple(left.split(","))
    if not equals:
        raise UserError(f"{place}: must be FIELD=VALUES, got no values; {_WAY}")
    raise_if_any(
        f"{place}: field must be one of {', '.join(AXES)}, got {field!r}"
        for field in fields
        if field not in AXES
    )
    values: list[int] = []
    problems: list[str] = []
    for part in right.split(",") if right else ():
        try:
            values += _values(place, part, max_points)
        except UserError as error:
            problems += error.lines
    if not right:
        problems.append(f"{place}: must name at least one value, got none; {_WAY}")
    problems += [
        f"{place}: values must differ, got {value} {count} times"
        for value, count in collections.Counter(values).items()
        if count > 1
    ]
    raise_if_any(problems)
    return Sweep(text, fields, tuple(values))


def _values(place: str, part: str, max_points: int) -> Sequence[int]:
    """The values of `8`, `8..64` or `64K..256K+64K`; ranges have both ends. Raises UserError."""
    if _VALUES.fullmatch(part) is None:
        raise UserError(f"{place}: value must be a number or a range of them, got {part!r}; {_WAY}")
    first, *more = [
        int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([KM]?)", part)
    ]
    if max(first, *more, 0) > _LARGEST:
        raise UserError(f"{place}: value must be at most {_LARGEST}, got {part!r}; lower it")
    if not more:
        return (first,)
    last, *steps = more
    if last < first:
        raise UserError(f"{place}: range must go upwards, got {part!r}; write {last}..{first}")
    if 0 in (first, *steps):
        raise UserError(f"{place}: range must start and step above 0, got {part!r}; {_WAY}")
    if not steps:
        return [first << i for i in range((last // first).bit_length())]
    values = range(first, last + 1, steps[0])
    if len(values) > max_points:
        raise UserError(_too_many(len(values), max_points))
    return values


def candidates(base: arch_pb2.Arch, sweeps: Sequence[Sweep]) -> tuple[Candidate, ...]:
    """Every combination, in the order of the sweeps, the last one fastest.

    What is not swept is the base's, but for two things that follow: lanes are as many as columns
    where the base has it so, and LOAD's and STORE's buffers grow to what the DRAM's width asks for.

    Raises:
      UserError: a value that breaks a rule in every combination, with that rule; or no combination
        that keeps them all.
    """
    found = tuple(_candidates(base, sweeps))
    raise_if_any(_hopeless(sweeps, found))
    if all(candidate.broken for candidate in found):
        lines = dict.fromkeys(line for candidate in found for line in candidate.broken)
        raise UserError(f"--sweep: no configuration keeps the rules: {line}" for line in lines)
    return found


def _candidates(base: arch_pb2.Arch, sweeps: Sequence[Sweep]) -> Iterator[Candidate]:
    isa = isa_lib.load_isa()
    for chosen in itertools.product(*(sweep.values for sweep in sweeps)):
        values = {
            field: value
            for sweep, value in zip(sweeps, chosen, strict=True)
            for field in sweep.fields
        }
        message = _machine(base, values)
        broken = tuple(arch_rules.check(message, message.name, isa))
        everything = {axis: getattr(getattr(message, part), axis) for axis, part in AXES.items()}
        yield Candidate(message, everything, broken)


def _machine(base: arch_pb2.Arch, values: Mapping[str, int]) -> arch_pb2.Arch:
    """The base with these values and what follows from them, named after its contents."""
    message = arch_pb2.Arch()
    message.CopyFrom(base)
    for field, value in values.items():
        setattr(getattr(message, AXES[field]), field, value)
    if "lanes" not in values and base.vector.lanes == base.matrix.cols:
        message.vector.lanes = message.matrix.cols
    needed = arch_rules.bytes_in_flight(message.dram)
    for dma in (message.load, message.store):
        if dma.buffer_bytes < needed:
            dma.buffer_bytes = 1 << (needed - 1).bit_length()
    for field in ("name", "summary", "tier"):
        message.ClearField(field)
    # One machine has one name, and so one fingerprint, whatever sweep it comes from.
    contents = message.SerializeToString(deterministic=True)
    message.name = f"x{hashlib.sha256(contents).hexdigest()[:8]}"
    message.tier = arch_pb2.Arch.EXPERIMENTAL
    message.summary = f"Explored from {base.name}."
    return message


def _hopeless(sweeps: Sequence[Sweep], found: Sequence[Candidate]) -> Iterator[str]:
    """A line per value that breaks a rule about its own field in every combination."""
    for sweep in sweeps:
        for field in sweep.fields:
            rule = f"{AXES[field]}.{field} "
            lines: dict[int, list[str | None]] = {value: [] for value in sweep.values}
            for candidate in found:
                own = (line for line in candidate.broken if line.startswith(rule))
                lines[candidate.values[field]].append(next(own, None))
            for first, *others in lines.values():
                if first is not None and None not in others:
                    yield f"--sweep {sweep.text}: {first}"
