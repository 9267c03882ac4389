"""Finds the codelets: every file of every family in this folder that defines CODELET."""

from __future__ import annotations

import functools
import importlib
import pathlib
from collections.abc import Mapping

from jacquard.compiler.codelets.base import Codelet


@functools.cache
def codelets() -> Mapping[str, Codelet]:
    """ONNX operator type -> codelet, in the order of the file names."""
    found: dict[str, Codelet] = {}
    for path in sorted(pathlib.Path(__file__).parent.glob("*/*.py")):
        if path.stem.endswith("_test") or path.stem.startswith("_"):
            continue
        module = importlib.import_module(
            f"jacquard.compiler.codelets.{path.parent.name}.{path.stem}"
        )
        codelet = getattr(module, "CODELET", None)
        if codelet is None:
            continue
        if codelet.op in found:
            raise RuntimeError(f"{path.name}: {codelet.op} has a codelet already")
        found[codelet.op] = codelet
    return found
