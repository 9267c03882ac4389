"""Prints what tuning by the cycle model changed: --output FILE REPORT ... (of `tune --report`)."""

from __future__ import annotations

import argparse
import json
import pathlib
from collections.abc import Sequence
from typing import Any

Report = dict[str, Any]


def text(reports: Sequence[Report]) -> str:
    """A Markdown page: a row per program, then the mappings that won, the largest gains first."""
    lines = [
        "# Tilings by the cycle model",
        "",
        "Cycles of the whole network as the compiler tiles it, and with the overrides that a "
        "search with a small budget found. A mapping is a tile's rows x columns of output "
        "positions, input channel tiles at once (c), output channel tiles that share an "
        "accumulator half (o), and what stays on chip from tile to tile.",
        "",
        "| model | config | as compiled | tuned | less | layer floor | as compiled / floor "
        "| tuned / floor | layers with other mappings | networks timed |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in sorted(reports, key=lambda r: (r["model"], r["config"])):
        before, after, floor = r["default_cycles"], r["cycles"], r["floor_cycles"]
        lines.append(
            f"| {r['model']} | {r['config']} | {before:,} | {after:,} "
            f"| {100 * (1 - after / before):.2f} % | {floor:,} | {before / floor:.4f} "
            f"| {after / floor:.4f} | {r['overridden_layers']} | {r['networks_timed']} |"
        )
    for r in sorted(reports, key=lambda r: (r["model"], r["config"])):
        rows = sorted(
            (row for row in r["layers"] if row["won"] != row["default"]),
            key=lambda row: row["cycles"] - row["default_cycles"],
        )
        if not rows:
            continue
        lines += [
            "",
            f"## {r['model']} on {r['config']}",
            "",
            "Layers overlap their neighbours: what one gains may stand in the row of the next.",
            "",
            "| layer | alike | default mapping | mapping that won | cycles before | after | floor "
            "| bound by |",
            "|---|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {row['layers'][0].replace('|', '/')} | {len(row['layers'])} | {row['default']} "
            f"| {row['won']} | {row['default_cycles']:,} | {row['cycles']:,} "
            f"| {row['floor_cycles']:,} | {row['bound']} |"
            for row in rows
        ]
    return "\n".join([*lines, ""])


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("reports", type=pathlib.Path, nargs="+")
    args = parser.parse_args()
    args.output.write_text(text([json.loads(path.read_text()) for path in args.reports]))


if __name__ == "__main__":
    main()
