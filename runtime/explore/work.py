"""Evaluates jobs, a model on a configuration each, in processes beside this one.

In: models and jobs. Out: results as they come, in any order. A process imports a model once and
keeps it; it ends with the process that started it, however that ends.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import hashlib
import pathlib
import time
from collections.abc import Generator, Sequence

import onnx

import jacquard
from jacquard.compiler.main import CompileOptions, Imported, compile_model, import_once
from jacquard.proto.lib.arch import Arch
from jacquard.proto.lib.errors import UserError
from jacquard.runtime.explore.processes import pool
from jacquard.runtime.explore.store import Result
from jacquard.sim.perf.estimate import estimate

# What decides a result beside model and machine.
_SOURCES = ("compiler", "proto/lib", "sim/perf", "sim/timing")


@dataclasses.dataclass(frozen=True)
class Model:
    """A quantized model.

    Attributes:
      qdq: the ModelProto, serialised.
      kv_cache: its keys and values stay in the device (CompileOptions.kv_cache).
    """

    name: str
    qdq: bytes
    kv_cache: bool = False

    @functools.cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.qdq + bytes([self.kv_cache])).hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Job:
    key: str
    model: int  # index into the models
    arch: Arch


@dataclasses.dataclass(frozen=True)
class Failure:
    """A job that ended in an exception: a defect, and not of the user's making."""

    job: Job
    error: BaseException


def key_of(model: Model, arch: Arch, sources: str) -> str:
    """Equal where the result must be."""
    return f"{model.digest}-{arch.fingerprint:016x}-{sources}"


@functools.cache
def source_digest() -> str:
    """Of all that compiles and times a model, so that results of other sources are made anew."""
    digest = hashlib.sha256()
    for root in jacquard.__path__:
        folders = [pathlib.Path(root) / folder for folder in _SOURCES]
        for path in sorted(path for folder in folders for path in folder.rglob("*")):
            if path.suffix in (".py", ".so") and not path.name.endswith("_test.py"):
                digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def evaluate(
    jobs: Sequence[Job], models: Sequence[Model], processes: int
) -> Generator[Result | Failure]:
    """Results in the order in which they come.

    Raises UserError: a process was killed, most often for want of memory.
    """
    if not jobs:
        return
    # What is running when this is left is not waited for: it will be done again.
    with pool(min(processes, len(jobs)), _start, tuple(models)) as executor:
        running = {executor.submit(_measure, job): job for job in jobs}
        for future in concurrent.futures.as_completed(running):
            error = future.exception()
            if isinstance(error, concurrent.futures.BrokenExecutor):
                raise UserError(
                    "explore: its processes must be left to run, one was killed (out of memory?); "
                    "the same command with fewer --jobs goes on"
                )
            yield future.result() if error is None else Failure(running[future], error)


_models: tuple[Model, ...] = ()  # of this process, once it has started


def _start(models: tuple[Model, ...]) -> None:
    global _models
    _models = models


@functools.cache
def _imported(model: int) -> Imported:
    return import_once(onnx.load_from_string(_models[model].qdq), _models[model].name)


def _measure(job: Job) -> Result:
    model = _models[job.model]
    options = CompileOptions(model_name=model.name, kv_cache=model.kv_cache)
    started = time.monotonic()
    try:
        program = compile_model(_imported(job.model), job.arch, options)
    except UserError as error:
        seconds = time.monotonic() - started
        return Result(job.key, model.name, job.arch.name, None, error.lines, seconds, 0.0)
    compiled = time.monotonic()
    cycles = estimate(program, job.arch).cycles
    return Result(
        job.key,
        model.name,
        job.arch.name,
        cycles,
        (),
        compiled - started,
        time.monotonic() - compiled,
    )
