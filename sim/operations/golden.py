"""What is committed of the measurements: operations.json, and the tables of docs/nonlinear.md."""

from __future__ import annotations

import json
from typing import Any

from jacquard.sim.operations import measure, real, rows
from jacquard.sim.operations.operation import type_name

TABLE = "sim/operations/operations.json"
PAGE = "docs/nonlinear.md"
BEGIN = "<!-- measured; written by ./bazelw run //sim/operations:update -->"
END = "<!-- end of what is measured -->"


def measured() -> dict[str, list[dict[str, Any]]]:
    """Everything, computed now."""
    return {"operations": measure.rows(), "rows": rows.measure()}


def table_text(found: dict[str, list[dict[str, Any]]]) -> str:
    """operations.json: a line for each row, so that a review shows what moved."""
    parts = []
    for name, entries in found.items():
        lines = ",\n".join("  " + json.dumps(entry) for entry in entries)
        parts.append(f' "{name}": [\n{lines}\n ]')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def page_block(found: dict[str, list[dict[str, Any]]]) -> str:
    """The tables between the page's two marks."""
    kinds = [f"{type_name(given)} -> {type_name(result)}" for given, result in real.TYPES]
    lines = [
        f"| function | inputs and results | {' | '.join(f'{kind}, max / RMS' for kind in kinds)} |",
        "|---|---|" + "---|" * len(kinds),
    ]
    curves: dict[tuple[str, str], dict[str, str]] = {}
    for row in found["operations"]:
        if row["types"] in kinds and row["group"] in real.GROUPS:
            figures = f"{row['max']:g} / {row['rms']:g}"
            curves.setdefault((row["name"], row["domain"]), {})[row["types"]] = figures
    for (name, domain), of_kind in curves.items():
        lines.append(f"| {name} | {domain} | {' | '.join(of_kind[kind] for kind in kinds)} |")
    lines += ["", "| rows | to 8 bits, max / RMS | to 16 bits, max / RMS |", "|---|---|---|"]
    lines += [f"| {row['rows']} | {row['narrow']} | {row['wide']} |" for row in found["rows"]]
    return "\n".join([BEGIN, *lines, END])


def with_block(page: str, block: str) -> str:
    """The page with its tables exchanged. ValueError if it lacks the marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE}: must hold `{BEGIN}` and `{END}`; put them around its tables")
    return before + block + after
