"""Hand-made Programs for the checker's tests: a tiled matrix product with everything double-
buffered.

Per tile: LOAD activations and weights, MATRIX into one half of OBUF, VECTOR into VMEM, STORE.
Written with token rules of its own, so that the checker is not tested on the compiler's emitter.
"""

from jacquard.proto import npu_isa, program_pb2
from jacquard.proto.lib.arch import Arch
from jacquard.proto.npu_isa import Buffer, Dtype, Engine, ScaleMode, VectorOp

_LOAD, _MATRIX, _VECTOR, _STORE = (1 << e for e in Engine)


def tiled(arch: Arch, tiles: int, positions: int) -> list[npu_isa.Instruction]:
    """`tiles` tiles of `positions` rows of activations each, then `end`; free of races."""
    rows, lanes = arch.rows, arch.lanes
    tile_bytes, weight_bytes = positions * rows, rows * arch.cols
    program: list[npu_isa.Instruction] = []
    for tile in range(tiles):
        half, again = tile % 2, tile >= 2
        last = tile >= tiles - 2  # nobody waits for these halves any more
        free = 0 if last else -1
        program += [
            npu_isa.Load(
                buffer=Buffer.IBUF,
                arg=2,
                dst=half * tile_bytes,
                dram=tile * tile_bytes,
                n0=tile_bytes,
                n1=1,
                n2=1,
                n3=1,
                pop=_MATRIX if again else 0,
            ),
            npu_isa.Load(
                buffer=Buffer.WBUF,
                arg=1,
                dst=half * weight_bytes,
                dram=tile * weight_bytes,
                n0=weight_bytes,
                n1=1,
                n2=1,
                n3=1,
                push=_MATRIX,
            ),
            npu_isa.Matrix(
                ibuf=half * positions,
                wbuf=half * rows,
                obuf=half * arch.obuf_half_rows,
                n_x=positions,
                n_y=1,
                n_kx=1,
                n_ky=1,
                n_c=1,
                s_x=1,
                pop=_LOAD | (_VECTOR if again else 0),
                push=_VECTOR | (_LOAD & free),
            ),
            npu_isa.Vector(
                op=VectorOp.MOVE,
                scale=ScaleMode.IMM,
                mult1=1 << 20,
                shift=24,
                n0=positions,
                n1=1,
                n2=1,
                n3=1,
                src1_buffer=Buffer.OBUF,
                src1_dtype=Dtype.S32,
                src1_base=half * arch.obuf_half_rows * arch.obuf_row_bytes,
                src1_stride0=arch.obuf_row_bytes,
                dst_buffer=Buffer.VMEM,
                dst_dtype=Dtype.S8,
                dst_base=half * positions * lanes,
                dst_stride0=lanes,
                pop=_MATRIX | (_STORE if again else 0),
                push=_STORE | (_MATRIX & free),
            ),
            npu_isa.Store(
                buffer=Buffer.VMEM,
                arg=3,
                src=half * positions * lanes,
                dram=tile * positions * lanes,
                n0=positions * lanes,
                n1=1,
                n2=1,
                n3=1,
                pop=_VECTOR,
                push=_VECTOR & free,
            ),
        ]
    return [*program, npu_isa.End()]


def link(
    arch: Arch,
    instructions: list[npu_isa.Instruction],
    weights_bytes: int = 4096,
    input_bytes: int = 4096,
    output_bytes: int = 4096,
) -> program_pb2.Program:
    """A Program with segments weights (arg 1, constant), input (arg 2) and output (arg 3)."""
    segment = program_pb2.Segment
    return program_pb2.Program(
        config=arch.name,
        fingerprint=arch.fingerprint,
        model="sample",
        code=npu_isa.encode_program(instructions),
        instruction_count=len(instructions),
        segments=[
            segment(
                name="weights",
                kind=segment.CONSTANT,
                arg=1,
                size_bytes=weights_bytes,
                data=bytes(weights_bytes),
            ),
            segment(name="input", kind=segment.SCRATCH, arg=2, size_bytes=input_bytes),
            segment(name="output", kind=segment.SCRATCH, arg=3, size_bytes=output_bytes),
        ],
    )
