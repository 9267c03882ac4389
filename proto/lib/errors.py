"""The one exception that a user is meant to read.

A `UserError` holds complete lines of the form `place: rule, got value; way out`. All errors of a
kind are collected before it is raised, so a file is mended in one round. The command line prints
the lines and exits with status 1; anything else that escapes is a defect of ours.
"""

from collections.abc import Iterable


class UserError(Exception):
    """One or more user-facing messages, a line each."""

    def __init__(self, lines: str | Iterable[str]) -> None:
        self.lines: tuple[str, ...] = (lines,) if isinstance(lines, str) else tuple(lines)
        if not self.lines:
            raise ValueError("UserError: at least one line is needed, got none")
        super().__init__("\n".join(self.lines))


def raise_if_any(lines: Iterable[str]) -> None:
    """Raises `UserError(lines)` unless there are none."""
    collected = tuple(lines)
    if collected:
        raise UserError(collected)
