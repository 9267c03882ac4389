"""Configurations: derived numbers, every rule's message, the fingerprint."""

import dataclasses
import pathlib
import re

import pytest

from jacquard.proto.lib import arch, errors, isa

NANO = (arch.CONFIG_DIR / "nano4.textproto").read_text(encoding="utf-8")


def _load(tmp_path: pathlib.Path, *changes: tuple[str, str]) -> arch.Arch:
    text = NANO
    for old, new in changes:
        text, count = re.subn(old, new, text)
        assert count, f"{old} is not in nano4"
    path = tmp_path / "arch" / "nano4.textproto"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return arch.load_arch(path)


@pytest.mark.parametrize("name", arch.config_names())
def test_configurations_in_the_repository(name: str) -> None:
    config = arch.load_config(name)
    assert config.name == name
    for buffer in ("IBUF", "WBUF", "OBUF", "VMEM", "PARAM", "TABLE"):
        assert config.buffer_bytes(buffer) % config.buffer_row_bytes(buffer) == 0
    for dma in (config.load, config.store):
        assert dma.buffer_bytes >= 2 * config.latency_cycles * config.bytes_per_cycle


def test_derived_numbers_of_edge16() -> None:
    edge = arch.load_config("edge16")
    assert (edge.ibuf_rows, edge.wbuf_rows, edge.obuf_rows, edge.obuf_half_rows) == (
        8192,
        4096,
        1024,
        512,
    )
    assert (edge.vmem_rows, edge.param_rows, edge.max_tokens) == (768, 64, 255)
    assert (edge.table_rows, edge.table_copies) == (1, 8)
    assert edge.on_chip_bytes == 320 * 1024
    assert arch.load_config("nano4").on_chip_bytes == 24 * 1024


def test_unknown_configuration() -> None:
    with pytest.raises(errors.UserError) as caught:
        arch.load_config("nano5")
    assert str(caught.value) == (
        "--config: must name a configuration, got 'nano5'; choose one of "
        + ", ".join(arch.config_names())
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("rows: 4", "rows: 12"), "matrix.rows must be a power of two, got 12; try 8 or 16"),
        (("rows: 4", "rows: 512"), "matrix.rows must lie in 4 to 256, got 512; try 256"),
        (("rows: 4", "rows: 0"), "matrix.rows must be a power of two, got 0; try 4"),
        (("cols: 4", "cols: 8"), "vector.lanes must equal matrix.cols (8) for now, got 4; write 8"),
        (
            ("activation_bits: 8", "activation_bits: 4"),
            "matrix.activation_bits must be 8 for now, got 4; write 8",
        ),
        (
            ("bytes_per_cycle: 4", "bytes_per_cycle: 8"),
            "dram.bytes_per_cycle must be at most the smaller of matrix.rows and the bytes of a "
            "row of weights (4), got 8; try 4",
        ),
        (
            ("bytes_per_cycle: 4", "bytes_per_cycle: 5"),
            "dram.bytes_per_cycle must be a power of two, got 5; try 4 or 8",
        ),
        (
            ("latency_cycles: 100", "latency_cycles: 0"),
            "dram.latency_cycles must lie in 1 to 10000, got 0; try 1",
        ),
        (
            ("ibuf_bytes: 8192", "ibuf_bytes: 8190"),
            "memory.ibuf_bytes must be a positive multiple of 4, got 8190; try 8188 or 8192",
        ),
        (
            ("obuf_bytes: 4096", "obuf_bytes: 4112"),
            "memory.obuf_bytes must be a positive multiple of 32, got 4112; try 4096 or 4128",
        ),
        (
            ("vmem_bytes: 4096", "vmem_bytes: 0"),
            "memory.vmem_bytes must be a positive multiple of 16, got 0; try 16",
        ),
        (
            ("ibuf_bytes: 8192", "ibuf_bytes: 8388608"),
            "memory.ibuf_bytes must be addressable by the 20 bits of field ibuf, "
            "got 8388608; try 4194304",
        ),
        (
            ("vmem_bytes: 4096", "vmem_bytes: 33554432"),
            "memory.vmem_bytes must be addressable by the 24 bits of field dst, "
            "got 33554432; try 16777216",
        ),
        (
            ("param_bytes: 2048", "param_bytes: 4194304"),
            "memory.param_bytes must be addressable by the 16 bits of field param, got 4194304; "
            "try 2097152",
        ),
        (
            ("table_bytes: 1024", "table_bytes: 1000"),
            "memory.table_bytes must be a positive multiple of 1024, got 1000; try 1024",
        ),
        (
            ("table_bytes: 1024", "table_bytes: 17408"),
            "memory.table_bytes must be addressable by the 4 bits of field table_index, "
            "got 17408; try 16384",
        ),
        (
            ("queue_depth: 8", "queue_depth: 1"),
            "frontend.queue_depth must lie in 2 to 64, got 1; try 2",
        ),
        (
            ("token_bits: 8", "token_bits: 0"),
            "frontend.token_bits must lie in 1 to 16, got 0; try 1",
        ),
        (
            ("fetch_buffer_bytes: 1024", "fetch_buffer_bytes: 128"),
            "frontend.fetch_buffer_bytes must lie in 256 to 65536, got 128; try 256",
        ),
        (
            ("watchdog_cycles: 100000", "watchdog_cycles: 999"),
            "frontend.watchdog_cycles must lie in 1000 to 2147483647, got 999; try 1000",
        ),
        (
            ("(load .*)buffer_bytes: 1024", r"\1buffer_bytes: 512"),
            "load.buffer_bytes must hold 2 x dram.latency_cycles x dram.bytes_per_cycle = 800, "
            "got 512; try 1024",
        ),
        (
            ("(store .*)instructions_in_flight: 4", r"\1instructions_in_flight: 3"),
            "store.instructions_in_flight must be a power of two, got 3; try 2 or 4",
        ),
        (
            ('name: "nano4"', 'name: "nano5"'),
            "name must be the file's name without .textproto, got 'nano5'; write 'nano4'",
        ),
        (("tier: SUPPORTED", ""), "tier must be SUPPORTED or EXPERIMENTAL, got 0; choose one"),
    ],
)
def test_one_mistake(tmp_path: pathlib.Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(errors.UserError) as caught:
        _load(tmp_path, change)
    assert f"arch/nano4.textproto: {message}" in caught.value.lines


def test_all_mistakes_are_reported_together(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.UserError) as caught:
        _load(
            tmp_path,
            ("queue_depth: 8", "queue_depth: 0"),
            ("wbuf_bytes: 4096", "wbuf_bytes: 1"),
            ("token_bits: 8", "token_bits: 99"),
        )
    assert len(caught.value.lines) == 3


def test_a_field_that_does_not_exist(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.UserError) as caught:
        _load(tmp_path, ("lanes: 4", "lames: 4"))
    assert str(caught.value).startswith("arch/nano4.textproto: must be an Arch textproto, got ")
    assert "lames" in str(caught.value)


def test_fingerprint_changes_with_what_counts(tmp_path: pathlib.Path) -> None:
    npu, nano = isa.load_isa(), arch.load_config("nano4")
    base = arch.fingerprint(npu, nano)
    assert 0 <= base < 1 << 64
    assert base == nano.fingerprint != arch.load_config("edge16").fingerprint
    assert arch.fingerprint(npu, dataclasses.replace(nano, summary="x", tier="y")) == base
    assert arch.fingerprint(npu, _load(tmp_path, ("^#.*\n", "# other words\n"))) == base
    assert arch.fingerprint(npu, dataclasses.replace(nano, queue_depth=9)) != base
    field = npu.instructions[1].fields[7]
    for change, same in (({"doc": "other words"}, True), ({"width": 25}, False)):
        fields = list(npu.instructions[1].fields)
        fields[7] = dataclasses.replace(field, **change)
        other = dataclasses.replace(
            npu,
            instructions=(
                npu.instructions[0],
                dataclasses.replace(npu.instructions[1], fields=tuple(fields)),
                *npu.instructions[2:],
            ),
        )
        assert (arch.fingerprint(other, nano) == base) == same
