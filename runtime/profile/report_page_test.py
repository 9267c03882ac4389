"""The page's text: all sections, nothing from elsewhere, and what is missing where a run failed."""

from __future__ import annotations

import dataclasses
import html
import re

from jacquard.proto import report_pb2
from jacquard.proto.lib.arch import find_config, load_config, read_message
from jacquard.runtime.api.report import build_report
from jacquard.runtime.profile import relief
from jacquard.runtime.profile.fill import fill
from jacquard.runtime.profile.measure import failed
from jacquard.runtime.profile.report_page import profile_page
from jacquard.runtime.profile.sample import compiled, profile, timed

NANO4 = load_config("nano4")


def test_it_refers_to_nothing_outside() -> None:
    text = profile_page(profile())
    assert re.findall(r"(?:src|href)\s*=", text) == []
    assert re.findall(r"@import|url\(", text) == []
    assert set(re.findall(r"https?://[^\"' ]+", text)) <= {"http://www.w3.org/2000/svg"}


def test_names_are_escaped() -> None:
    text = profile_page(profile())
    assert "a <second>" not in text
    assert html.escape("a <second> & last") in text


def test_func_is_said_to_be_timed_by_the_cycle_model() -> None:
    text = profile_page(dataclasses.replace(profile(), backend="func"))
    assert "func has no time: that of the cycle model (perf)" in text


def test_dots_above_the_roof_are_explained() -> None:
    """As where a layer's work was done while the one before it ended."""
    found = profile()
    slow = [
        dataclasses.replace(layer, cycles=layer.macs + layer.read_bytes + layer.write_bytes)
        for layer in found.layers
    ]
    assert "above the roof" not in profile_page(dataclasses.replace(found, layers=tuple(slow)))
    first = found.layers[0]
    early = dataclasses.replace(first, cycles=first.macs // (2 * NANO4.rows * NANO4.cols))
    text = profile_page(dataclasses.replace(found, layers=(early, *slow[1:])))
    assert f"1 dot lies above the roof ({first.name}): layers overlap." in text
    assert f"The run as a whole does {found.macs / found.cycles:.1f} MACs a cycle, of the" in text


def test_a_failed_run_says_what_is_missing() -> None:
    program, _ = timed()
    problem = "device: run stopped with ILLEGAL at instruction 3 in layer first (cycle 100)"
    text = html.unescape(profile_page(failed(program, NANO4, "rtl", problem)))
    assert problem in text
    for word in ("cycles", "engines", "roofline", "time line", "layers", "reliefs"):
        assert word in text.partition("there are no ")[2].partition(" here")[0]
    assert "Memory plan" in text and 'id="timeline"' not in text


def test_a_program_without_activations_and_a_failure_is_still_a_page() -> None:
    program, _ = timed()
    bare = type(program)()
    bare.CopyFrom(program)
    bare.ClearField("memory_plan")
    text = profile_page(failed(bare, NANO4, "rtl", "nothing ran"))
    assert "has no activations in DRAM" in text


def test_the_report_has_bounds_and_reliefs() -> None:
    program, result = timed()
    found = relief.relieved(
        profile(), program, compiled, relief.machines(read_message(find_config("nano4")))[:2]
    )
    report: report_pb2.Report = build_report(program, NANO4, "perf", result)
    fill(found, report)
    assert [layer.bound for layer in report.layers] == [layer.bound for layer in found.layers]
    assert [dict(x.relief_cycles) for x in report.layers] == [x.relief for x in found.layers]
    assert [one.cycles for one in report.reliefs] == [one.cycles for one in found.reliefs]
    assert report.relief_base_cycles == found.base_cycles
