"""The trace: what Perfetto needs of it, and that nothing of the run is missing."""

from __future__ import annotations

import collections
import gzip
import json
import pathlib

import pytest

from jacquard.proto.lib.arch import load_config
from jacquard.proto.npu_isa import Engine
from jacquard.runtime.profile.measure import failed
from jacquard.runtime.profile.sample import profile, timed
from jacquard.runtime.profile.trace import trace, write_trace


def test_a_track_per_engine_without_overlaps() -> None:
    found = profile()
    events = trace(found)["traceEvents"]
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert sorted(names.values()) == ["LOAD", "MATRIX", "STORE", "VECTOR", "layers"]
    ends: dict[int, int] = collections.defaultdict(int)
    counts: collections.Counter[str] = collections.Counter()
    for event in (e for e in events if e["ph"] == "X"):
        assert event["ts"] >= ends[event["tid"]] and event["dur"] >= 0
        ends[event["tid"]] = event["ts"] + event["dur"]
        counts[names[event["tid"]]] += 1
    assert counts.pop("layers") == len(found.layers)
    for engine in Engine:
        assert counts[engine.name] == (found.spans.engine == engine).sum()
    assert max(ends.values()) <= found.cycles + 4


def test_events_are_of_the_format() -> None:
    """Trace Event Format: the fields of each phase and their types; names before what they name.

    Thread 0 is the idle thread's, whose track has another name.
    """
    found = json.loads(json.dumps(trace(profile())))
    fields = {
        "M": {"pid": int, "tid": int, "args": dict},
        "X": {"pid": int, "tid": int, "ts": int, "dur": int, "args": dict},
        "C": {"pid": int, "ts": int, "args": dict},
    }
    assert found["displayTimeUnit"] in ("ms", "ns")
    named = set()
    for event in found["traceEvents"]:
        expected = {"name": str, "ph": str} | fields[event["ph"]]
        assert {field: type(value) for field, value in event.items()} == expected
        assert event.get("tid") != 0
        if event["name"] == "thread_name":
            named.add(event["tid"])
        if event["ph"] == "X":
            assert event["tid"] in named and event["ts"] >= 0
        if event["ph"] == "C":
            assert all(isinstance(value, (int, float)) for value in event["args"].values())
    order = [e["args"]["sort_index"] for e in found["traceEvents"] if "sort_index" in e["args"]]
    assert order == sorted(named)


def test_slices_name_opcode_and_layer_and_carry_the_index() -> None:
    found = profile()
    slices = [e for e in trace(found)["traceEvents"] if e["ph"] == "X" and e["tid"] > 1]
    assert sorted(e["args"]["index"] for e in slices) == sorted(found.spans.index.tolist())
    assert {e["name"] for e in slices} >= {"matrix first", "load classes", "store pool"}
    for event in slices:
        assert sum(event["args"]["cycles since the one before"].values()) >= event["dur"]


def test_counters_of_the_bus_add_up_to_its_bytes() -> None:
    found = profile()
    counters = [e for e in trace(found)["traceEvents"] if e["ph"] == "C"]
    times = [e["ts"] for e in counters] + [found.cycles]
    for name, engine in (("read", Engine.LOAD), ("write", Engine.STORE)):
        moved = sum(
            e["args"][name] * (b - a) for e, a, b in zip(counters, times, times[1:], strict=False)
        )
        expected = int(found.spans.bytes[found.spans.engine == engine].sum())
        assert moved == pytest.approx(expected, rel=0.05)


def test_files(tmp_path: pathlib.Path) -> None:
    found = profile()
    write_trace(found, tmp_path / "t.json")
    write_trace(found, tmp_path / "t.json.gz")
    plain = (tmp_path / "t.json").read_bytes()
    assert gzip.decompress((tmp_path / "t.json.gz").read_bytes()) == plain
    assert json.loads(plain) == trace(found)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.json", "t.json.gz"]


def test_a_failed_run_has_tracks_and_says_why() -> None:
    program, _ = timed()
    made = trace(failed(program, load_config("nano4"), "rtl", "device: run stopped"))
    assert made["otherData"]["problem"] == "device: run stopped"
    assert {e["ph"] for e in made["traceEvents"]} == {"M"}
