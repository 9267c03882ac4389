"""Tests of the user-facing exception."""

import pytest

from jacquard.proto.lib.errors import UserError, raise_if_any


def test_one_line_and_many_lines() -> None:
    assert UserError("a: b, got c; d").lines == ("a: b, got c; d",)
    assert str(UserError(["one", "two"])) == "one\ntwo"


def test_nothing_is_raised_for_no_lines() -> None:
    raise_if_any([])
    with pytest.raises(UserError, match="one\ntwo"):
        raise_if_any(["one", "two"])


def test_an_empty_error_is_a_defect() -> None:
    with pytest.raises(ValueError, match="at least one line"):
        UserError([])
