"""The machine once more, slowly: docs/machine.md word by word, a byte and a lane at a time.

Only for tests. It shares no code with the engines beside it: where both agree on random programs,
a mistake must have been made twice. Instructions are anything with the fields of npu_isa.
"""

from __future__ import annotations

import itertools
from typing import Any

from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch

_M64 = (1 << 64) - 1
_SIZES = {0: (1, True), 1: (1, False), 2: (2, True), 3: (2, False), 4: (4, True)}


class ScalarFault(Exception):
    """`code`: number of isa.Error."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.code = int(isa.Error[name])


def _signed(x: int, bits: int) -> int:
    x &= (1 << bits) - 1
    return x - (1 << bits) if x >> (bits - 1) else x


def _half_even(x: int, shift: int) -> int:
    """Rounds x / 2**shift by comparing twice the remainder with the divisor."""
    quotient, remainder = divmod(x, 1 << shift)
    twice = 2 * remainder
    if twice > 1 << shift or (twice == 1 << shift and quotient % 2 == 1):
        quotient += 1
    return quotient


class ScalarMachine:
    """Memories as bytearrays by name: ibuf, wbuf, obuf, vmem, param and dram."""

    def __init__(self, arch: Arch, dram: bytearray) -> None:
        self.arch = arch
        self.dram = dram
        self.memory = {
            1: bytearray(arch.ibuf_bytes),
            2: bytearray(arch.wbuf_bytes),
            3: bytearray(arch.obuf_bytes),
            4: bytearray(arch.vmem_bytes),
            5: bytearray(arch.param_bytes),
            6: bytearray(arch.table_bytes),
        }

    def execute(self, name: str, instr: Any, args: tuple[int, ...]) -> None:
        """One instruction, by mnemonic."""
        if name in ("load", "store"):
            getattr(self, name)(instr, args)
        elif name != "end":
            getattr(self, name)(instr)

    def load(self, i: Any, args: tuple[int, ...]) -> None:
        if 0 in (i.n0, i.n1, i.n2, i.n3):
            raise ScalarFault("ILLEGAL")
        if i.before0 + i.after0 > i.n0 or i.before1 + i.after1 > i.n1:
            raise ScalarFault("ILLEGAL")
        if i.gather:
            padding = (i.before0, i.after0, i.before1, i.after1)
            misaligned = (args[i.index_arg] + i.index_dram) % 4
            if (i.n2, i.n3) != (1, 1) or padding != (0, 0, 0, 0) or misaligned:
                raise ScalarFault("ILLEGAL")
        if i.buffer not in (1, 2, 4, 5, 6):
            raise ScalarFault("LOCAL_RANGE")
        memory = self.memory[i.buffer]
        if i.gather:
            self._gather(i, args, memory)
            return
        writes, faults = [], False
        for i3, i2, i1, b in itertools.product(*map(range, (i.n3, i.n2, i.n1, i.n0))):
            at = i.dst + b + i1 * i.d1 + i2 * i.d2 + i3 * i.d3
            if not 0 <= at < len(memory):
                raise ScalarFault("LOCAL_RANGE")
            value = i.fill
            if i.before0 <= b < i.n0 - i.after0 and i.before1 <= i1 < i.n1 - i.after1:
                address = args[i.arg] + i.dram + (b - i.before0)
                address += (i1 - i.before1) * i.s1 + i2 * i.s2 + i3 * i.s3
                address &= _M64
                if address < len(self.dram):
                    value = self.dram[address]
                else:
                    faults = True
            writes.append((at, value))
        if faults:
            raise ScalarFault("DRAM_READ")
        for at, value in writes:
            memory[at] = value

    def _gather(self, i: Any, args: tuple[int, ...], memory: bytearray) -> None:
        for run in range(i.n1):
            at = i.dst + run * i.d1
            if not 0 <= at <= len(memory) - i.n0:
                raise ScalarFault("LOCAL_RANGE")
        for run in range(i.n1):
            index = 0
            for byte in range(4):
                address = (args[i.index_arg] + i.index_dram + 4 * run + byte) & _M64
                if address >= len(self.dram):
                    raise ScalarFault("DRAM_READ")
                index += self.dram[address] << 8 * byte
            if index >= i.index_limit:
                raise ScalarFault("INDEX")
            for b in range(i.n0):
                address = (args[i.arg] + i.dram + index * i.s1 + b) & _M64
                if address >= len(self.dram):
                    raise ScalarFault("DRAM_READ")
                memory[i.dst + run * i.d1 + b] = self.dram[address]

    def store(self, i: Any, args: tuple[int, ...]) -> None:
        if 0 in (i.n0, i.n1, i.n2, i.n3):
            raise ScalarFault("ILLEGAL")
        if i.buffer not in (1, 4):
            raise ScalarFault("LOCAL_RANGE")
        memory = self.memory[i.buffer]
        writes, faults = [], False
        for i3, i2, i1, b in itertools.product(*map(range, (i.n3, i.n2, i.n1, i.n0))):
            at = i.src + b + i1 * i.l1 + i2 * i.l2 + i3 * i.l3
            if not 0 <= at < len(memory):
                raise ScalarFault("LOCAL_RANGE")
            address = args[i.arg] + i.dram + b + i1 * i.s1 + i2 * i.s2 + i3 * i.s3
            address &= _M64
            faults |= address >= len(self.dram)
            writes.append((address, memory[at]))
        if faults:
            raise ScalarFault("DRAM_WRITE")
        for address, value in writes:
            self.dram[address] = value

    def _word(self, buffer: int, at: int, size: int, signed: bool) -> int:
        memory = self.memory[buffer]
        if at < 0 or at + size > len(memory):
            raise ScalarFault("LOCAL_RANGE")
        return int.from_bytes(memory[at : at + size], "little", signed=signed)

    def _weight(self, at: int, signed: bool) -> int:
        """The at-th weight of WBUF; those of 4 bits lie two in a byte, the lower half first."""
        if self.arch.weight_bits == 8:
            return self._word(2, at, 1, signed)
        value = self._word(2, at // 2, 1, False) >> 4 * (at % 2) & 15
        return _signed(value, 4) if signed else value

    def matrix(self, i: Any) -> None:
        rows, cols = self.arch.rows, self.arch.cols
        if 0 in (i.n_x, i.n_y, i.n_kx, i.n_ky, i.n_c) or (i.weight_transposed and rows != cols):
            raise ScalarFault("ILLEGAL")
        out = {}
        for y, x in itertools.product(range(i.n_y), range(i.n_x)):
            p = i.obuf + y * i.n_x + x
            sums = [self._word(3, (p * cols + n) * 4, 4, True) for n in range(cols)]
            if not i.accumulate:
                sums = [0] * cols
            passes = itertools.product(range(i.n_c), range(i.n_ky), range(i.n_kx))
            for number, (c, ky, kx) in enumerate(passes):
                row = i.ibuf + y * i.s_y + x * i.s_x + c * i.s_c + ky * i.s_ky + kx * i.s_kx
                for k in range(rows):
                    act = self._word(1, row * rows + k, 1, not i.act_unsigned) - i.act_zero
                    for n in range(cols):
                        row_w, byte = (n, k) if i.weight_transposed else (k, n)
                        at = (i.wbuf + number * rows + row_w) * cols + byte
                        weight = self._weight(at, not i.weight_unsigned) - i.weight_zero
                        sums[n] = _signed(sums[n] + act * weight, 32)
            out[p] = sums
        for p, sums in out.items():
            for n, value in enumerate(sums):
                at = (p * cols + n) * 4
                self.memory[3][at : at + 4] = value.to_bytes(4, "little", signed=True)

    def vector(self, i: Any) -> None:
        self._vector_legal(i)
        if i.table and (i.table_index + 1) * 1024 > self.arch.table_bytes:
            raise ScalarFault("LOCAL_RANGE")
        lanes = self.arch.lanes
        counts = (i.n0, i.n1, i.n2, i.n3)
        kept = range(i.reduce_loops, 4)  # loops that the reduction leaves
        misaligned = False

        def vector_at(which: str, loops: tuple[int, ...], used: range) -> int | None:
            nonlocal misaligned
            buffer, dtype = getattr(i, which + "_buffer"), getattr(i, which + "_dtype")
            if buffer == 0:
                return None
            allowed = {1: (0, 1), 4: (0, 1, 2, 3, 4)}
            if which.startswith("src"):
                allowed[3] = (4,)
            if dtype not in allowed.get(buffer, ()):
                raise ScalarFault("LOCAL_RANGE")
            at = getattr(i, which + "_base")
            at += sum(loops[n] * getattr(i, f"{which}_stride{n}") for n in used)
            size = lanes * _SIZES[dtype][0]
            if at < 0 or at + size > len(self.memory[buffer]):
                raise ScalarFault("LOCAL_RANGE")
            misaligned |= at % size != 0
            return int(at)

        def read(which: str, at: int | None, imm: int) -> list[int]:
            if at is None:
                return [imm] * lanes
            buffer = getattr(i, which + "_buffer")
            size, signed = _SIZES[getattr(i, which + "_dtype")]
            words = [self._word(buffer, at + n * size, size, signed) for n in range(lanes)]
            return [_signed(word + imm, 32) for word in words]

        groups: dict[tuple[int, ...], list[tuple[int, tuple[int, ...], Any, Any]]] = {}
        for i3, i2, i1, i0 in itertools.product(*(range(n) for n in reversed(counts))):
            loops = (i0, i1, i2, i3)
            sources = [(w, vector_at(w, loops, range(4))) for w in ("src1", "src2")]
            outer = tuple(loops[n] if n in kept else 0 for n in range(4))
            groups.setdefault(outer, []).append((i0, loops, sources[0][1], sources[1][1]))
        destinations = {}
        for outer in groups:
            destinations[outer] = [(w, vector_at(w, outer, kept)) for w in ("dst", "dst2")]
            if i.scale == 2:
                row = i.param + sum(outer[n] * getattr(i, f"param_stride{n}") for n in kept)
                if row < 0 or (row + 1) * lanes * 8 > len(self.memory[5]):
                    raise ScalarFault("LOCAL_RANGE")
        if misaligned:
            raise ScalarFault("ALIGNMENT")

        writes: list[tuple[int, int, int, int]] = []  # buffer, address, bytes, value
        blocks: dict[tuple[int, ...], list[list[int]]] = {}
        if isa.VectorOp(i.op).name == "TRANSPOSE":
            for members in groups.values():
                for i0, at_loops, at1, _ in members:
                    vectors = blocks.setdefault(at_loops[1:], [])
                    assert len(vectors) == i0
                    vectors.append(read("src1", at1, i.imm1))
        for outer, members in groups.items():
            v = [0] * lanes
            b = [0] * lanes
            masked = [False] * lanes
            for number, (i0, at_loops, at1, at2) in enumerate(members):
                a = read("src1", at1, i.imm1)
                b = read("src2", at2, i.imm2)
                if blocks:
                    a = [blocks[at_loops[1:]][lane][i0] for lane in range(lanes)]
                t = [_operate(isa.VectorOp(i.op).name, a[n], b[n]) for n in range(lanes)]
                masked = [
                    i0 == i.n0 - 1 and i.tail_lanes != 0 and n >= i.tail_lanes
                    for n in range(lanes)
                ]
                if i.reduce_loops or i.lane_reduce:
                    identity = {0: 0, 1: -(1 << 63), 2: (1 << 63) - 1}[i.reduce]
                    t = [identity if masked[n] else t[n] for n in range(lanes)]
                v = t if number == 0 else [_combine(i.reduce, v[n], t[n]) for n in range(lanes)]
            if i.lane_reduce:
                total = v[0]
                for value in v[1:]:
                    total = _combine(i.reduce, total, value)
                v = [total] * lanes
            for lane in range(lanes):
                if masked[lane] and not i.reduce_loops and not i.lane_reduce:
                    continue
                if isa.VectorOp(i.op).name == "SELECT" and b[lane] == 0:
                    continue
                y = self._scale(i, v[lane], b[lane], outer, lane)
                for which, at in destinations[outer]:
                    if at is None:
                        continue
                    size, signed = _SIZES[getattr(i, which + "_dtype")]
                    low = -(1 << (8 * size - 1)) if signed else 0
                    stored = min(max(y, low), low + (1 << (8 * size)) - 1)
                    writes.append((getattr(i, which + "_buffer"), at + lane * size, size, stored))
        for buffer, at, size, value in writes:
            self.memory[buffer][at : at + size] = (value & ((1 << (8 * size)) - 1)).to_bytes(
                size, "little"
            )

    def _vector_legal(self, i: Any) -> None:
        operations = [op.value for op in isa.VectorOp]
        legal = 0 not in (i.n0, i.n1, i.n2, i.n3)
        legal = legal and i.op in operations and i.reduce < 3 and i.scale < 3
        legal = legal and i.reduce_loops <= 4 and i.dst_buffer != 0
        for which in ("src1", "src2", "dst", "dst2"):
            present = getattr(i, which + "_buffer") != 0
            legal = legal and not (present and getattr(i, which + "_dtype") > 4)
        if legal:
            name = isa.VectorOp(i.op).name
            if name in ("SELECT", "SADD", "LEAKY", "TRANSPOSE"):
                legal = not i.reduce_loops and not i.lane_reduce
            if name in ("SADD", "LEAKY"):
                legal = legal and i.scale != 0
            if name == "TRANSPOSE":
                legal = legal and i.n0 == self.arch.lanes and i.scale == 0
                legal = legal and i.tail_lanes == 0 and i.src2_buffer == 0
        if not legal:
            raise ScalarFault("ILLEGAL")

    def _scale(self, i: Any, v: int, b: int, outer: tuple[int, ...], lane: int) -> int:
        y = v
        if i.scale:
            first = i.mult1
            if i.scale == 2:
                lanes = self.arch.lanes
                row = i.param + sum(
                    outer[n] * getattr(i, f"param_stride{n}") for n in range(i.reduce_loops, 4)
                )
                v = _signed(v + self._word(5, (row * 2 * lanes + lane) * 4, 4, True), 64)
                first = self._word(5, (row * 2 * lanes + lanes + lane) * 4, 4, True)
            name = isa.VectorOp(i.op).name
            if name == "SADD":
                product = v * first + b * i.mult2
            elif name == "LEAKY":
                product = v * (i.mult2 if v < 0 else first)
            else:
                product = v * first
            y = _half_even(_signed(product, 64), i.shift)
        y = _signed(y + i.zero_point, 64)
        if i.clamp:
            y = min(max(y, i.lo), i.hi)
        return self._look_up(i, y) if i.table else y

    def _look_up(self, i: Any, y: int) -> int:
        t = max(-32768, min(32767, y))
        entry = i.table_index * 1024 + 4 * (t // 256 + 128)
        base = self._word(6, entry, 2, True)
        slope = self._word(6, entry + 2, 2, True)
        return _half_even(base * 256 + slope * (t % 256), i.table_shift)


def _operate(op: str, a: int, b: int) -> int:
    match op:
        case "ADD":
            return a + b
        case "SUB":
            return a - b
        case "MUL":
            return a * b
        case "MIN":
            return a if a < b else b
        case "MAX":
            return a if a > b else b
        case "SHL":
            return _signed(a << (b % 32), 32)
        case "SHR":
            return a // (1 << (b % 32))
        case "SHRL":
            return _signed((a % (1 << 32)) // (1 << (b % 32)), 32)
        case "AND":
            return a & b
        case "OR":
            return a | b
        case "XOR":
            return a ^ b
        case "NOT":
            return -1 - a
        case "EQ":
            return int(a == b)
        case "NE":
            return int(a != b)
        case "LT":
            return int(a < b)
        case "LE":
            return int(a <= b)
        case "GT":
            return int(a > b)
        case "GE":
            return int(a >= b)
        case "RELU":
            return a if a > 0 else 0
        case "EXPONENT":
            return _even_exponent(a)
        case "NORM":
            return a * 2**28 // 4 ** (_even_exponent(a) // 2) if a > 0 else 0
        case "MOVE" | "SELECT" | "SADD" | "LEAKY" | "TRANSPOSE":
            return a
    raise AssertionError(op)


def _even_exponent(a: int) -> int:
    e = 0
    while a >= 2 ** (e + 2):
        e += 2
    return e


def _combine(reduce: int, x: int, y: int) -> int:
    if reduce == 0:
        return _signed(x + y, 64)
    return max(x, y) if reduce == 1 else min(x, y)
