"""What the makers of random instructions share: a draft of one, and where it may read and write."""

from __future__ import annotations

import dataclasses
import random
from types import SimpleNamespace

from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch
from jacquard.sim.cosim.place import Window


@dataclasses.dataclass
class Draft:
    """An instruction before it has its tokens: f has all its fields but the header's."""

    kind: type[isa.Instruction]
    f: SimpleNamespace
    indices: tuple[int, ...] = ()  # of a gather

    @classmethod
    def make(cls, kind: type[isa.Instruction], **fields: int) -> Draft:
        values = {field.name: 0 for field in kind.FIELDS[4:]}
        if unknown := fields.keys() - values.keys():
            raise ValueError(f"{kind.NAME} has no fields {sorted(unknown)}")
        return cls(kind, SimpleNamespace(**(values | fields)))

    def finish(self, pop: int = 0, push: int = 0) -> isa.Instruction:
        return self.kind(pop=pop, push=push, **vars(self.f))


@dataclasses.dataclass
class Lists:
    """Lists of indices in a part of DRAM that nobody writes. words: what is there so far."""

    window: Window
    words: list[int] = dataclasses.field(default_factory=list)

    def place(self, rng: random.Random, indices: list[int]) -> int | None:
        """The address of a new list; None if there is no room for it."""
        self.words += [0] * rng.randrange(4)
        address = self.window.start + 4 * len(self.words)
        if address + 4 * len(indices) > self.window.end:
            return None
        self.words += indices
        return address

    def read(self, address: int, count: int) -> list[int]:
        """The indices of a list."""
        first = (address - self.window.start) // 4
        return self.words[first : first + count]


@dataclasses.dataclass(frozen=True)
class Space:
    """Where a program may read and write: windows of memories by number of isa.Buffer, in bytes.

    dram is the part of the DRAM's dram_bytes that random instructions may touch.
    """

    arch: Arch
    windows: dict[int, Window]
    dram: Window
    dram_bytes: int
    args: tuple[int, ...]
    lists: Lists

    def rows(self, buffer: int) -> Window:
        """The window in rows of its memory."""
        size = self.arch.buffer_row_bytes(isa.Buffer(buffer).name)
        window = self.windows[buffer]
        return Window(window.start // size, window.end // size)
