"""A profile as a trace that Perfetto and chrome://tracing open (JSON trace events).

A cycle is a microsecond there. A track per engine with a slice per instruction, named by opcode
and layer, from the moment it had the engine to itself to its end; a track of the layers; counters
of the bytes that cross the DRAM bus in a cycle.
"""

from __future__ import annotations

import gzip
import json
import pathlib

import numpy as np

from jacquard.proto.npu_isa import Bucket, Engine
from jacquard.runtime.api.files import write_whole
from jacquard.runtime.profile.measure import Profile

# Bins of the counters: what a screen shows, whatever the run's length.
BINS = 2000
_PROCESS = 1
_LAYERS = 1  # thread of the layers; engines follow. 0 is the idle thread's.


def write_trace(profile: Profile, path: pathlib.Path) -> None:
    """JSON, compressed where the name ends in .gz; whole or not at all."""
    data = json.dumps(trace(profile), separators=(",", ":")).encode()
    write_whole(path, gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def trace(profile: Profile) -> dict[str, object]:
    """The trace as a tree: an object of the JSON trace event format."""
    events = [
        _name("process_name", _LAYERS, f"{profile.model} on {profile.config}, a cycle = 1 us"),
        _name("thread_name", _LAYERS, "layers"),
    ]
    events += [_name("thread_name", _thread(engine), engine.name) for engine in Engine]
    events += [_sorted(thread) for thread in (_LAYERS, *map(_thread, Engine))]
    if not profile.problem:
        events += [*_layers(profile), *_instructions(profile), *_bandwidth(profile)]
    return {
        "displayTimeUnit": "ns",
        "otherData": {
            "model": profile.model,
            "config": profile.config,
            "backend": profile.backend,
            "timed_by": profile.timed_by,
            "cycles": profile.cycles,
            "problem": profile.problem,
        },
        "traceEvents": events,
    }


def _name(kind: str, thread: int, name: str) -> dict[str, object]:
    return {"ph": "M", "name": kind, "pid": _PROCESS, "tid": thread, "args": {"name": name}}


def _thread(engine: Engine) -> int:
    return _LAYERS + 1 + engine


def _sorted(thread: int) -> dict[str, object]:
    """Tracks lie in the order of their numbers, not of their names."""
    place = {"sort_index": thread}
    return {"ph": "M", "name": "thread_sort_index", "pid": _PROCESS, "tid": thread, "args": place}


def _slice(
    thread: int, name: str, begin: int, end: int, arguments: dict[str, object]
) -> dict[str, object]:
    return {
        "ph": "X",
        "name": name,
        "pid": _PROCESS,
        "tid": thread,
        "ts": begin,
        "dur": end - begin,
        "args": arguments,
    }


def _layers(profile: Profile) -> list[dict[str, object]]:
    found, end = [], 0
    for layer in profile.layers:
        arguments = {"op": layer.op, "bound": layer.bound, "floor_cycles": layer.floor_cycles}
        found.append(_slice(_LAYERS, layer.name, end, end + layer.cycles, dict(arguments)))
        end += layer.cycles
    return found


def _instructions(profile: Profile) -> list[dict[str, object]]:
    spans, found = profile.spans, []
    names = [bucket.name.lower() for bucket in Bucket]
    for n in range(len(spans.index)):
        engine, layer = Engine(int(spans.engine[n])), int(spans.layer[n])
        spent = {
            name: cycles
            for name, cycles in zip(names, spans.buckets[n].tolist(), strict=True)
            if cycles
        }
        named = f"{engine.name.lower()} {profile.layers[layer].name if layer >= 0 else ''}".strip()
        arguments: dict[str, object] = {
            "index": int(spans.index[n]),
            "bytes": int(spans.bytes[n]),
            "cycles since the one before": spent,
        }
        found.append(
            _slice(_thread(engine), named, int(spans.begin[n]), int(spans.done[n]), arguments)
        )
    return found


def _bandwidth(profile: Profile) -> list[dict[str, object]]:
    """Bytes in a cycle, mean over a bin, of what LOAD reads and STORE writes."""
    edges = np.linspace(0, profile.cycles, min(BINS, profile.cycles) + 1)
    rates = {
        name: binned_bytes(profile, engine, edges) / np.diff(edges)
        for name, engine in (("read", Engine.LOAD), ("write", Engine.STORE))
    }
    return [
        {
            "ph": "C",
            "name": "DRAM bytes per cycle",
            "pid": _PROCESS,
            "ts": int(edges[n]),
            "args": {name: round(float(rate[n]), 3) for name, rate in rates.items()},
        }
        for n in range(len(edges) - 1)
    ]


def binned_bytes(profile: Profile, engine: Engine, edges: np.ndarray) -> np.ndarray:
    """float64[len(edges) - 1]: bytes of an engine between edges (cycles, ascending).

    Those of an instruction count evenly over the time that it had the engine to itself.
    """
    spans = profile.spans
    own = spans.engine == engine
    begin, done, size = spans.begin[own], spans.done[own], spans.bytes[own]
    # Bytes up to a time: a line that rises from each begin to the done that belongs to it.
    times = np.stack([begin, np.maximum(done, begin)], axis=1).ravel()
    after = np.cumsum(size)
    upto = np.stack([after - size, after], axis=1).ravel()
    if not len(times):
        return np.zeros(len(edges) - 1)
    return np.diff(np.interp(edges, times, upto, left=0.0, right=float(after[-1])))

