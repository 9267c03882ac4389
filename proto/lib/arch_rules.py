"""What a configuration must satisfy. Each rule yields lines `field rule, got value; way out`.

In: the parsed `Arch` message, the file's stem, the instruction set (field widths bound capacities).
Out: every broken rule, in the order of the file.
"""

from collections.abc import Iterator

from jacquard.proto import arch_pb2
from jacquard.proto.lib import isa as isa_lib


def check(message: arch_pb2.Arch, stem: str, isa: isa_lib.Isa) -> list[str]:
    """All broken rules; none means that the configuration can be built."""
    return [
        *_identity(message, stem),
        *_compute(message),
        *_dram(message),
        *_memory(message, isa),
        *_frontend(message, isa),
        *_dma("load", message.load, message.dram),
        *_dma("store", message.store, message.dram),
    ]


def _identity(message: arch_pb2.Arch, stem: str) -> Iterator[str]:
    if message.name != stem:
        yield (
            f"name must be the file's name without .textproto, got {message.name!r}; write {stem!r}"
        )
    if message.tier not in (arch_pb2.Arch.SUPPORTED, arch_pb2.Arch.EXPERIMENTAL):
        yield f"tier must be SUPPORTED or EXPERIMENTAL, got {message.tier}; choose one"


def _is_power(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


def _power_of_two(name: str, value: int, lowest: int, highest: int) -> Iterator[str]:
    if not _is_power(value):
        below = max(lowest, min(highest, 1 << max(value.bit_length() - 1, 0)))
        above = max(lowest, min(highest, 1 << value.bit_length()))
        choice = f"{below}" if below == above else f"{below} or {above}"
        yield f"{name} must be a power of two, got {value}; try {choice}"
    elif not lowest <= value <= highest:
        yield (
            f"{name} must lie in {lowest} to {highest}, got {value}; "
            f"try {lowest if value < lowest else highest}"
        )


def _in_range(name: str, value: int, lowest: int, highest: int) -> Iterator[str]:
    if not lowest <= value <= highest:
        yield (
            f"{name} must lie in {lowest} to {highest}, got {value}; "
            f"try {lowest if value < lowest else highest}"
        )


def _exactly(name: str, value: int, only: int) -> Iterator[str]:
    if value != only:
        yield f"{name} must be {only} for now, got {value}; write {only}"


def _compute(message: arch_pb2.Arch) -> Iterator[str]:
    yield from _power_of_two("matrix.rows", message.matrix.rows, 4, 256)
    yield from _power_of_two("matrix.cols", message.matrix.cols, 4, 128)
    yield from _exactly("matrix.activation_bits", message.matrix.activation_bits, 8)
    if message.matrix.weight_bits not in (4, 8):
        yield f"matrix.weight_bits must be 4 or 8, got {message.matrix.weight_bits}; write one"
    yield from _exactly("matrix.accumulator_bits", message.matrix.accumulator_bits, 32)
    if message.vector.lanes != message.matrix.cols:
        yield (
            f"vector.lanes must equal matrix.cols ({message.matrix.cols}) for now, "
            f"got {message.vector.lanes}; write {message.matrix.cols}"
        )


def _dram(message: arch_pb2.Arch) -> Iterator[str]:
    row_bytes = message.matrix.cols * message.matrix.weight_bits // 8
    highest = max(4, min(message.matrix.rows, row_bytes))
    value = message.dram.bytes_per_cycle
    broken = list(_power_of_two("dram.bytes_per_cycle", value, 4, 128))
    yield from broken
    if not broken and value > highest:
        yield (
            f"dram.bytes_per_cycle must be at most the smaller of matrix.rows and the bytes of a "
            f"row of weights ({highest}), got {value}; try {highest}"
        )
    yield from _in_range("dram.latency_cycles", message.dram.latency_cycles, 1, 10000)


def _memory(message: arch_pb2.Arch, isa: isa_lib.Isa) -> Iterator[str]:
    rows, cols, lanes = message.matrix.rows, message.matrix.cols, message.vector.lanes
    weights = max(1, cols * message.matrix.weight_bits // 8)
    # A row, and what else must divide the capacity: a vector of bytes (IBUF), both halves (OBUF).
    memories = (
        ("ibuf_bytes", message.memory.ibuf_bytes, rows, max(rows, lanes), "ibuf", "dst"),
        ("wbuf_bytes", message.memory.wbuf_bytes, weights, weights, "wbuf", "dst"),
        ("obuf_bytes", message.memory.obuf_bytes, 4 * cols, 8 * cols, "obuf", "src1_base"),
        ("vmem_bytes", message.memory.vmem_bytes, 4 * lanes, 4 * lanes, "", "dst"),
        ("param_bytes", message.memory.param_bytes, 8 * lanes, 8 * lanes, "param", "dst"),
        ("table_bytes", message.memory.table_bytes, 1024, 1024, "table_index", "dst"),
    )
    for name, value, row, unit, row_field, byte_field in memories:
        if value == 0 or unit and value % unit:
            down, up = value // max(unit, 1) * unit, -(-max(value, 1) // max(unit, 1)) * unit
            yield (
                f"memory.{name} must be a positive multiple of {unit}, got {value}; "
                f"try {f'{down} or ' if down else ''}{up}"
            )
        for field, limit in ((row_field, row), (byte_field, 1)):
            width = min(
                (f.width for i in isa.instructions for f in i.fields if f.name == field), default=64
            )
            if value > limit << width:
                yield (
                    f"memory.{name} must be addressable by the {width} bits of field {field}, "
                    f"got {value}; try {limit << width}"
                )


def _frontend(message: arch_pb2.Arch, isa: isa_lib.Isa) -> Iterator[str]:
    frontend = message.frontend
    yield from _in_range("frontend.queue_depth", frontend.queue_depth, 2, 64)
    yield from _in_range("frontend.token_bits", frontend.token_bits, 1, 16)
    # Two of the longest instructions, so that one is decoded while the next arrives.
    lowest = 1 << (2 * isa.instruction_bits // 8 - 1).bit_length()
    yield from _power_of_two(
        "frontend.fetch_buffer_bytes", frontend.fetch_buffer_bytes, lowest, 65536
    )
    yield from _in_range(
        "frontend.watchdog_cycles",
        frontend.watchdog_cycles,
        max(1000, 10 * message.dram.latency_cycles),
        2**31 - 1,
    )


def bytes_in_flight(dram: arch_pb2.Dram) -> int:
    """What LOAD and STORE must each hold so that latency costs no bandwidth."""
    return 2 * dram.latency_cycles * dram.bytes_per_cycle


def _dma(name: str, dma: arch_pb2.Dma, dram: arch_pb2.Dram) -> Iterator[str]:
    # Slots addressed by pointers with a wrap bit; the dispatcher follows at most 15 per engine.
    yield from _power_of_two(f"{name}.instructions_in_flight", dma.instructions_in_flight, 2, 8)
    yield from _in_range(f"{name}.outstanding_bursts", dma.outstanding_bursts, 1, 256)
    yield from _power_of_two(f"{name}.buffer_bytes", dma.buffer_bytes, 64, 1 << 20)
    needed = bytes_in_flight(dram)
    if dma.buffer_bytes < needed:
        yield (
            f"{name}.buffer_bytes must hold 2 x dram.latency_cycles x dram.bytes_per_cycle = "
            f"{needed}, got {dma.buffer_bytes}; try {1 << max(needed - 1, 1).bit_length()}"
        )
