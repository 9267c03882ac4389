"""Every import of the repository goes the allowed way (ci/layering.bzl)."""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest

_IMPORT = re.compile(r"^\s*(?:from\s+jacquard(?P<of>[\w.]*)\s+import\s+(?P<what>.+)|import\s+jacquard(?P<mod>[\w.]+))")


def _layer(place: str, layers: Iterable[str]) -> str:
    fits = [layer for layer in layers if place == layer or place.startswith(layer + "/")]
    return max(fits, key=len, default=place.split("/")[0])


def violations(lines: Iterable[str], allowed: Mapping[str, Sequence[str]]) -> list[str]:
    """Messages for the lines (`file:number:text`, as grep prints them) that break the rule."""
    found = []
    for line in lines:
        file, number, text = line.split(":", 2)
        if text.strip() == "import jacquard":
            continue  # the mount itself, which brings no layer in
        match = _IMPORT.match(text)
        if match is None or ((match["what"] or "").startswith("(") and not match["of"]):
            found.append(f"{file}:{number}: must name what it imports on one line, got `{text.strip()}`")
            continue
        module = (match["mod"] or match["of"]).strip(".").replace(".", "/")
        names = re.findall(r"(\w+)(?:\s+as\s+\w+)?", match["what"].split("#")[0]) if match["what"] else [""]
        own = _layer(file, allowed)
        for name in names:
            target = _layer(f"{module}/{name}".strip("/"), allowed)
            if target not in (own, *allowed[own]):
                ways = ", ".join(allowed[own]) or "nothing else"
                found.append(f"{file}:{number}: {own} may import {ways}; got {target} (`{text.strip()}`)")
    return found


def _external(name: str) -> list[Path]:
    return list(Path(os.environ["TEST_SRCDIR"]).glob(f"*jacquard_imports/{name}"))


def test_imports_go_the_allowed_way() -> None:
    (imports,), (allowed,) = _external("imports.txt"), _external("allowed.json")
    lines = imports.read_text(encoding="utf-8").splitlines()
    found = violations(lines, json.loads(allowed.read_text(encoding="utf-8")))
    assert not found, "\n".join(["imports against the layers (ci/layering.bzl):", *found])


ALLOWED = {"proto": [], "compiler": ["proto", "sim/timing"], "sim": ["proto"], "sim/timing": ["proto"]}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("compiler/a.py:1:from jacquard.proto.lib import arch", None),
        ("compiler/a.py:1:from jacquard.sim.timing import cycles", None),
        ("compiler/a.py:1:from jacquard.sim import timing as t  # why", None),
        ("sim/func/a.py:1:from jacquard.sim.timing import cycles", "sim may import proto; got sim/timing"),
        ("compiler/a.py:7:    from jacquard.sim.func import run", "compiler/a.py:7: compiler may import proto, sim/timing; got sim"),
        ("compiler/a.py:1:import jacquard.runtime.api", "got runtime"),
        ("proto/lib/a.py:1:from jacquard import compiler", "proto may import nothing else; got compiler"),
        ("proto/lib/a.py:1:import jacquard", None),
        ("proto/lib/a.py:1:from jacquard import (", "must name what it imports on one line"),
    ],
)
def test_rule(line: str, expected: str | None) -> None:
    found = violations([line], ALLOWED)
    assert (found == []) if expected is None else (len(found) == 1 and expected in found[0])
