"""The golden files are what the schemas give today."""

import pathlib

import pytest

from jacquard.proto.golden import golden

_FOLDER = pathlib.Path(__file__).parent


@pytest.mark.parametrize("name", golden.files())
def test_golden(name: str) -> None:
    path = _FOLDER / name
    committed = path.read_text(encoding="utf-8") if path.exists() else ""
    assert committed == golden.files()[name], (
        f"proto/golden/{name} differs from the schemas; if the change is meant, run "
        "`./bazelw run //proto/golden:update` and commit the result"
    )
