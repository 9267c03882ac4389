"""A whole random program from a seed: fill, random middle, dump.

A program works in a window of each memory. It first fills the windows from random DRAM, then runs
random instructions, then brings every window back to DRAM, so that comparing DRAM compares all:
VMEM and IBUF are stored; OBUF goes through VECTOR moves; WBUF, PARAM and TABLE, which nothing can
store, show in sums and products of their bytes with others.
"""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import numpy.typing as npt

from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch
from jacquard.sim.cosim import faults
from jacquard.sim.cosim.footprint import footprint
from jacquard.sim.cosim.instructions import sequence
from jacquard.sim.cosim.place import Window
from jacquard.sim.cosim.space import Draft, Lists, Space
from jacquard.sim.cosim.tokens import Synchroniser

_B = isa.Buffer
FAULT_RATE = 0.12


@dataclasses.dataclass(frozen=True)
class Layout:
    """What lies where in a program's DRAM; what holds rows grows with their width."""

    arch: Arch

    @property
    def _wide(self) -> int:
        return max(1, self.arch.rows // 16, self.arch.cols // 16)

    @property
    def data(self) -> Window:
        """What random instructions read and write."""
        return Window(0, 0x8000 * self._wide)

    @property
    def random(self) -> Window:
        """Uniform bytes that nobody writes: activations of the sums that show WBUF."""
        return Window(self.data.end, self.data.end + 0x1000 * self._wide)

    @property
    def dump(self) -> Window:
        return Window(self.random.end, self.random.end + 0x5600 * self._wide)

    @property
    def ramp(self) -> Window:
        """int16: the last argument of each of the 256 pieces of a table."""
        return Window(self.dump.end, self.dump.end + 0x200)

    @property
    def code(self) -> Window:
        return Window(self.ramp.end, self.ramp.end + 0x3800)

    @property
    def lists(self) -> Window:
        """Indices of gathers."""
        return Window(self.code.end, self.code.end + 0x1000)

    @property
    def size_bytes(self) -> int:
        return self.lists.end


@dataclasses.dataclass(frozen=True)
class RandomProgram:
    """A program with its DRAM. fault: what was broken on purpose, empty if nothing.

    dram: uint8[Layout.size_bytes], code included; a run changes a copy of it.
    """

    config: str
    seed: int
    instructions: tuple[isa.Instruction, ...]
    args: tuple[int, ...]
    address: int
    dram: npt.NDArray[np.uint8]
    fault: str


class Generator:
    """Makes programs of one configuration. The same seed always gives the same program."""

    def __init__(self, arch: Arch, fault_rate: float = FAULT_RATE) -> None:
        self.arch = arch
        self.fault_rate = fault_rate
        self.layout = Layout(arch)
        self._synchroniser = Synchroniser(arch, self.layout.size_bytes)

    def program(self, seed: int) -> RandomProgram:
        rng = random.Random(f"{self.arch.name} {seed}")
        arch, layout = self.arch, self.layout
        args = (
            0,
            0,
            rng.randrange(4096),
            rng.randrange(2**39),
            2**64 - rng.randrange(1, 2**20),
            layout.data.end // 2,
            2**40 + rng.randrange(999),
            2**64 - 2**39,
        )
        windows = _windows(rng, arch)
        space = Space(arch, windows, layout.data, layout.size_bytes, args, Lists(layout.lists))
        drafts = _fill(rng, space)
        first = len(drafts)
        drafts += sequence(rng, space, rng.randint(6, 32))
        last = len(drafts)
        drafts += _dump(space, layout)

        engines = [int(draft.kind.ENGINE or 0) for draft in drafts]
        accesses = [footprint(d.kind, d.f, arch, args, d.indices) for d in drafts]
        superfluous = rng.choice((0, 0, 0.05, 0.5))
        pops, pushes = self._synchroniser.tokens(engines, accesses, rng, superfluous)
        dram = _contents(rng, layout)
        words = np.array(space.lists.words, "<u4").view(np.uint8)
        dram[layout.lists.start : layout.lists.start + words.size] = words
        address = layout.code.start + 16 * rng.randrange(64)
        finished = [d.finish(*t) for d, *t in zip(drafts, pops, pushes, strict=True)]
        finished.append(isa.End())
        fault, code = "", None
        if rng.random() < self.fault_rate:
            at = rng.randrange(first, last)
            gathers = [n for n in range(first, last) if drafts[n].indices]
            if gathers and rng.random() < 0.25:  # they are few, and have an error of their own
                at = rng.choice(gathers)
            fault, finished, code = faults.break_one(rng, space, finished, at)
        if code is None:
            code = isa.encode_program(finished)
        if address + len(code) > layout.code.end:
            raise AssertionError(f"seed {seed}: code of {len(code)} bytes does not fit")
        dram[address : address + len(code)] = np.frombuffer(code, np.uint8)
        return RandomProgram(arch.name, seed, tuple(finished), args, address, dram, fault)


def _windows(rng: random.Random, arch: Arch) -> dict[int, Window]:
    """A window of each memory: at its start, at its end, around the middle or anywhere."""
    small = arch.cols < 8
    rows = {
        _B.IBUF: 256,
        _B.WBUF: 128 if small else 256,
        _B.OBUF: 64,
        _B.VMEM: 96,
        _B.PARAM: 8,
        _B.TABLE: 2,
    }
    if rng.random() < 0.35:  # crowded: nearly every instruction touches what others touched
        rows = {buffer: -(-wanted // 4) for buffer, wanted in rows.items()}
    windows = {}
    for buffer, wanted in rows.items():
        row_bytes = arch.buffer_row_bytes(buffer.name)
        depth = arch.buffer_bytes(buffer.name) // row_bytes
        size = min(wanted, depth)
        highest = depth - size
        start = rng.choice((0, highest, highest // 2, rng.randint(0, highest)))
        if buffer == _B.IBUF:  # whose rows may be shorter than a vector of bytes
            start -= start % max(1, arch.lanes // arch.rows)
        windows[int(buffer)] = Window(start * row_bytes, (start + size) * row_bytes)
    return windows


def _contents(rng: random.Random, layout: Layout) -> npt.NDArray[np.uint8]:
    """Random bytes in stripes: uniform, sparse, small, and extremes."""
    numbers = np.random.default_rng(rng.getrandbits(64))
    dram = numbers.integers(0, 256, layout.size_bytes, dtype=np.uint8)
    stripes = dram[: layout.data.end].reshape(-1, 512)
    kinds = numbers.integers(0, 6, len(stripes))
    stripes[kinds == 0] *= stripes[kinds == 0] & 1  # half of them zero
    stripes[kinds == 1] &= 3
    stripes[kinds == 2] = np.array((0, 255, 128, 127), np.uint8)[stripes[kinds == 2] & 3]
    ramp = np.arange(-32768, 32768, 256, dtype="<i2") + np.int16(255)
    dram[layout.ramp.start : layout.ramp.end] = ramp.view(np.uint8)
    return dram


def _fill(rng: random.Random, space: Space) -> list[Draft]:
    drafts = []
    for buffer in rng.sample((_B.IBUF, _B.WBUF, _B.VMEM, _B.PARAM, _B.TABLE), 5):
        window = space.windows[buffer]
        run = rng.choice((window.size, window.size // 2, 64))
        offset = rng.randint(0, space.dram.size - window.size)
        drafts.append(
            Draft.make(
                isa.Load,
                buffer=int(buffer),
                dst=window.start,
                dram=space.dram.start + offset,
                n0=run,
                n1=window.size // run,
                n2=1,
                n3=1,
                d1=run,
                s1=run,
            )
        )
    rows = {buffer: space.rows(buffer) for buffer in (_B.IBUF, _B.WBUF, _B.OBUF)}
    drafts.append(
        Draft.make(
            isa.Matrix,
            ibuf=rows[_B.IBUF].start,
            wbuf=rows[_B.WBUF].start,
            obuf=rows[_B.OBUF].start,
            n_x=rows[_B.OBUF].size,
            n_y=1,
            n_kx=1,
            n_ky=1,
            n_c=1,
            s_x=1,
        )
    )
    return drafts


def _plain(name: str, buffer: int, base: int, stride: int) -> dict[str, int]:
    return {
        f"{name}_buffer": int(buffer),
        f"{name}_dtype": int(isa.Dtype.S32),
        f"{name}_base": base,
        f"{name}_stride0": stride,
    }


def _dump(space: Space, layout: Layout) -> list[Draft]:
    arch = space.arch
    drafts: list[Draft] = []
    some = {"n1": 1, "n2": 1, "n3": 1}
    top = layout.dump.start

    def store(buffer: int, start: int, size: int) -> None:
        nonlocal top
        drafts.append(
            Draft.make(isa.Store, buffer=int(buffer), src=start, dram=top, n0=size, **some)
        )
        top += size
        if top > layout.dump.end:
            raise AssertionError("the windows do not fit the dump area")

    vmem, ibuf = space.windows[_B.VMEM], space.windows[_B.IBUF]
    store(_B.VMEM, vmem.start, vmem.size)
    store(_B.IBUF, ibuf.start, ibuf.size)
    vector_bytes = 4 * arch.lanes
    obuf, param = space.rows(_B.OBUF), space.rows(_B.PARAM)
    wbuf, acts = space.rows(_B.WBUF), space.rows(_B.IBUF)

    def move_sums(rows: int) -> None:
        base = obuf.start * vector_bytes
        fields = _plain("src1", _B.OBUF, base, vector_bytes)
        fields |= _plain("dst", _B.VMEM, vmem.start, vector_bytes)
        drafts.append(Draft.make(isa.Vector, op=int(isa.VectorOp.MOVE), n0=rows, **some, **fields))
        store(_B.VMEM, vmem.start, rows * vector_bytes)

    move_sums(obuf.size)
    # Biases alone (LEAKY multiplies what is negative by mult2), then with their multipliers.
    for number, (op, imm1, shift) in enumerate(
        (
            (isa.VectorOp.LEAKY, 0, 0),
            (isa.VectorOp.LEAKY, -(2**31), 0),
            (isa.VectorOp.MOVE, 2**31 - 1, 32),
            (isa.VectorOp.MOVE, -(2**31), 32),
        )
    ):
        base = vmem.start + number * param.size * vector_bytes
        fields = _plain("dst", _B.VMEM, base, vector_bytes)
        drafts.append(
            Draft.make(
                isa.Vector,
                op=int(op),
                n0=param.size,
                **some,
                imm1=imm1,
                mult2=1,
                scale=int(isa.ScaleMode.PER_LANE),
                shift=shift,
                param=param.start,
                param_stride0=1,
                **fields,
            )
        )
    store(_B.VMEM, vmem.start, 4 * param.size * vector_bytes)
    # TABLE: base * 256 + slope * 255 of every entry, as many at a time as VMEM's window holds.
    pieces = 256
    while 6 * pieces > vmem.size:
        pieces //= 2
    tables, results = space.rows(_B.TABLE), vmem.start + 2 * pieces
    for table in range(tables.start, tables.end):
        for piece in range(0, 256, pieces):
            drafts.append(
                Draft.make(
                    isa.Load,
                    buffer=int(_B.VMEM),
                    dst=vmem.start,
                    dram=layout.ramp.start + 2 * piece,
                    n0=2 * pieces,
                    **some,
                )
            )
            fields = _plain("src1", _B.VMEM, vmem.start, 2 * arch.lanes)
            fields["src1_dtype"] = int(isa.Dtype.S16)
            fields |= _plain("dst", _B.VMEM, results, vector_bytes)
            fields |= {"n0": pieces // arch.lanes, "table": 1, "table_index": table}
            drafts.append(Draft.make(isa.Vector, **some, **fields))
            store(_B.VMEM, results, 4 * pieces)
    # WBUF: sums of all its rows in the window, weighted with fresh random activations.
    positions, passes = 4, wbuf.size // arch.rows
    drafts.append(
        Draft.make(
            isa.Load,
            buffer=int(_B.IBUF),
            dst=ibuf.start,
            dram=layout.random.start,
            n0=ibuf.size,
            **some,
        )
    )
    drafts.append(
        Draft.make(
            isa.Matrix,
            ibuf=acts.start,
            wbuf=wbuf.start,
            obuf=obuf.start,
            n_x=positions,
            n_y=1,
            n_kx=1,
            n_ky=1,
            n_c=passes,
            s_x=1,
            s_c=1,
        )
    )
    move_sums(positions)
    return drafts
