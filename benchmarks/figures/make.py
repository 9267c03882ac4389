"""Writes the page and its picture.

--page FILE --picture FILE --published FILE --goals FILE REPORT ...
"""

from __future__ import annotations

import argparse
import pathlib

from jacquard.benchmarks.figures.data import read
from jacquard.benchmarks.figures.page import text
from jacquard.benchmarks.figures.picture import picture


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("page", "picture", "published", "goals"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("reports", type=pathlib.Path, nargs="+")
    args = parser.parse_args()
    figures = read(args.published, args.goals, args.reports)
    args.page.write_text(text(figures), encoding="utf-8")
    args.picture.write_text(picture(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
