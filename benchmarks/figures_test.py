"""docs/figures.md and its picture are what today's reports say."""

import os
import pathlib

import pytest


@pytest.mark.parametrize("made", os.environ["MADE"].split())
def test_committed_page_is_the_one_made(made: str) -> None:
    made_now = pathlib.Path(made)
    committed = pathlib.Path("docs") / made_now.name
    way_out = "if the change is meant, run `./bazelw run //benchmarks:figures` and commit"
    assert committed.read_text(encoding="utf-8") == made_now.read_text(encoding="utf-8"), way_out
