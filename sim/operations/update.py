"""Measures again and writes what is committed of it: `./bazelw run //sim/operations:update`."""

import os
import pathlib
import sys

from jacquard.sim.operations import golden


def main() -> None:
    """Into the workspace that Bazel was called in, else into the current folder."""
    root = pathlib.Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", "."))
    found = golden.measured()
    page = root / golden.PAGE
    texts = {
        root / golden.TABLE: golden.table_text(found),
        page: golden.with_block(page.read_text(encoding="utf-8"), golden.page_block(found)),
    }
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(root), file=sys.stderr)


if __name__ == "__main__":
    main()
