"""report.py STAT_JSON OUT_JSON OUT_TXT TOP: the cells of a synthesis, from Yosys's `stat -json`."""

import json
import sys


def main(stat: str, out_json: str, out_text: str, top: str) -> None:
    """Writes {top, cells, wire_bits, memory_bits, cells_by_type} and the same as a table."""
    with open(stat, encoding="utf-8") as file:
        design = json.load(file)["design"]
    by_type = {kind.lstrip("\\"): count for kind, count in design["num_cells_by_type"].items()}
    report = {
        "top": top,
        "cells": design["num_cells"],
        "wire_bits": design["num_wire_bits"],
        "memory_bits": design["num_memory_bits"],
        "cells_by_type": dict(sorted(by_type.items())),
    }
    with open(out_json, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=2)
        file.write("\n")
    rows = sorted(by_type.items(), key=lambda row: (-row[1], row[0]))
    with open(out_text, "w", encoding="utf-8") as file:
        file.write(f"{top}: {report['cells']} cells, {report['memory_bits']} memory bits\n")
        file.writelines(f"{count:>9}  {kind}\n" for kind, count in rows)


if __name__ == "__main__":
    main(*sys.argv[1:5])
