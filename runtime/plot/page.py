"""A page in one file: headings, charts, tables that a click sorts. It opens offline."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

_STYLE = """
:root { color-scheme: light dark; }
body { font: 14px/1.5 sans-serif; margin: 2em auto; max-width: 1100px; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { padding: 2px 10px; border-bottom: 1px solid #8884; text-align: left; vertical-align: top; }
thead th { cursor: pointer; position: sticky; top: 0; background: Canvas; }
th[aria-sort=ascending]::after { content: " \\25b2"; }
th[aria-sort=descending]::after { content: " \\25bc"; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.mark td { font-weight: bold; }
svg { max-width: 100%; height: auto; }
.key span { white-space: nowrap; margin-right: 14px; }
.key i { display: inline-block; width: 11px; height: 11px; margin-right: 4px; }
"""
# Numbers sort by their value, which stands in data-v, words by themselves, and behind numbers. The
# first click on a head puts the largest number in front, or the first word; on "#", the first row.
_SCRIPT = """
for (const head of document.querySelectorAll("thead th")) head.addEventListener("click", () => {
  const table = head.closest("table"), rows = [...table.tBodies[0].rows];
  const number = (row) => "v" in row.cells[head.cellIndex].dataset;
  const falls = rows.some(number) && head.textContent !== "#";
  const was = head.getAttribute("aria-sort"), up = was ? was === "descending" : !falls;
  for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const key = (row) => {
    const cell = row.cells[head.cellIndex];
    return number(row) ? Number(cell.dataset.v) : cell.textContent;
  };
  const order = (a, b) => {
    if (number(a) !== number(b)) return number(a) ? -1 : 1;
    const found = number(a) ? key(a) - key(b) : key(a).localeCompare(key(b));
    return up ? found : -found;
  };
  rows.sort(order);
  table.tBodies[0].append(...rows);
});
"""


def page(title: str, parts: Sequence[str]) -> str:
    """A whole HTML document of parts that are HTML themselves."""
    name = html.escape(title)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
        f'<meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style></head><body><h1>{name}</h1>\n"
        + "\n".join(parts)
        + f"\n<script>{_SCRIPT}</script></body></html>\n"
    )


def heading(text: str) -> str:
    return f"<h2>{html.escape(text)}</h2>"


def paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """Colours and what they stand for."""
    spans = "".join(
        f'<span><i style="background:{colour}"></i>{html.escape(text)}</span>'
        for colour, text in entries
    )
    return f'<p class="key">{spans}</p>'


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str | int | float]],
    marked: Sequence[bool] | None = None,
) -> str:
    """Rows of words and numbers; a click on a column's head sorts by it.

    marked: rows in bold type.
    """
    numeric = [
        bool(rows) and all(not isinstance(row[i], str) for row in rows) for i in range(len(columns))
    ]
    head = "".join(
        f"<th{_class('n' if number else '')}>{html.escape(name)}</th>"
        for name, number in zip(columns, numeric, strict=True)
    )
    body = []
    for row, mark in zip(rows, marked or [False] * len(rows), strict=True):
        cells = "".join(_cell(value) for value in row)
        body.append(f"<tr{_class('mark' if mark else '')}>{cells}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _cell(value: str | int | float) -> str:
    if isinstance(value, str):
        return f"<td>{html.escape(value)}</td>"
    shown = f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
    return f'<td class="n" data-v="{value}">{shown}</td>'


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""
