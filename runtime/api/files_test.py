"""Whole or not at all."""

from __future__ import annotations

import pathlib

import pytest

from jacquard.runtime.api.files import write_whole


def test_a_file_is_replaced(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "f"
    write_whole(path, "gr\u00fcn\n")
    assert path.read_text(encoding="utf-8") == "gr\u00fcn\n"
    write_whole(path, b"\0")
    assert path.read_bytes() == b"\0"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interruption_leaves_what_was_there(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    write_whole(path, "before")

    def interrupted(part: pathlib.Path, data: bytes) -> int:
        with part.open("wb") as file:
            file.write(data[:3])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "write_bytes", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_whole(path, "after")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
