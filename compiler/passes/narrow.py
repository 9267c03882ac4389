"""An array with fewer rows than columns, seen by the compiler as a square one.

The square array is as deep as it has columns, and so are the blocks of channels that activations
lie in, a vector of VECTOR's lanes each. A pass of it is `columns / rows` passes of the real one:
IBUF's rows are as much shorter, while WBUF's, and with them packed weights, stay as they are.

Only the square array could read a tile as its transpose, which fused attention does with the keys.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from jacquard.compiler.tile.ir import Step, TileProgram
from jacquard.proto import npu_isa as isa
from jacquard.proto.lib.arch import Arch


def square(arch: Arch) -> Arch:
    """The machine that the passes before `narrow` compile for."""
    return dataclasses.replace(arch, rows=arch.cols)


def narrow(program: TileProgram, arch: Arch) -> TileProgram:
    """The square array's instructions as the real one's."""
    parts = arch.cols // arch.rows
    if parts == 1:
        return program
    steps: list[Step] = []
    for step in program.steps:
        if isinstance(step.instruction, isa.Matrix):
            layer = step.layer
            steps += (Step(part, layer) for part in _narrowed(step.instruction, parts, arch.cols))
        else:
            steps.append(step)
    return dataclasses.replace(program, steps=tuple(steps))


def _narrowed(instr: isa.Matrix, parts: int, depth: int) -> Iterator[isa.Matrix]:
    """A pass becomes `parts` of them, one after another: a loop inside the kernel's columns.

    There are three loops over passes, c outside ky outside kx. The new one takes the place of one
    that runs once, else there is an instruction for each channel tile.
    """
    assert not instr.weight_transposed, "only a square array turns its weights"

    def stride(count: int, rows: int) -> int:
        return parts * rows if count > 1 else 0  # what never counts must fit its field too

    base = dataclasses.replace(
        instr, ibuf=parts * instr.ibuf,
        s_x=stride(instr.n_x, instr.s_x), s_y=stride(instr.n_y, instr.s_y),
        n_kx=parts, s_kx=1,
    )
    c = (instr.n_c, stride(instr.n_c, instr.s_c))
    ky = (instr.n_ky, stride(instr.n_ky, instr.s_ky))
    kx = (instr.n_kx, stride(instr.n_kx, instr.s_kx))
    used = [loop for loop in (c, ky, kx) if loop[0] > 1]
    if len(used) < 3:
        (n_c, s_c), (n_ky, s_ky) = [(1, 0)] * (2 - len(used)) + used
        yield dataclasses.replace(base, n_c=n_c, s_c=s_c, n_ky=n_ky, s_ky=s_ky)
        return
    for tile in range(instr.n_c):
        yield dataclasses.replace(
            base, ibuf=base.ibuf + tile * c[1],
            wbuf=instr.wbuf + tile * instr.n_ky * instr.n_kx * depth,
            accumulate=instr.accumulate if tile == 0 else 1,
            n_c=ky[0], s_c=ky[1], n_ky=kx[0], s_ky=kx[1],
        )
