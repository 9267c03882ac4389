"""Hand-made Programs for tests: a tiled matrix product, and a step of a decoder's caches.

The product has everything double-buffered. Per tile: LOAD activations and weights, MATRIX into one
half of OBUF, VECTOR into VMEM, STORE. The step stores the new row of two caches at a position given
at run time, and gives both caches whole, as they were before and as they are then.
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
    """The product's Program: segments weights (arg 1, constant), input (arg 2) and output (arg 3)."""
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


POSITIONS, TILES = 8, 2  # of each cache; a tile has arch.rows channels of 8 bits
CACHES = ("keys", "values")


def cache_bytes(arch: Arch) -> int:
    """Of one cache."""
    return TILES * POSITIONS * arch.rows


def cache_step(arch: Arch) -> list[npu_isa.Instruction]:
    """LOAD the rows and the old keys, STORE the rows (arg 4), LOAD the caches (arg 3), give all."""
    row, size = arch.rows, cache_bytes(arch)
    one = {"n1": 1, "n2": 1, "n3": 1}
    new = len(CACHES) * TILES * row  # bytes of the new rows, at the start of `data`
    stores = [
        npu_isa.Store(
            buffer=Buffer.VMEM,
            arg=4,
            src=cache * TILES * row,
            l1=row,
            dram=cache * size,
            s1=POSITIONS * row,
            **{**one, "n0": row, "n1": TILES},
            pop=0 if cache else _LOAD,
            push=_LOAD if cache else 0,
        )
        for cache in range(2)
    ]
    return [
        npu_isa.Load(buffer=Buffer.VMEM, arg=2, n0=new, **one),
        npu_isa.Load(buffer=Buffer.IBUF, arg=3, dst=2 * size, n0=size, **one, push=_STORE),
        *stores,
        npu_isa.Load(buffer=Buffer.IBUF, arg=3, n0=2 * size, **one, pop=_STORE, push=_STORE),
        npu_isa.Store(buffer=Buffer.IBUF, arg=2, dram=new, n0=3 * size, **one, pop=_LOAD),
        npu_isa.End(),
    ]


def link_cache(arch: Arch, instructions: list[npu_isa.Instruction]) -> program_pb2.Program:
    """The step's Program: input `rows`, states keys and values, outputs of these and `before`."""
    kind, row, size = program_pb2.Segment, arch.rows, cache_bytes(arch)

    def tensor(
        name: str, segment: str, offset: int, positions: int, tiles: int = TILES
    ) -> program_pb2.Tensor:
        return program_pb2.Tensor(
            name=name,
            shape=[positions, tiles * row],
            dtype=program_pb2.Tensor.INT8,
            scale=1.0,
            segment=segment,
            offset_bytes=offset,
            size_bytes=positions * tiles * row,
            layout=program_pb2.Layout(
                kind=program_pb2.Layout.BLOCKED,
                channels=tiles * row,
                height=1,
                width=positions,
                block=row,
            ),
        )

    new = len(CACHES) * TILES * row
    outputs = [*(f"new_{name}" for name in CACHES), "before"]
    return program_pb2.Program(
        config=arch.name,
        fingerprint=arch.fingerprint,
        model="cache",
        code=npu_isa.encode_program(instructions),
        instruction_count=len(instructions),
        segments=[
            kind(name="data", kind=kind.SCRATCH, arg=2, size_bytes=new + 3 * size),
            kind(name="cache", kind=kind.STATE, arg=3, size_bytes=2 * size),
        ],
        arguments=[
            program_pb2.Argument(
                name="position", arg=4, segment="cache", step_bytes=row, count=POSITIONS
            )
        ],
        inputs=[tensor("rows", "data", 0, 1, len(CACHES) * TILES)],
        outputs=[
            tensor(name, "data", new + at * size, POSITIONS) for at, name in enumerate(outputs)
        ],
        states=[tensor(name, "cache", at * size, POSITIONS) for at, name in enumerate(CACHES)],
    )
