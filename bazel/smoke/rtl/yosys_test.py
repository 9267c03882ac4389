"""The report of yosys_synth counts what the RTL describes: four multipliers, four 32-bit registers."""

import json
from pathlib import Path


def test_cells_of_four_rows() -> None:
    report = json.loads(Path("bazel/smoke/rtl/mac_rows_cells.json").read_text(encoding="utf-8"))
    assert report["top"] == "mac_rows"
    assert report["cells_by_type"]["TRELLIS_FF"] == 4 * 32
    assert report["cells_by_type"]["MULT18X18D"] == 4
