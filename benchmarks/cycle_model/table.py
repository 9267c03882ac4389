"""Prints the error of the cycle model on every program that RTL runs: --output FILE PERF RTL ..."""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence

from jacquard.benchmarks.cycle_model.errors import (
    LAYER_LIMIT,
    LONG_CYCLES,
    WHOLE_LIMIT,
    Errors,
    errors,
    load,
)


def text(found: Sequence[Errors]) -> str:
    """A Markdown page: a row per program, and the bound over each configuration."""
    lines = [
        "# Cycle model against RTL",
        "",
        f"Limits, held by a test each: {100 * WHOLE_LIMIT:.0f} % of a whole run, "
        f"{100 * LAYER_LIMIT:.0f} % of each layer above {LONG_CYCLES:,} cycles.",
        "",
        "| model | config | RTL | model of it | whole | worst layer | worst bucket | RTL | perf |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for e in sorted(found, key=lambda e: (e.config, e.model)):
        lines.append(
            f"| {e.model} | {e.config} | {e.rtl_cycles:,} | {e.perf_cycles:,} "
            f"| {_percent(e.whole)} | {_percent(_worst(e))} | {_percent(e.largest_bucket_error)} "
            f"| {e.rtl_seconds:.1f} s | {e.perf_seconds:.2f} s |"
        )
    lines += ["", "| config | programs | whole, at most | layer, at most |", "|---|---|---|---|"]
    for config in sorted({e.config for e in found}):
        own = [e for e in found if e.config == config]
        whole = max(abs(e.whole) for e in own)
        layer = max(abs(_worst(e)) for e in own)
        lines.append(f"| {config} | {len(own)} | {_percent(whole)} | {_percent(layer)} |")
    return "\n".join([*lines, ""])


def _worst(e: Errors) -> float:
    return e.worst_layer.error if e.worst_layer else 0.0


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("reports", type=pathlib.Path, nargs="+")
    args = parser.parse_args()
    pairs = zip(args.reports[::2], args.reports[1::2], strict=True)
    args.output.write_text(text([errors(load(perf), load(rtl)) for perf, rtl in pairs]))


if __name__ == "__main__":
    main()
