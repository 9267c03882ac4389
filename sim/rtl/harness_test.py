"""The whole chip by hand-written programs: a product, each error code, what the harness reports."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from jacquard.proto import npu_isa
from jacquard.proto.lib import arch, asm
from jacquard.proto.lib.errors import UserError
from jacquard.sim.rtl import harness

_IMAGE_BYTES = 1 << 17
_INPUT, _OUTPUT = 0x8000, 0x18000  # argument registers 1 and 2

configs = pytest.mark.parametrize("config", ["nano4", "edge16"])


def _job(tmp_path: Path, code: bytes | str, **changes: object) -> harness.Job:
    """A job on a fresh image of random bytes with `code` (or its text) at address 0."""
    if isinstance(code, str):
        code = npu_isa.encode_program(asm.assemble(code))
    image = np.random.default_rng(1).integers(0, 256, _IMAGE_BYTES).astype(np.uint8)
    image[: len(code)] = np.frombuffer(code, np.uint8)
    path = tmp_path / "image"
    image.tofile(path)
    job = harness.Job("job", path, _IMAGE_BYTES, program=0, max_cycles=400_000,
                      args=(_INPUT, _OUTPUT))
    return dataclasses.replace(job, **changes)  # type: ignore[arg-type]


def _run(config: str, *jobs: harness.Job) -> list[harness.JobResult]:
    results = harness.run_jobs(Path(f"sim/rtl/npu_sim_{config}").absolute(), jobs)
    for result in results:
        assert result.violation == ""
        assert all(sum(buckets) == result.cycles for buckets in result.counters)
    return results


def _product(rows: int, cols: int, positions: int) -> str:
    return f"""
        load buffer=IBUF arg=1 n0={positions * rows} n1=1 n2=1 n3=1
        load buffer=WBUF arg=1 dram=0x4000 n0={rows * cols} n1=1 n2=1 n3=1 push=MATRIX
        matrix n_x={positions} n_y=1 n_kx=1 n_ky=1 n_c=1 s_x=1 pop=LOAD push=VECTOR
        vector op=MOVE n0={positions} n1=1 n2=1 n3=1 dst_buffer=VMEM dst_dtype=S32 \
            dst_stride0={4 * cols} src1_buffer=OBUF src1_dtype=S32 src1_stride0={4 * cols} \
            pop=MATRIX push=STORE
        store buffer=VMEM arg=2 n0={positions * cols * 4} n1=1 n2=1 n3=1 pop=VECTOR
        end
    """.replace("\\\n", " ")


@configs
@pytest.mark.parametrize("stall_percent", [0, 20, 60])
def test_a_product_goes_through_all_engines(
        config: str, stall_percent: int, tmp_path: Path) -> None:
    machine = arch.load_config(config)
    rows, cols, positions = machine.rows, machine.cols, 23
    job = _job(tmp_path, _product(rows, cols, positions), stall_percent=stall_percent,
               trace_path=tmp_path / "trace", dump_path=tmp_path / "dump",
               checkpoints=(harness.Checkpoint(4, _OUTPUT + 4, 12, 5),))
    before = np.fromfile(job.image_path, np.uint8)
    (result,) = _run(config, job)

    assert (result.finished, result.status, result.error_index) == (True, 0, 0)
    assert result.fingerprint == machine.fingerprint
    activations = before[_INPUT : _INPUT + positions * rows].view(np.int8).reshape(-1, rows)
    at = _INPUT + 0x4000
    weights = before[at : at + rows * cols].view(np.int8).reshape(rows, cols)
    expected = activations.astype(np.int32) @ weights.astype(np.int32)
    after = np.fromfile(job.image_path, np.uint8)
    stored = after[_OUTPUT : _OUTPUT + expected.nbytes].copy()
    np.testing.assert_array_equal(stored.view(np.int32).reshape(expected.shape), expected)
    after[_OUTPUT : _OUTPUT + expected.nbytes] = before[_OUTPUT : _OUTPUT + expected.nbytes]
    np.testing.assert_array_equal(after, before)  # nothing else was written

    assert result.load_bytes == positions * rows + rows * cols
    assert result.store_bytes == expected.nbytes
    dump = np.fromfile(tmp_path / "dump", np.uint8)
    np.testing.assert_array_equal(dump[5:], stored[4:16])
    trace = harness.read_trace(tmp_path / "trace")
    assert [(event.engine, event.index) for event in trace] == [
        (0, 0), (0, 1), (1, 2), (2, 3), (3, 4)]
    # Each of the chain starts when the one before it has finished, and the run ends with the last.
    assert all(b.start_cycle > a.done_cycle for a, b in zip(trace[1:-1], trace[2:], strict=True))
    assert trace[-1].done_cycle <= result.cycles
    # Each record tells its engine's cycles since its last one; what is left lies behind the last.
    for engine, counters in enumerate(result.counters):
        own = [event for event in trace if event.engine == engine]
        left = np.array(counters) - np.sum([event.buckets for event in own], axis=0)
        assert left.min() >= 0
        assert abs(result.cycles - own[-1].done_cycle - left.sum()) <= 4
        assert all(b.done_cycle - a.done_cycle == sum(b.buckets)
                   for a, b in zip(own[:-1], own[1:], strict=True))


def _bucket(result: harness.JobResult, engine: str, bucket: str) -> int:
    return result.counters[npu_isa.Engine[engine]][npu_isa.Bucket[bucket]]


@configs
def test_a_load_by_itself_waits_for_latency(config: str, tmp_path: Path) -> None:
    # Far longer than fetch takes to fill its buffer, whose beats are the only others.
    job = _job(tmp_path, f"{_LOAD}\nend", latency_cycles=600)
    near, far = _run(config, job, dataclasses.replace(job, latency_cycles=1000))
    assert _bucket(far, "LOAD", "DRAM_BANDWIDTH") == _bucket(near, "LOAD", "DRAM_BANDWIDTH")
    # Fetch waits 400 cycles longer too, with no instruction in LOAD.
    assert _bucket(far, "LOAD", "DRAM_LATENCY") - _bucket(near, "LOAD", "DRAM_LATENCY") == 400
    assert _bucket(far, "LOAD", "EMPTY") - _bucket(near, "LOAD", "EMPTY") == 400
    assert _bucket(near, "LOAD", "BUSY") == _bucket(far, "LOAD", "BUSY") > 0


@configs
def test_load_and_store_at_once_wait_for_bandwidth(config: str, tmp_path: Path) -> None:
    runs = "n0=1024 n1=16 n2=1 n3=1"
    load = f"load buffer=IBUF arg=1 {runs} s1=1024"
    store = f"store buffer=VMEM arg=2 {runs} s1=1024"
    (alone,) = _run(config, _job(tmp_path, f"{store}\nend"))
    (both,) = _run(config, _job(tmp_path, f"{load}\n{store}\nend"))
    fetched = alone.fetch_bytes // arch.load_config(config).bytes_per_cycle
    assert _bucket(alone, "STORE", "DRAM_BANDWIDTH") <= fetched
    beats = 16 * 1024 // arch.load_config(config).bytes_per_cycle
    waited = sum(_bucket(both, engine, "DRAM_BANDWIDTH") for engine in ("LOAD", "STORE"))
    assert waited > beats // 2
    assert both.cycles >= 2 * beats


_LOAD = "load buffer=IBUF arg=1 n0=64 n1=1 n2=1 n3=1"


def _header(opcode: int, length: int, pop: int = 0, push: int = 0) -> bytes:
    return (opcode | length << 8 | pop << 12 | push << 16).to_bytes(16, "little")


_CODE = {line: npu_isa.encode_program(asm.assemble(line)) for line in (_LOAD, "end")}

_ERRORS = [
    ("unknown opcode", _CODE[_LOAD] + _header(3, 1), "ILLEGAL", 1),
    ("no length", _CODE[_LOAD] + _header(16, 0), "ILLEGAL", 1),
    ("too long", _header(16, 8), "ILLEGAL", 0),
    ("pops its own engine", _header(64, 1, pop=8), "ILLEGAL", 0),
    ("pushes to its own engine", _header(32, 1, push=2), "ILLEGAL", 0),
    ("zero count", f"{_LOAD}\nload buffer=IBUF n0=1 n1=1 n2=0 n3=1", "ILLEGAL", 1),
    ("zero count of MATRIX", "matrix n_x=1 n_y=1 n_kx=1 n_ky=1", "ILLEGAL", 0),
    ("end of memory", "load buffer=PARAM dst=0xffffff n0=1 n1=1 n2=1 n3=1", "LOCAL_RANGE", 0),
    ("memory not reached", f"{_LOAD}\n{_LOAD}\nstore buffer=OBUF n0=1 n1=1 n2=1 n3=1",
     "LOCAL_RANGE", 2),
    ("vector off its grid", "vector dst_buffer=VMEM dst_base=1 n0=1 n1=1 n2=1 n3=1",
     "ALIGNMENT", 0),
    ("load from nowhere", f"{_LOAD}\nload buffer=IBUF arg=1 dram=0x10000000 n0=1 n1=1 n2=1 n3=1",
     "DRAM_READ", 1),
    ("store to nowhere", "store buffer=IBUF arg=1 dram=0x10000000 n0=1 n1=1 n2=1 n3=1",
     "DRAM_WRITE", 0),
    # The image begins with the program: its first word is no index of a small table.
    ("index of a gather", f"{_LOAD}\nload buffer=IBUF n0=9 n1=3 n2=1 n3=1 d1=9 gather=1 "
     "index_limit=999", "INDEX", 1),
    ("gather from nowhere", "load buffer=IBUF n0=9 n1=3 n2=1 n3=1 d1=9 gather=1 index_arg=1 "
     "index_dram=0x10000000 index_limit=1", "DRAM_READ", 0),
    ("no token", f"{_LOAD}\n{_LOAD} pop=STORE\n{_LOAD}", "WATCHDOG", 1),
]


@configs
@pytest.mark.parametrize("program, code, index", [e[1:] for e in _ERRORS],
                         ids=[e[0] for e in _ERRORS])
def test_an_error_ends_the_run_and_the_next_run_works(
        config: str, program: bytes | str, code: str, index: int, tmp_path: Path) -> None:
    if isinstance(program, str):
        program = npu_isa.encode_program(asm.assemble(program))
    good = tmp_path / "good"
    good.mkdir()
    machine = arch.load_config(config)
    bad, after = _run(config, _job(tmp_path, program + _CODE["end"]),
                      _job(good, _product(machine.rows, machine.cols, 5), keep=True))
    assert bad.finished
    assert (npu_isa.Error(bad.status).name, bad.error_index) == (code, index)
    assert (after.finished, after.status) == (True, 0)


@configs
def test_a_program_that_is_not_there(config: str, tmp_path: Path) -> None:
    (result,) = _run(config, _job(tmp_path, "end", program=_IMAGE_BYTES))
    assert (result.status, result.error_index) == (npu_isa.Error.DRAM_READ, 0)


@configs
def test_a_slave_error_is_told_apart_by_who_meets_it(config: str, tmp_path: Path) -> None:
    load = f"{_LOAD}\nload buffer=IBUF arg=1 dram=0x1000 n0=64 n1=1 n2=1 n3=1\nend"
    (result,) = _run(config, _job(tmp_path, load, error_address=_INPUT + 0x1021))
    assert (result.status, result.error_index) == (npu_isa.Error.DRAM_READ, 1)
    store = "store buffer=IBUF arg=2 n0=200 n1=1 n2=1 n3=1\nend"
    (result,) = _run(config, _job(tmp_path, store, error_address=_OUTPUT + 150))
    assert (result.status, result.error_index) == (npu_isa.Error.DRAM_WRITE, 0)


@configs
def test_memories_keep_their_bytes_only_for_a_kept_machine(config: str, tmp_path: Path) -> None:
    store = "store buffer=IBUF arg=2 n0=64 n1=1 n2=1 n3=1\nend"
    folders = [tmp_path / name for name in ("load", "kept", "fresh")]
    for folder in folders:
        folder.mkdir()
    jobs = [_job(folders[0], f"{_LOAD}\nend"), _job(folders[1], store, keep=True),
            _job(folders[2], store)]
    loaded = np.fromfile(jobs[0].image_path, np.uint8)[_INPUT : _INPUT + 64]
    _run(config, *jobs)
    for job, expected in zip(jobs[1:], [loaded, np.zeros(64, np.uint8)], strict=True):
        stored = np.fromfile(job.image_path, np.uint8)[_OUTPUT : _OUTPUT + 64]
        np.testing.assert_array_equal(stored, expected)


@configs
def test_a_long_program_is_fetched_in_step(config: str, tmp_path: Path) -> None:
    # More than the buffer, each instruction visible by its own byte.
    count = 600
    lines = [f"store buffer=IBUF arg=2 dram={i} n0=1 n1=1 n2=1 n3=1" for i in range(count)]
    job = _job(tmp_path, "\n".join([*lines, "end"]), trace_path=tmp_path / "trace",
               max_cycles=100_000)
    (result,) = _run(config, job)
    assert result.status == 0
    after = np.fromfile(job.image_path, np.uint8)
    assert not after[_OUTPUT : _OUTPUT + count].any() and after[_OUTPUT + count :].any()
    assert [event.index for event in harness.read_trace(tmp_path / "trace")] == list(range(count))


def test_cycles_run_out(tmp_path: Path) -> None:
    results = harness.run_jobs(
        Path("sim/rtl/npu_sim_nano4").absolute(),
        [_job(tmp_path, f"{_LOAD} pop=STORE\nend", max_cycles=5000, progress_hz=1000)],
        progress=lambda name, cycles, retired: None)
    assert not results[0].finished


def test_a_missing_image_is_said(tmp_path: Path) -> None:
    job = dataclasses.replace(_job(tmp_path, "end"), image_path=tmp_path / "none")
    with pytest.raises(UserError, match="must run 1 jobs, ran 0 .*none: cannot open"):
        _run("nano4", job)
