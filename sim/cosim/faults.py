"""Breaks one instruction of a good program, so that it must end in one error code at one index."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable

from jacquard.proto import npu_isa as isa
from jacquard.sim.cosim.space import Space

_B = isa.Buffer
Broken = tuple[str, list[isa.Instruction], bytes | None]


def break_one(
    rng: random.Random, space: Space, program: list[isa.Instruction], at: int
) -> Broken:
    """Breaks instruction `at`.

    Returns:
      What was done; the program; and its code if no instruction can be encoded to it.
    """
    if rng.random() < 0.12:
        return _garbled(rng, program, at)
    instr = program[at]
    if rng.random() < 0.03 and (missing := _never_pushed(program, at)):
        other = rng.choice(missing)  # rare, since it takes the watchdog's time
        broken = list(program)
        broken[at] = dataclasses.replace(instr, pop=instr.pop | 1 << other)
        return f"{at} {instr.NAME}: waits for {isa.Engine(other).name} in vain", broken, None
    ways = _ways(rng, space, instr)
    name = rng.choice(sorted(ways))
    changes = ways[name]()
    broken = list(program)
    broken[at] = dataclasses.replace(instr, **changes)
    return f"{at} {instr.NAME}: {name} {changes}", broken, None


def _garbled(rng: random.Random, program: list[isa.Instruction], at: int) -> Broken:
    codes = [instruction.encode() for instruction in program]
    code = bytearray(codes[at])
    if rng.random() < 0.5:
        known = {kind.OPCODE for kind in isa.INSTRUCTIONS}
        code[0] = rng.choice([n for n in range(256) if n not in known])
        what = f"opcode {code[0]}"
    else:
        length = rng.choice((0, *range(isa.MAX_WORDS + 1, 16)))
        code[1] = code[1] & 0xF0 | length
        what = f"length_words {length}"
    codes[at] = bytes(code)
    return f"{at} {program[at].NAME}: {what}", list(program), b"".join(codes)


def _never_pushed(program: list[isa.Instruction], at: int) -> list[int]:
    """Engines of which no token is left for instruction `at`, and none will come."""
    own = program[at].ENGINE or 0
    result = []
    for other in range(len(isa.Engine)):
        if other == own:
            continue
        taken = sum(i.pop >> other & 1 for i in program[: at + 1] if i.ENGINE == own)
        given = sum(i.push >> own & 1 for i in program if i.ENGINE == other)
        if given == taken and not program[at].pop >> other & 1:
            result.append(other)
    return result


def _ways(
    rng: random.Random, space: Space, instr: isa.Instruction
) -> dict[str, Callable[[], dict[str, int]]]:
    own = 1 << int(instr.ENGINE or 0)
    ways: dict[str, Callable[[], dict[str, int]]] = {
        "own token popped": lambda: {"pop": instr.pop | own},
        "own token pushed": lambda: {"push": instr.push | own},
    }
    if isinstance(instr, isa.Matrix):
        ways |= _matrix_ways(rng, space, instr)
    elif isinstance(instr, isa.Vector):
        ways |= _vector_ways(rng, space, instr)
    else:
        ways |= _dma_ways(rng, space, instr)
    return ways


def _dma_ways(
    rng: random.Random, space: Space, instr: isa.Instruction
) -> dict[str, Callable[[], dict[str, int]]]:
    loads = isinstance(instr, isa.Load)
    if isinstance(instr, isa.Load) and instr.gather:
        return _gather_ways(rng, space, instr)
    place = "dst" if loads else "src"
    reached = (_B.IBUF, _B.WBUF, _B.VMEM, _B.PARAM, _B.TABLE) if loads else (_B.IBUF, _B.VMEM)
    size = space.arch.buffer_bytes(_B(instr.buffer).name)  # type: ignore[attr-defined]
    inner = "d" if loads else "l"
    ways: dict[str, Callable[[], dict[str, int]]] = {
        "zero count": lambda: {rng.choice(("n0", "n1", "n2", "n3")): 0},
        "no such memory": lambda: {"buffer": rng.choice([n for n in range(8) if n not in reached])},
        "past the end": lambda: {
            place: rng.choice((size - instr.n0 + 1, size, 2**24 - 1)),  # type: ignore[attr-defined]
            "n1": 1, "n2": 1, "n3": 1,
        } | ({"before1": 0, "after1": 0} if loads else {}),
        "stride past the end": lambda: {
            "n3": 2, "s3": 0, f"{inner}3": rng.choice((size, 2**23 - 1, -(2**23), -size))
        },
    }  # fmt: skip
    if not loads or (
        instr.n0 > instr.before0 + instr.after0  # type: ignore[attr-defined]
        and instr.n1 > instr.before1 + instr.after1  # type: ignore[attr-defined]
    ):
        beyond = rng.choice((0, 1, 4095, 2**39, 2**40 - 1 - space.dram_bytes))
        ways["past the end of DRAM"] = lambda: {"arg": 0, "dram": space.dram_bytes + beyond}
        ways["stride past the end of DRAM"] = lambda: {
            "n3": 2, "s3": rng.choice((space.dram_bytes, 2**31 - 1, -(2**31))), f"{inner}3": 0,
        }  # fmt: skip
    if loads:
        ways["too much padding in a run"] = lambda: {
            "before0": instr.n0 - instr.after0 + 1  # type: ignore[attr-defined]
        }
        ways["too many padding runs"] = lambda: {
            "after1": instr.n1 - instr.before1 + 1  # type: ignore[attr-defined]
        }
    return ways


def _gather_ways(
    rng: random.Random, space: Space, instr: isa.Load
) -> dict[str, Callable[[], dict[str, int]]]:
    size = space.arch.buffer_bytes(_B(instr.buffer).name)
    place = (space.args[instr.index_arg] + instr.index_dram) % (1 << 64)
    indices = space.lists.read(place, instr.n1)
    return {
        "zero count": lambda: {rng.choice(("n0", "n1", "n2", "n3")): 0},
        "another loop": lambda: {rng.choice(("n2", "n3")): rng.choice((2, 65535))},
        "padding": lambda: {rng.choice(("before0", "after0", "before1", "after1")): 1},
        "list not aligned": lambda: {"index_dram": instr.index_dram ^ rng.randint(1, 3)},
        "no such memory": lambda: {"buffer": rng.choice((0, 3, 7))},
        "past the end": lambda: {
            "dst": rng.choice((size - instr.n0 + 1, size, 2**24 - 1)), "n1": 1
        },
        "stride past the end": lambda: {
            "n1": instr.n1 + 1, "d1": rng.choice((size, 2**23 - 1, -(2**23), -size))
        },
        "no index is good": lambda: {"index_limit": rng.choice((0, min(indices)))},
        "the largest index": lambda: {"index_limit": max(indices)},
        "an index": lambda: {"index_limit": rng.choice(indices)},
        "list past the end of DRAM": lambda: {
            "index_arg": 0, "index_dram": space.dram_bytes + 4 * rng.randrange(999),
        },
        "list across the end of DRAM": lambda: {
            "index_arg": 0, "index_dram": space.dram_bytes - 4 * rng.randint(1, 9),
            "n1": 10, "d1": 0, "dst": 0, "n0": 1, "s1": 0, "index_limit": 2**32 - 1,
        },
        "row past the end of DRAM": lambda: {
            "arg": 0, "s1": rng.choice((0, 1, 999, 2**31 - 1)),
            "dram": space.dram_bytes + rng.choice((0, 1, 4095, 2**39)),
        },
    }  # fmt: skip


def _matrix_ways(
    rng: random.Random, space: Space, instr: isa.Matrix
) -> dict[str, Callable[[], dict[str, int]]]:
    arch = space.arch
    depth = instr.n_kx * instr.n_ky * instr.n_c * arch.rows
    positions = instr.n_x * instr.n_y
    return {
        "zero count": lambda: {rng.choice(("n_x", "n_y", "n_kx", "n_ky", "n_c")): 0},
        "IBUF": lambda: {"ibuf": rng.choice((arch.ibuf_rows, 2**20 - 1))},
        "IBUF stride": lambda: {
            "n_kx": 2, "n_ky": 1, "n_c": 1, "wbuf": 0,
            "s_kx": rng.choice((arch.ibuf_rows, -arch.ibuf_rows, 2**23 - 1, -(2**23))),
        },
        "WBUF": lambda: {"wbuf": rng.choice((arch.wbuf_rows - depth + 1, 2**20 - 1))},
        "OBUF": lambda: {"obuf": rng.choice((arch.obuf_rows - positions + 1, 2**20 - 1))},
        "too many positions": lambda: {"n_y": 65535, "s_y": 0},
        "too many passes": lambda: {"n_c": 65535, "s_c": 0},
    }  # fmt: skip


def _vector_ways(
    rng: random.Random, space: Space, instr: isa.Vector
) -> dict[str, Callable[[], dict[str, int]]]:
    arch = space.arch
    present = [w for w in ("src1", "src2", "dst", "dst2") if getattr(instr, f"{w}_buffer")]
    which = rng.choice(present)
    item = (1, 1, 2, 2, 4)[getattr(instr, f"{which}_dtype")]
    block = item * arch.lanes
    size = arch.buffer_bytes(_B(getattr(instr, f"{which}_buffer")).name)
    unknown_op = len(isa.VectorOp)
    ops = isa.VectorOp
    # Only loops that run more than once: elsewhere the other operands' strides may be anything.
    inner = range(instr.reduce_loops if which[0] == "d" else 0, 4)
    loops = [n for n in inner if getattr(instr, f"n{n}") > 1]

    def wrong_memory() -> dict[str, int]:
        wrong = [_B.WBUF, _B.PARAM, _B.TABLE, 7] + ([_B.OBUF] if which[0] == "d" else [])
        return {f"{which}_buffer": int(rng.choice(wrong))}

    def wrong_dtype() -> dict[str, int]:
        if which[0] == "s" and rng.random() < 0.5:
            return {f"{which}_buffer": int(_B.OBUF), f"{which}_dtype": rng.randrange(4)}
        return {f"{which}_buffer": int(_B.IBUF), f"{which}_dtype": rng.randrange(2, 5)}

    def misaligned() -> dict[str, int]:
        base = getattr(instr, f"{which}_base")
        off = rng.randrange(1, block)
        still = {f"{which}_stride{n}": 0 for n in range(4)}  # so that nothing leaves the memory
        return {f"{which}_base": base - off if base >= block else base + off} | still

    ways: dict[str, Callable[[], dict[str, int]]] = {
        "zero count": lambda: {f"n{rng.randrange(4)}": 0},
        "unknown op": lambda: {"op": rng.randrange(unknown_op, 64)},
        "unknown dtype": lambda: {f"{which}_dtype": rng.randrange(5, 8)},
        "unknown reduce": lambda: {"reduce": 3},
        "unknown scale": lambda: {"scale": 3},
        "reduce_loops": lambda: {"reduce_loops": rng.randrange(5, 8)},
        "no dst": lambda: {"dst_buffer": 0},
        "op without scale": lambda: {"op": int(rng.choice((ops.SADD, ops.LEAKY))), "scale": 0},
        "op with reduction": lambda: {
            "op": int(rng.choice((ops.SADD, ops.LEAKY, ops.SELECT))),
            "scale": 1,
            **rng.choice(({"reduce_loops": 1}, {"lane_reduce": 1})),
        },
        "transpose": lambda: _transpose(rng, arch.lanes),
        "wrong memory": wrong_memory,
        "wrong dtype": wrong_dtype,
        "range": lambda: {f"{which}_base": rng.choice((size, (1 << 24) - block))},
        "alignment": misaligned,
        "PARAM": lambda: {"scale": 2, "param": rng.choice((arch.param_rows, 65535))},
        "TABLE": lambda: {"table": 1, "table_index": rng.choice((arch.table_rows, 15))},
    }  # fmt: skip
    if loops:
        ways["stride out of range"] = lambda: {
            f"{which}_stride{rng.choice(loops)}": rng.choice((size, -size))
        }
    if instr.op == ops.TRANSPOSE:  # its own rules come first
        del ways["PARAM"]
    return ways


def _transpose(rng: random.Random, lanes: int) -> dict[str, int]:
    fields = {"op": int(isa.VectorOp.TRANSPOSE), "n0": lanes, "scale": 0, "tail_lanes": 0}
    fields |= {"src2_buffer": 0, "reduce_loops": 0, "lane_reduce": 0}
    wrong = rng.choice(
        (
            {"n0": lanes + 1},
            {"n0": 1 if lanes > 1 else 2},
            {"scale": rng.randrange(1, 3)},
            {"tail_lanes": 1},
            {"src2_buffer": int(_B.VMEM)},
            {"reduce_loops": 1},
            {"lane_reduce": 1},
        )
    )
    return fields | wrong
