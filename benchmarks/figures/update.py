"""Copies what was made into docs/ of the workspace: `./bazelw run //benchmarks:update_figures`."""

import os
import pathlib
import sys


def main() -> None:
    """Into the workspace that Bazel was called in, else into the current folder."""
    docs = pathlib.Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", ".")) / "docs"
    for made in map(pathlib.Path, sys.argv[1:]):
        (docs / made.name).write_bytes(made.read_bytes())
        print(f"docs/{made.name}", file=sys.stderr)


if __name__ == "__main__":
    main()
