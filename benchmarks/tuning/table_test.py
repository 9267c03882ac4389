"""The page has the reports' figures: programs by name, mappings that won by what they gain."""

from __future__ import annotations

from jacquard.benchmarks.tuning.table import Report, text


def layer(name: str, before: int, after: int, won: str = "2x8 c1 o1 inputs") -> dict[str, object]:
    return {
        "layers": [name, name + "_again"],
        "default": "4x8 c1 o1 inputs",
        "won": won,
        "default_cycles": before,
        "cycles": after,
        "floor_cycles": 1000,
        "bound": "array",
    }


def report(model: str, config: str, cycles: int, *layers: dict[str, object]) -> Report:
    return {
        "model": model,
        "config": config,
        "default_cycles": 20_000,
        "cycles": cycles,
        "floor_cycles": 16_000,
        "overridden_layers": 4,
        "networks_timed": 7,
        "layers": list(layers),
    }


def test_page() -> None:
    small, large = layer("small", 3000, 2900), layer("large", 9000, 8000)
    same = layer("same", 5000, 5000, won="4x8 c1 o1 inputs")
    page = text([report("net", "nano4", 19_000, small, same, large), report("a", "edge16", 20_000)])
    lines = page.splitlines()
    first = "| net | nano4 | 20,000 | 19,000 | 5.00 % | 16,000 | 1.2500 | 1.1875 | 4 | 7 |"
    other = "| a | edge16 | 20,000 | 20,000 | 0.00 % | 16,000 | 1.2500 | 1.2500 | 4 | 7 |"
    assert lines.index(first) == lines.index(other) + 1
    rows = [line for line in lines if "c1 o1" in line and "4x8" in line]
    assert rows == [
        "| large | 2 | 4x8 c1 o1 inputs | 2x8 c1 o1 inputs | 9,000 | 8,000 | 1,000 | array |",
        "| small | 2 | 4x8 c1 o1 inputs | 2x8 c1 o1 inputs | 3,000 | 2,900 | 1,000 | array |",
    ]
    assert "## net on nano4" in lines and "## a on edge16" not in lines
