"""The figures on docs/tutorial.md: where they stand, how they are made, whether they still hold.

A figure stands between `<!-- made: WHAT -->` and `<!-- end -->`; nobody types there.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Sequence

from jacquard.benchmarks.tutorial import figures
from jacquard.benchmarks.tutorial.figures import Row, Run

# How far a figure may be off the page's, relative to itself: cycles, and what has one decimal,
# which are bytes and shares; of these so much besides.
CYCLES, OTHERS, COARSE = 0.02, 0.05, 2.0
_BLOCK = re.compile(r"<!-- made: (?P<what>[^>]+?) -->\n(?P<text>.*?)<!-- end -->", re.S)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def fill(text: str, runs: Sequence[Run], overrides: pathlib.Path) -> str:
    """The page with every block made anew. Raises ValueError where one names nothing known."""

    def block(match: re.Match[str]) -> str:
        what = match["what"]
        return f"<!-- made: {what} -->\n{_made(what, runs, overrides)}\n<!-- end -->"

    return _BLOCK.sub(block, text)


def _made(what: str, runs: Sequence[Run], overrides: pathlib.Path) -> str:
    """`table`; `overrides FILE`; `moved MODEL VARIANT [from VARIANT]`."""
    kind, *words = what.split()
    if what == "table":
        return table(runs)
    if kind == "overrides" and len(words) == 1:
        text = (overrides / f"{words[0]}.textproto").read_text()
        return f"```\n{text}```"
    if kind == "moved" and len(words) in (2, 4):
        named = {(run.model, run.name): run for run in runs}
        before, after = (words[3] if words[2:] else "default"), words[1]
        pair = named[words[0], before], named[words[0], after]
        return markdown([words[0], before, after], figures.moved(*pair))
    raise ValueError(f"docs/tutorial.md: no block is made of {what!r}")


def table(runs: Sequence[Run]) -> str:
    """All variants side by side, as Markdown that a terminal shows in columns too."""
    return markdown(figures.columns(), [figures.row(run, runs) for run in runs])


def markdown(head: Sequence[str], rows: Sequence[Row]) -> str:
    """Cells padded to their column's width, words to the left, figures to the right."""
    right = [bool(rows) and not isinstance(rows[0][i], str) for i in range(len(head))]
    text = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in (head, *text)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if figure else cell.ljust(width)
            for cell, width, figure in zip(cells, widths, right, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rule = "|".join(
        "-" * (width + 1) + (":" if figure else "-")
        for width, figure in zip(widths, right, strict=True)
    )
    return "\n".join([line(head), f"|{rule}|", *map(line, text)])


def outdated(text: str, fresh: str) -> list[str]:
    """Lines of blocks that no longer hold, with what they would be: `page -> now`.

    A line on one side alone counts where its own figures differ: what hardly moved may come and go.
    """
    found = []
    for old, new in zip(_BLOCK.finditer(text), _BLOCK.finditer(fresh), strict=True):
        was, now = _lines(old["text"]), _lines(new["text"])
        for key in dict.fromkeys((*was, *now)):
            a, b = was.get(key, ""), now.get(key, "")
            holds = _holds(a, b) if a and b else _still(a or b)
            if not holds:
                found.append(f"{old['what']}: {a or 'nothing'} -> {b or 'nothing'}")
    return found


def _lines(block: str) -> dict[str, str]:
    """By their first cell; of a file, by themselves. The rule below a table's head says nothing."""
    rows = [line for line in block.splitlines() if not line.startswith("|-")]
    return {line.split("|")[1].strip() if line.startswith("|") else line: line for line in rows}


def _holds(line: str, fresh: str) -> bool:
    """The same words, and figures that are near enough."""
    words = [re.sub(r"\s+", " ", _NUMBER.sub("#", each)) for each in (line, fresh)]
    pairs = zip(_NUMBER.findall(line), _NUMBER.findall(fresh), strict=False)
    return words[0] == words[1] and all(_near(a, b) for a, b in pairs)


def _still(line: str) -> bool:
    """Whether a line of before and after has two figures that are near each other."""
    cells = [cell.strip() for cell in line.split("|")[2:-1]]
    return len(cells) == 2 and all(map(_NUMBER.fullmatch, cells)) and _near(*cells)


def _near(one: str, other: str) -> bool:
    a, b = float(one), float(other)
    if len(one.partition(".")[2]) == 1:
        return abs(a - b) <= max(OTHERS * max(a, b), COARSE)
    return abs(a - b) <= CYCLES * max(a, b)
