"""Charts and pages: marks lie where the values say, ticks are round, words stay words."""

from __future__ import annotations

import html.parser
import math
import xml.etree.ElementTree as ElementTree

import pytest

from jacquard.runtime.plot.axis import Axis, readable
from jacquard.runtime.plot.chart import Chart
from jacquard.runtime.plot.page import heading, page, paragraph, table

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (Axis("", 0, 100), ["0", "20", "40", "60", "80", "100"]),
        (Axis("", 0, 2.5e6, unit="bytes"), ["0 B", "512 KiB", "1 MiB", "1.5 MiB", "2 MiB"]),
        (Axis("", 16, 4096, log=True), ["20", "50", "100", "200", "500", "1 k", "2 k"]),
        (Axis("", 1e3, 1e8, log=True), ["1 k", "10 k", "100 k", "1 M", "10 M", "100 M"]),
        (Axis("", 1e6, 1.9e6, log=True), ["1 M", "1.2 M", "1.4 M", "1.6 M", "1.8 M"]),
        (Axis("", 24576, 3e6, log=True, unit="bytes"), ["32 KiB", "128 KiB", "512 KiB", "2 MiB"]),
    ],
)
def test_ticks(axis: Axis, expected: list[str]) -> None:
    assert [axis.text(value) for value in axis.ticks()] == expected


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("unit", ["", "bytes"])
def test_ticks_are_few_and_within_the_axis(log: bool, unit: str) -> None:
    for low in (1, 3, 70, 12345):
        for factor in (1.01, 1.5, 3, 9.9, 11, 99, 1e4, 1e9):
            axis = Axis("", low, low * factor, log, unit)
            ticks = axis.ticks()
            assert 1 <= len(ticks) <= 12, (low, factor)
            assert ticks == sorted(set(ticks))
            assert all(-1e-6 <= axis.at(value) <= 1 + 1e-6 for value in ticks)


@pytest.mark.parametrize(("low", "high", "log"), [(1, 1, False), (2, 1, False), (0, 5, True)])
def test_an_axis_without_extent_is_refused(low: float, high: float, log: bool) -> None:
    with pytest.raises(ValueError, match=f"got {low} and {high}"):
        Axis("cycles", low, high, log)


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (999, "", "999"),
        (12_345_678, "", "12.3 M"),
        (65536, "bytes", "64 KiB"),
        (1023 * 1024, "bytes", "1023 KiB"),
        (2.125, "", "2.12"),
        (0, "", "0"),
    ],
)
def test_readable(value: float, unit: str, expected: str) -> None:
    assert readable(value, unit) == expected


def _marks(chart: Chart, kind: str) -> list[dict[str, str]]:
    return [mark.attrib for mark in ElementTree.fromstring(chart.svg()).iter(SVG + kind)]


def test_marks_lie_where_their_values_say() -> None:
    chart = Chart(Axis("x", 1, 100, log=True), Axis("y", 0, 10), width=800, height=400)
    for x in (1, 10, 100):
        chart.dot(x, x / 10, "dot")
    chart.box((1, 0), (10, 10), "box")
    left, middle, right = ((float(d["cx"]), float(d["cy"])) for d in _marks(chart, "circle"))
    assert middle[0] == pytest.approx((left[0] + right[0]) / 2, abs=0.1)  # a decade each
    assert left[1] - middle[1] == pytest.approx((left[1] - right[1]) * 0.9 / 9.9, abs=0.1)
    assert 0 < left[0] < right[0] < 800 and 0 < right[1] < left[1] < 400
    (wide,) = _marks(chart, "rect")
    assert float(wide["x"]) == left[0]
    assert float(wide["width"]) == pytest.approx((right[0] - left[0]) / 2, abs=0.1)


def test_a_line_goes_through_its_points() -> None:
    chart = Chart(Axis("x", 0, 1), Axis("y", 0, 1))
    chart.line([(0, 0), (1, 1)])
    chart.dot(0, 0, "")
    chart.dot(1, 1, "")
    (line,) = _marks(chart, "polyline")
    assert line["points"].split() == [f"{d['cx']},{d['cy']}" for d in _marks(chart, "circle")]


def test_words_stand_beside_their_dot() -> None:
    chart = Chart(Axis("x", 0, 1), Axis("y", 0, 1))
    chart.dot(0.5, 0.5, "")
    chart.words(0.5, 0.5, "right <of it>")
    chart.words(0.5, 0.5, "left of it", right=False)
    texts = {x.text: x.attrib for x in ElementTree.fromstring(chart.svg()).iter(SVG + "text")}
    (dot,) = _marks(chart, "circle")
    right, left = texts["right <of it>"], texts["left of it"]
    assert (right["text-anchor"], left["text-anchor"]) == ("start", "end")
    assert float(left["x"]) < float(dot["cx"]) < float(right["x"])


class _Page(html.parser.HTMLParser):
    """Tags that are open, words, and what would be fetched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.fetched: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self.rows and self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)


def test_a_page_is_one_file_and_words_stay_words() -> None:
    nasty = "</td><script>alert('x')</script> & \"more\""
    chart = Chart(Axis(nasty, 0, 1), Axis("y", 0, 1))
    chart.dot(0.5, 0.5, nasty)
    rows = [(nasty, 12_345, 0.5), ("b", -3, math.pi)]
    parts = [heading(nasty), paragraph(nasty), chart.svg(), table("abc", rows, [True, False])]
    text = page(nasty, parts)
    found = _Page(text)
    assert found.open == [] and found.fetched == []
    assert found.words.count(nasty) == 7  # title, h1, heading, paragraph, axis, dot, cell
    assert found.rows[1:] == [[nasty, "12,345", "0.5"], ["b", "-3", "3.142"]]
    assert text.count("<script>") == 1
    assert 'data-v="12345"' in text and '<tr class="mark">' in text
