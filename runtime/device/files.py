"""Finds files that come with the product: data files of the targets that use them."""

from __future__ import annotations

import pathlib

import jacquard
from jacquard.proto.lib.errors import UserError


def repo_file(path: str) -> pathlib.Path:
    """Absolute path of `path`, given from the repository's root. Raises UserError if absent."""
    for root in jacquard.__path__:
        found = pathlib.Path(root) / path
        if found.exists():
            return found.absolute()
    raise UserError(f"{path}: is not part of this build; add it to the target's data")
