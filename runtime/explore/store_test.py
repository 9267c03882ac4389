"""The file of points: nothing whole is lost, nothing half is kept, one writer at a time."""

from __future__ import annotations

import pathlib

import pytest

from jacquard.proto.lib.errors import UserError
from jacquard.runtime.explore.store import FILE, Result, open_store

ONE = Result("a-b-c", "lenet", "x1", 12_345, (), 1.5, 0.25)
TWO = Result("a-d-c", "lenet", "x2", None, ("conv1: must fit", "conv2: too"), 0.5, 0.0)


def written(folder: pathlib.Path, *results: Result) -> bytes:
    with open_store(folder) as store:
        for result in results:
            store.add(result)
    return (folder / FILE).read_bytes()


def known(folder: pathlib.Path) -> dict[str, Result]:
    with open_store(folder) as store:
        return dict(store.results)


def test_what_is_added_is_there_again(tmp_path: pathlib.Path) -> None:
    written(tmp_path / "new" / "folder", ONE)
    data = written(tmp_path / "new" / "folder", TWO)
    assert data.count(b"\n") == 2
    assert known(tmp_path / "new" / "folder") == {ONE.key: ONE, TWO.key: TWO}


def test_a_line_cut_short_anywhere_is_dropped_and_written_again(tmp_path: pathlib.Path) -> None:
    whole = written(tmp_path, ONE, TWO)
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole)):
        (tmp_path / FILE).write_bytes(whole[:end])
        with open_store(tmp_path) as store:
            assert store.results == {ONE.key: ONE}
            store.add(TWO)
        assert (tmp_path / FILE).read_bytes() == whole


@pytest.mark.parametrize("line", [b"{}\n", b"[1]\n", b"hello\n", b"\xff\n", b"\n", b'{"key": 1}\n'])
def test_another_file_is_left_alone(line: bytes, tmp_path: pathlib.Path) -> None:
    whole = written(tmp_path, ONE) + line
    (tmp_path / FILE).write_bytes(whole)
    with pytest.raises(UserError, match=f"{FILE}:2: must be a line that explore wrote"):
        known(tmp_path)
    assert (tmp_path / FILE).read_bytes() == whole


def test_two_explorations_do_not_write_one_file(tmp_path: pathlib.Path) -> None:
    with open_store(tmp_path), pytest.raises(UserError, match="by one exploration at a time"):
        known(tmp_path)
    assert known(tmp_path) == {}
