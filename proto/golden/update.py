"""Writes the golden files again: `./bazelw run //proto/golden:update`."""

import os
import pathlib
import sys

from jacquard.proto.golden import golden


def main() -> None:
    """Into the workspace that Bazel was called in, else into the current folder."""
    root = pathlib.Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", "."))
    for name, text in golden.files().items():
        (root / "proto" / "golden" / name).write_text(text, encoding="utf-8")
        print(f"proto/golden/{name}", file=sys.stderr)


if __name__ == "__main__":
    main()
