"""A hardware configuration: loads the textproto, validates it, derives the rest once.

In: the path of an `Arch` textproto. Out: an immutable `Arch`. The compiler, the simulators and the
generated SystemVerilog package all take their numbers from here.
"""

import dataclasses
import functools
import hashlib
import json
import pathlib

from google.protobuf import text_format

from jacquard.proto import arch_pb2
from jacquard.proto.lib import arch_rules, errors
from jacquard.proto.lib import isa as isa_lib

CONFIG_DIR = pathlib.Path(__file__).parent.parent / "arch"


@dataclasses.dataclass(frozen=True)
class Dma:
    """Limits of LOAD or STORE."""

    instructions_in_flight: int
    outstanding_bursts: int
    buffer_bytes: int


@dataclasses.dataclass(frozen=True)
class Arch:
    """One configuration. Fields are the textproto's numbers; properties are derived from them."""

    name: str
    tier: str  # supported or experimental
    summary: str
    rows: int  # of the systolic array: reduction depth of a pass
    cols: int
    lanes: int
    act_bits: int
    weight_bits: int
    acc_bits: int
    ibuf_bytes: int
    wbuf_bytes: int
    obuf_bytes: int
    vmem_bytes: int
    param_bytes: int
    table_bytes: int
    bytes_per_cycle: int
    latency_cycles: int
    queue_depth: int
    token_bits: int
    fetch_buffer_bytes: int
    watchdog_cycles: int
    load: Dma
    store: Dma

    @property
    def ibuf_row_bytes(self) -> int:
        """A row of IBUF: one activation per array row."""
        return self.rows * self.act_bits // 8

    @property
    def wbuf_row_bytes(self) -> int:
        """A row of WBUF: one weight per array column."""
        return self.cols * self.weight_bits // 8

    @property
    def obuf_row_bytes(self) -> int:
        """A row of OBUF: one accumulator per array column."""
        return self.cols * self.acc_bits // 8

    @property
    def vmem_row_bytes(self) -> int:
        """A row of VMEM: one 32-bit element per lane."""
        return self.lanes * 4

    @property
    def param_row_bytes(self) -> int:
        """A row of PARAM: an int32 bias per lane, then an int32 multiplier per lane."""
        return self.lanes * 8

    @property
    def ibuf_rows(self) -> int:
        """Depth of IBUF."""
        return self.ibuf_bytes // self.ibuf_row_bytes

    @property
    def wbuf_rows(self) -> int:
        """Depth of WBUF."""
        return self.wbuf_bytes // self.wbuf_row_bytes

    @property
    def obuf_rows(self) -> int:
        """Depth of OBUF, both halves."""
        return self.obuf_bytes // self.obuf_row_bytes

    @property
    def obuf_half_rows(self) -> int:
        """Depth of one half of OBUF; the upper half starts at this row."""
        return self.obuf_rows // 2

    @property
    def vmem_rows(self) -> int:
        """Depth of VMEM."""
        return self.vmem_bytes // self.vmem_row_bytes

    @property
    def param_rows(self) -> int:
        """Depth of PARAM."""
        return self.param_bytes // self.param_row_bytes

    @property
    def table_row_bytes(self) -> int:
        """A table of TABLE: 256 entries of an int16 base and an int16 slope."""
        return 1024

    @property
    def table_rows(self) -> int:
        """How many tables TABLE holds."""
        return self.table_bytes // self.table_row_bytes

    @property
    def table_copies(self) -> int:
        """Physical copies of TABLE: memories have two ports, so one for every two lanes."""
        return self.lanes // 2

    @property
    def on_chip_bytes(self) -> int:
        """All six memories together, TABLE with all its copies."""
        return (
            self.ibuf_bytes
            + self.wbuf_bytes
            + self.obuf_bytes
            + self.vmem_bytes
            + self.param_bytes
            + self.table_copies * self.table_bytes
        )

    @property
    def max_tokens(self) -> int:
        """Highest value of a token counter."""
        return (1 << self.token_bits) - 1

    def buffer_bytes(self, buffer: str) -> int:
        """Capacity of a memory by its name in enum buffer, such as IBUF; KeyError if unknown."""
        return {
            "IBUF": self.ibuf_bytes,
            "WBUF": self.wbuf_bytes,
            "OBUF": self.obuf_bytes,
            "VMEM": self.vmem_bytes,
            "PARAM": self.param_bytes,
            "TABLE": self.table_bytes,
        }[buffer]

    def buffer_row_bytes(self, buffer: str) -> int:
        """Bytes of a row of a memory by its name; KeyError if unknown."""
        return {
            "IBUF": self.ibuf_row_bytes,
            "WBUF": self.wbuf_row_bytes,
            "OBUF": self.obuf_row_bytes,
            "VMEM": self.vmem_row_bytes,
            "PARAM": self.param_row_bytes,
            "TABLE": self.table_row_bytes,
        }[buffer]

    @functools.cached_property
    def fingerprint(self) -> int:
        """`fingerprint` of this configuration with the instruction set of this repository."""
        return fingerprint(_default_isa(), self)


def config_names() -> tuple[str, ...]:
    """Names of the configurations in proto/arch, sorted."""
    return tuple(sorted(p.stem for p in CONFIG_DIR.glob("*.textproto")))


def find_config(name: str, flag: str = "config") -> pathlib.Path:
    """Path of the configuration of that name; UserError, naming the flag, if there is none."""
    path = CONFIG_DIR / f"{name}.textproto"
    if name not in config_names():
        raise errors.UserError(
            f"--{flag}: must name a configuration, got {name!r}; "
            f"choose one of {', '.join(config_names())}"
        )
    return path


def load_config(name: str) -> Arch:
    """`load_arch(find_config(name))`."""
    return load_arch(find_config(name))


def load_arch(path: str | pathlib.Path, isa: isa_lib.Isa | None = None) -> Arch:
    """Reads and validates; raises UserError with every mistake found.

    `isa`: capacities are checked against its field widths; the repository's own if not given.
    """
    path = pathlib.Path(path)
    message = read_message(path)
    found = arch_rules.check(message, path.name.removesuffix(".textproto"), isa or _default_isa())
    errors.raise_if_any(f"{_place(path)}: {line}" for line in found)
    return from_message(message)


def read_message(path: str | pathlib.Path) -> arch_pb2.Arch:
    """Reads without validating; UserError where it is no Arch textproto."""
    path = pathlib.Path(path)
    message = arch_pb2.Arch()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), message)
    except OSError as error:
        raise errors.UserError(
            f"{_place(path)}: cannot be read, {error.strerror}; check the path"
        ) from None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise errors.UserError(
            f"{_place(path)}: must be an Arch textproto, got {error}; see proto/arch.proto"
        ) from None
    return message


def _place(path: pathlib.Path) -> str:
    return "/".join(path.parts[-2:])


def fingerprint(isa: isa_lib.Isa, arch: Arch) -> int:
    """64 bits that change with every encoding, register or number of the configuration.

    First 8 bytes, big-endian, of sha256 over both in canonical JSON. Texts meant for readers
    (docs, units, summary, tier) are left out, so that editing them keeps Programs valid.
    """
    arch_form = _canonical(dataclasses.asdict(arch))
    canonical = f'{{"arch": {arch_form}, "isa": {_isa_form(isa)}}}'
    return int.from_bytes(hashlib.sha256(canonical.encode()).digest()[:8], "big")


@functools.cache  # the same for every configuration
def _isa_form(isa: isa_lib.Isa) -> str:
    return _canonical(dataclasses.asdict(isa))


def _canonical(form: object) -> str:
    return json.dumps(_without(form, {"doc", "unit", "summary", "tier"}), sort_keys=True)


def _without(value: object, names: set[str]) -> object:
    if isinstance(value, dict):
        return {k: _without(v, names) for k, v in value.items() if k not in names}
    if isinstance(value, list | tuple):
        return [_without(v, names) for v in value]
    return value


@functools.cache
def _default_isa() -> isa_lib.Isa:
    return isa_lib.load_isa()


def _dma(message: arch_pb2.Dma) -> Dma:
    return Dma(message.instructions_in_flight, message.outstanding_bursts, message.buffer_bytes)


def from_message(message: arch_pb2.Arch) -> Arch:
    """The configuration of a message in which `arch_rules.check` finds nothing."""
    return Arch(
        name=message.name,
        tier=arch_pb2.Arch.Tier.Name(message.tier).lower(),
        summary=message.summary,
        rows=message.matrix.rows,
        cols=message.matrix.cols,
        lanes=message.vector.lanes,
        act_bits=message.matrix.activation_bits,
        weight_bits=message.matrix.weight_bits,
        acc_bits=message.matrix.accumulator_bits,
        ibuf_bytes=message.memory.ibuf_bytes,
        wbuf_bytes=message.memory.wbuf_bytes,
        obuf_bytes=message.memory.obuf_bytes,
        vmem_bytes=message.memory.vmem_bytes,
        param_bytes=message.memory.param_bytes,
        table_bytes=message.memory.table_bytes,
        bytes_per_cycle=message.dram.bytes_per_cycle,
        latency_cycles=message.dram.latency_cycles,
        queue_depth=message.frontend.queue_depth,
        token_bits=message.frontend.token_bits,
        fetch_buffer_bytes=message.frontend.fetch_buffer_bytes,
        watchdog_cycles=message.frontend.watchdog_cycles,
        load=_dma(message.load),
        store=_dma(message.store),
    )
