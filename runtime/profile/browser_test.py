"""The page as a person meets it: from a file, without network, in Chromium."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import onnx
import pytest

from jacquard.runtime.cli import main
from jacquard.runtime.cli.entry import guarded
from jacquard.runtime.profile.browser import Page, browser
from jacquard.runtime.profile.sample import quantized

ENGINES = ("LOAD", "MATRIX", "VECTOR", "STORE")


def chromium() -> pathlib.Path:
    (found,) = pathlib.Path(os.environ["TEST_SRCDIR"]).glob("*chromium/root")
    return found


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, dict[str, Any]]]:
    """The page of `jacquard profile`, and the report that it wrote beside it."""
    folder = tmp_path_factory.mktemp("profile")
    onnx.save(quantized(), folder / "sample.qdq.onnx")
    files = [f"--html={folder}/page.html", f"--report={folder}/report.json"]
    arguments = [f"--model={folder}/sample.qdq.onnx", "--config=nano4", "--backend=perf"]
    assert guarded(main.main, ["profile", *arguments, *files]) == 0
    with browser(chromium(), tmp_path_factory.mktemp("home")) as page:
        page.open(folder / "page.html")
        yield page, json.loads((folder / "report.json").read_text())


def cells(page: Page, table: str, column: str) -> list[Any]:
    """A column by its head: numbers where they are, else words."""
    return page.value(f"""(() => {{
        const table = document.querySelector("{table} table");
        const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
        return [...table.tBodies[0].rows].map((row) => row.cells[heads.indexOf("{column}")])
            .map((cell) => "v" in cell.dataset ? Number(cell.dataset.v) : cell.textContent);
    }})()""")


def click(page: Page, table: str, column: str) -> None:
    page.value(f"""[...document.querySelectorAll("{table} th")]
        .find((head) => head.textContent === "{column}").click()""")


def drawn(page: Page) -> None:
    """Waits for the time line, whose data is unpacked by and by."""
    page.value("""new Promise((done, fail) => {
        const root = document.getElementById("timeline");
        const look = () => root.dataset.drawn ? done() : setTimeout(look, 20);
        setTimeout(() => fail("the time line was not drawn"), 20000);
        look();
    })""")


def view(page: Page) -> list[int]:
    return [int(v) for v in page.value('document.getElementById("timeline").dataset.view').split()]


def test_it_opens_without_a_complaint(opened) -> None:  # noqa: ANN001
    page, _ = opened
    drawn(page)
    assert page.complaints == []
    assert page.value("location.protocol") == "file:"
    heads = page.value('[...document.querySelectorAll("h2")].map((h) => h.textContent)')
    assert {"Engines", "Roofline", "Time line", "Layers", "Memory plan"} <= set(heads)


def test_numbers_equal_the_report(opened) -> None:  # noqa: ANN001
    page, report = opened
    layers = report["layers"]
    for column, field in (
        ("layer", "name"),
        ("cycles", "cycles"),
        ("floor", "floor_cycles"),
        ("MACs", "macs"),
        ("read", "dram_read_bytes"),
        ("written", "dram_write_bytes"),
        ("spilled", "spilled_bytes"),
        ("refetched", "refetched_bytes"),
        ("start-up", "startup_cycles"),
        ("bound by", "bound"),
    ):
        assert cells(page, "#layers", column) == [layer[field] for layer in layers], column
    for relief in report["reliefs"]:
        of_layers = [layer["relief_cycles"][relief["name"]] for layer in layers]
        assert cells(page, "#layers", relief["name"]) == of_layers
    assert cells(page, "#reliefs", "cycles") == [one["cycles"] for one in report["reliefs"]]
    assert cells(page, "#engines", "engine") == list(ENGINES)
    for column, bucket in (
        ("working", "busy"),
        ("waiting for LOAD", "wait_load"),
        ("waiting for MATRIX", "wait_matrix"),
        ("waiting for VECTOR", "wait_vector"),
        ("waiting for STORE", "wait_store"),
        ("DRAM bandwidth", "dram_bandwidth"),
        ("DRAM latency", "dram_latency"),
        ("memory port", "port"),
        ("fill and drain", "drain"),
        ("queue empty", "empty"),
    ):
        expected = [report["engines"][engine][bucket] for engine in ENGINES]
        assert cells(page, "#engines", column) == expected, column
        of_layers = [layer["engines"][engine][bucket] for layer in layers for engine in ENGINES]
        assert cells(page, "#buckets", column)[: len(of_layers)] == of_layers, column
    assert f"{report['cycles']:,}" in page.value("document.body.textContent")


def test_charts_have_their_elements(opened) -> None:  # noqa: ANN001
    page, report = opened
    multiply = sum(1 for layer in report["layers"] if layer["macs"])
    assert page.value('document.querySelectorAll("#roofline circle").length') == multiply
    titles = page.value(
        '[...document.querySelectorAll("#roofline circle title")].map((t) => t.textContent)'
    )
    for layer in report["layers"]:
        if layer["macs"]:
            assert any(title.startswith(layer["name"] + " (") for title in titles)
    assert page.value('document.querySelectorAll("#roofline polyline").length') == 2
    assert page.value('document.querySelectorAll("#plan rect").length') >= 3
    assert page.value('document.querySelectorAll("#engines .bar").length') == 4
    widths = page.value(
        '[...document.querySelectorAll("#engines .bar div")].map((d) => d.clientWidth)'
    )
    assert min(widths) > 500


@pytest.mark.parametrize("column", ["cycles", "x floor", "layer", "bound by"])
def test_a_click_on_a_head_sorts(opened, column) -> None:  # noqa: ANN001
    page, _ = opened
    before = cells(page, "#layers", column)
    words = isinstance(before[0], str)
    rising = sorted(before, key=str.lower if words else None)
    click(page, "#layers", column)
    once = cells(page, "#layers", column)
    click(page, "#layers", column)
    twice = cells(page, "#layers", column)
    # What matters stands in front after one click: the first word, the largest number.
    assert (once, twice) == ((rising, rising[::-1]) if words else (rising[::-1], rising))
    click(page, "#layers", "#")
    assert cells(page, "#layers", column) == before


def place(page: Page) -> tuple[float, float, float, float]:
    box = page.value("""(() => {
        const canvas = document.querySelector("#timeline canvas");
        canvas.scrollIntoView({block: "center"});
        const box = canvas.getBoundingClientRect();
        return [box.x, box.y, box.width, box.height];
    })()""")
    return box[0], box[1], box[2], box[3]


def test_the_time_line_shows_every_engine(opened) -> None:  # noqa: ANN001
    """Colours of buckets are there, in each engine's row."""
    page, report = opened
    drawn(page)
    assert view(page) == [0, report["cycles"]]
    colours = page.value("""(() => {
        const canvas = document.querySelector("#timeline canvas");
        const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        const found = {};
        const hex = (v) => v.toString(16).padStart(2, "0");
        for (let i = 0; i < pixels.length; i += 4) {
            const key = [...pixels.slice(i, i + 3)].map(hex).join("");
            found[key] = (found[key] || 0) + 1;
        }
        return found;
    })()""")
    assert colours.get("009e73", 0) > 5000  # working
    assert colours.get("e69f00", 0) > 5000  # waiting for MATRIX
    assert colours.get("8b2500", 0) > 100  # DRAM latency


def test_the_time_line_zooms_moves_and_tells(opened) -> None:  # noqa: ANN001
    page, report = opened
    drawn(page)
    left, top, width, _ = place(page)
    x, y = left + width / 2, top + 100
    page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-100)
    first = view(page)
    assert first[1] - first[0] == pytest.approx(0.8 * report["cycles"], rel=0.01)
    assert first[0] == pytest.approx(0.1 * report["cycles"], rel=0.1)  # what is pointed at stays
    page.mouse("mousePressed", x, y, button="left", clickCount=1)
    page.mouse("mouseMoved", x - 50, y, button="left", buttons=1)
    page.mouse("mouseReleased", x - 50, y, button="left", clickCount=1)
    moved = view(page)
    assert moved[0] > first[0] and moved[1] - moved[0] == pytest.approx(first[1] - first[0], abs=2)
    page.mouse("mouseMoved", x, y)
    assert "LOAD instruction" in page.value('document.querySelector("#timeline .tip").textContent')
    page.value('document.querySelector("[data-zoom=all]").click()')
    assert view(page) == [0, report["cycles"]]


def test_a_click_on_a_layer_shows_it_in_the_time_line(opened) -> None:  # noqa: ANN001
    page, report = opened
    drawn(page)
    click(page, "#layers", "cycles")  # in another order than they ran
    page.value("""[...document.querySelectorAll("#layers tbody tr")]
        .find((row) => row.cells[0].textContent === "1").click()""")
    begin = report["layers"][0]["cycles"]
    end = begin + report["layers"][1]["cycles"]
    shown = view(page)
    assert shown[0] < begin < end < shown[1] < end + (end - begin)
    click(page, "#layers", "#")
    page.value('document.querySelector("[data-zoom=all]").click()')


def test_nothing_complained_meanwhile(opened) -> None:  # noqa: ANN001
    page, _ = opened
    assert page.complaints == []
