"""The cycle model: a Program's time without its data.

In: code and a configuration. Out: cycles, the engines' buckets, when each instruction started and
finished. The rules are those of hw/, unit by unit (sim/perf/model, C++); nothing here knows any.

>>> model = CycleModel(code)
>>> model.run(arch, args).cycles
"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import pathlib
from collections.abc import Sequence

import numpy as np

import jacquard
from jacquard.proto.lib.arch import Arch
from jacquard.proto.lib.errors import UserError
from jacquard.proto.npu_isa import Bucket, Engine

_LIBRARY = "sim/perf/libnpu_perf.so"
# Traces of sim/rtl begin with the write that starts the run, two cycles before its first.
_STARTED = 2
_HEAD = ("status", "error_index", "cycles", "fetch_beats", "load_beats", "store_beats")


@dataclasses.dataclass(frozen=True)
class ModelResult:
    """One run. Arrays have a row per instruction; cycles are counted as in sim/rtl's traces."""

    status: int  # jacquard.proto.npu_isa.Error
    error_index: int
    cycles: int
    counters: np.ndarray  # int64[engines, buckets]
    start_cycles: np.ndarray  # int64[instructions]
    done_cycles: np.ndarray  # int64[instructions]
    instruction_buckets: np.ndarray  # int64[instructions, buckets]; see runtime/device/base.py
    fetch_bytes: int
    load_bytes: int
    store_bytes: int


class CycleModel:
    """A program's code, ready to be run on any configuration."""

    def __init__(self, code: bytes | np.ndarray) -> None:
        """code: from its first instruction on; what lies behind `end` does not matter."""
        held = np.frombuffer(code, np.uint8)
        library = _library()
        self._program = library.perf_open(held.ctypes.data, held.size)
        self.instruction_count: int = library.perf_size(self._program)

    def __del__(self) -> None:
        if getattr(self, "_program", None):
            _library().perf_close(self._program)

    def run(
        self,
        arch: Arch,
        args: Sequence[int] = (0,) * 8,
        program_address: int = 0,
        memory: np.ndarray | None = None,
        vector_rate: int = 1,
    ) -> ModelResult:
        """Runs it.

        Args:
          args: the eight argument registers, of which only the alignment matters.
          memory: uint8, DRAM from address 0 on as it is at the start, for the indices of gathers;
            without it index i names row i.
          vector_rate: steps of VECTOR's pipe a cycle; the hardware's is 1.
        """
        rows = self.instruction_count
        start, done = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
        buckets = np.zeros((rows, len(Bucket)), np.int64)
        result = np.zeros(len(_HEAD) + len(Engine) * len(Bucket), np.int64)
        params = _params(arch, vector_rate)
        registers = np.array([int(a) % 2**64 for a in args], np.uint64)
        _library().perf_run(
            self._program, params.ctypes.data, program_address, registers.ctypes.data,
            None if memory is None else memory.ctypes.data, 0 if memory is None else memory.size,
            start.ctypes.data, done.ctypes.data, buckets.ctypes.data, result.ctypes.data,
        )  # fmt: skip
        head = dict(zip(_HEAD, result.tolist(), strict=False))
        return ModelResult(
            status=head["status"],
            error_index=head["error_index"],
            cycles=head["cycles"],
            counters=result[len(_HEAD) :].reshape(len(Engine), len(Bucket)),
            start_cycles=start + _STARTED,
            done_cycles=done + _STARTED,
            instruction_buckets=buckets,
            fetch_bytes=head["fetch_beats"] * arch.bytes_per_cycle,
            load_bytes=head["load_beats"] * arch.bytes_per_cycle,
            store_bytes=head["store_beats"] * arch.bytes_per_cycle,
        )


def _params(arch: Arch, vector_rate: int) -> np.ndarray:
    """struct Params of sim/perf/model/params.h: int64 each, in its order."""
    return np.array(
        [
            arch.rows,
            arch.lanes,
            arch.obuf_row_bytes,
            arch.obuf_half_rows,
            arch.bytes_per_cycle,
            arch.latency_cycles,
            arch.queue_depth,
            arch.max_tokens,
            arch.fetch_buffer_bytes,
            arch.watchdog_cycles,
            arch.load.instructions_in_flight,
            arch.load.outstanding_bursts,
            arch.load.buffer_bytes,
            arch.store.instructions_in_flight,
            arch.store.outstanding_bursts,
            arch.store.buffer_bytes,
            vector_rate,
        ],
        np.int64,
    )


@functools.cache
def _library() -> ctypes.CDLL:
    """The model. Raises UserError where it is not part of the build."""
    paths = [pathlib.Path(root) / _LIBRARY for root in jacquard.__path__]
    found = next((path for path in paths if path.exists()), None)
    if found is None:
        raise UserError(f"{_LIBRARY}: is not part of this build; add //sim/perf to the target")
    library = ctypes.CDLL(str(found.absolute()))
    pointer = ctypes.c_void_p
    library.perf_open.restype = pointer
    library.perf_open.argtypes = [pointer, ctypes.c_uint64]
    library.perf_close.restype = None
    library.perf_close.argtypes = [pointer]
    library.perf_size.restype = ctypes.c_uint32
    library.perf_size.argtypes = [pointer]
    library.perf_run.restype = None
    library.perf_run.argtypes = [pointer, pointer, ctypes.c_uint64]
    library.perf_run.argtypes += [pointer, pointer, ctypes.c_uint64, *[pointer] * 4]
    return library
