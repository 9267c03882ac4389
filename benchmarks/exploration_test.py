"""An exploration's front, costs and cycles against what they ought to be; its page is offline."""

from __future__ import annotations

import itertools
import json
import math
import os
import pathlib
import xml.etree.ElementTree as ElementTree

import pytest

from jacquard.benchmarks.cycle_model.errors import WHOLE_LIMIT
from jacquard.proto.lib.arch import load_config

REPORT = json.loads(pathlib.Path(os.environ["REPORT"]).read_text())
PAGE = pathlib.Path(os.environ["PAGE"]).read_text()
RTL = [json.loads(pathlib.Path(path).read_text()) for path in os.environ["RTL"].split()]
SIZE = int(os.environ["CONFIGURATIONS"])

CONFIGURATIONS = REPORT["configurations"]
COMPARED = [c for c in CONFIGURATIONS if "cycles" in c]
MEMORIES = ("ibuf_bytes", "wbuf_bytes", "obuf_bytes", "vmem_bytes", "param_bytes")


def figures(configuration: dict) -> tuple[int, ...]:
    """Score and costs, from what the configuration is."""
    values = configuration["values"]
    copies = values["lanes"] // 2  # of TABLE: one for every two lanes
    return (
        round(math.prod(configuration["cycles"].values()) ** (1 / len(REPORT["models"]))),
        values["rows"] * values["cols"],
        values["lanes"],
        sum(values[memory] for memory in MEMORIES) + copies * values["table_bytes"],
        values["bytes_per_cycle"],
    )


def test_every_combination_is_accounted_for():
    assert len(CONFIGURATIONS) == SIZE and REPORT["failures"] == []
    assert len({tuple(c["values"].items()) for c in CONFIGURATIONS}) == SIZE
    for configuration in CONFIGURATIONS:
        assert ("cycles" in configuration) != bool(configuration.get("refused"))
        assert all(reason.strip() for reason in configuration.get("refused", ()))
    for configuration in COMPARED:
        assert set(configuration["cycles"]) == set(REPORT["models"])
    assert COMPARED


def test_the_front_is_what_nothing_beats():
    beaten = {
        one["name"]
        for one, other in itertools.permutations(COMPARED, 2)
        if figures(one) != figures(other)
        and all(a >= b for a, b in zip(figures(one), figures(other), strict=True))
    }
    assert {c["name"] for c in COMPARED if c["front"]} == {c["name"] for c in COMPARED} - beaten
    assert 1 < len(COMPARED) - len(beaten) < len(COMPARED)  # a sweep that says something


def test_scores_and_costs():
    names = ("multipliers", "lanes", "on_chip_bytes", "bytes_per_cycle")
    for configuration in COMPARED:
        score, *costs = figures(configuration)
        assert configuration["score"] == pytest.approx(score, abs=1)
        assert configuration["costs"] == dict(zip(names, costs, strict=True))


@pytest.mark.parametrize("report", RTL, ids=lambda report: report["model"])
def test_cycles_are_the_rtls(report):
    """The sweep holds the configuration of the report; the cycle model is good to its limit."""
    arch = load_config(report["config"])
    (same,) = (
        c for c in COMPARED if all(getattr(arch, axis) == v for axis, v in c["values"].items())
    )
    assert same["cycles"][report["model"]] == pytest.approx(report["cycles"], rel=WHOLE_LIMIT)


def test_the_page_shows_every_configuration_and_fetches_nothing():
    assert "src=" not in PAGE and "href=" not in PAGE and "url(" not in PAGE
    charts = [f"<svg{part.partition('</svg>')[0]}</svg>" for part in PAGE.split("<svg")[1:]]
    assert len(charts) == 2
    for chart in charts:
        tree = ElementTree.fromstring(chart)
        titles = [mark.text or "" for mark in tree.iterfind(".//{*}circle/{*}title")]
        assert {title.splitlines()[0] for title in titles} == {c["name"] for c in COMPARED}
        assert len(titles) == len(COMPARED)
    for configuration in CONFIGURATIONS:
        assert configuration["name"] in PAGE
