"""Times many choices of tilings, in this process or in others beside it.

In: jobs, each overrides of a network or of a part of it. Out: cycles in the order of the jobs, so
that what follows from them does not depend on how many processes there are.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections.abc import Callable, Iterator, Sequence

import onnx

from jacquard.compiler.main import CompileOptions
from jacquard.proto.lib.arch import Arch
from jacquard.proto.lib.errors import UserError
from jacquard.runtime.explore.processes import pool
from jacquard.runtime.tune.network import Network, Overrides, Part

Job = tuple[Overrides, Part | None]
Times = Callable[[Sequence[Job], Callable[[], None]], list[int | None]]


@contextlib.contextmanager
def timer(
    network: Network, qdq: onnx.ModelProto, options: CompileOptions, processes: int
) -> Iterator[Times]:
    """A function from jobs to cycles, None where they do not fit; it calls back after each.

    Raises UserError: a process was killed, most often for want of memory.
    """
    if processes == 1:

        def here(jobs: Sequence[Job], done: Callable[[], None]) -> list[int | None]:
            found = []
            for job in jobs:
                found.append(network.cycles(*job))
                done()
            return found

        yield here
        return
    model = qdq.SerializeToString(deterministic=True)
    with pool(processes, _start, model, network.arch, options) as executor:

        def beside(jobs: Sequence[Job], done: Callable[[], None]) -> list[int | None]:
            running = [executor.submit(_cycles, job) for job in jobs]
            try:
                for future in concurrent.futures.as_completed(running):
                    future.result()
                    done()
            except concurrent.futures.BrokenExecutor:
                raise UserError(
                    "tune: its processes must be left to run, one was killed (out of memory?); "
                    "give fewer --jobs"
                ) from None
            return [future.result() for future in running]

        yield beside


_network: Network | None = None  # of this process, once it has started


def _start(model: bytes, arch: Arch, options: CompileOptions) -> None:
    global _network
    _network = Network(onnx.load_from_string(model), arch, options)


def _cycles(job: Job) -> int | None:
    assert _network is not None
    return _network.cycles(*job)
