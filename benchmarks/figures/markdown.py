"""Paragraphs and tables in Markdown, as lists of lines."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence


def words(text: str) -> list[str]:
    """A paragraph, and the empty line behind it."""
    lines = textwrap.wrap(text, 118, break_long_words=False, break_on_hyphens=False)
    return [*lines, ""]


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Numbers with thousands apart."""
    lines = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(map(_cell, line)) + " |" for line in lines]


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
