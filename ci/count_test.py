"""The counting line of .ci/run over event files as Bazel writes them."""

from pathlib import Path

import pytest

from jacquard.ci import count

REPORT = """<testsuites><testsuite>
<testcase name="a"/><testcase name="b"/><testcase name="c"><skipped/></testcase>{more}
</testsuite></testsuites>"""
FAILURE = '<testcase name="d"><failure/></testcase>'


def _result(label: str, status: str, report: Path | None = None, shard: int = 1, attempt: int = 1) -> dict:
    outputs = [{"name": "test.xml", "uri": report.as_uri()}] if report else []
    key = {"label": label, "run": 1, "shard": shard, "attempt": attempt}
    return {"id": {"testResult": key}, "testResult": {"status": status, "testActionOutput": outputs}}


def _summary(label: str, status: str) -> dict:
    return {"id": {"testSummary": {"label": label}}, "testSummary": {"overallStatus": status}}


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "a report.xml"  # the space is escaped in the event's URI
    path.write_text(REPORT.format(more=""))
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.xml"
    path.write_text(REPORT.format(more=FAILURE))
    return path


def test_cases_count_and_skipped_do_not(good: Path) -> None:
    assert count.count([_result("//a", "PASSED", good), _result("//b", "PASSED")], 0) == (3, 0)


def test_failed_cases(bad: Path) -> None:
    assert count.count([_result("//a", "FAILED", bad), _summary("//a", "FAILED")], 3) == (2, 1)


def test_last_attempt_counts(good: Path, bad: Path) -> None:
    events = [_result("//a", "FAILED", bad), _result("//a", "PASSED", good, attempt=2), _summary("//a", "FLAKY")]
    assert count.count(events, 0) == (2, 0)


def test_shards_add_up(good: Path) -> None:
    assert count.count([_result("//a", "PASSED", good, shard=s) for s in (1, 2)], 0) == (4, 0)


def test_failure_without_a_report() -> None:
    assert count.count([_result("//a", "TIMEOUT"), _summary("//a", "TIMEOUT")], 3) == (0, 1)


def test_crash_after_a_good_report(good: Path) -> None:
    assert count.count([_result("//a", "FAILED", good), _summary("//a", "FAILED")], 3) == (2, 1)


def test_target_that_does_not_build() -> None:
    events = [{"id": {"targetCompleted": {"label": "//a"}}, "completed": {}}, _summary("//a", "NO_STATUS")]
    assert count.count(events, 1) == (0, 1)


def test_bazel_fails_before_any_target() -> None:
    assert count.count([], 1) == (0, 1)


def test_nothing_ran_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "events").write_text("")
    assert count.main(str(tmp_path / "events"), 0) == 1
    assert capsys.readouterr().out == "0 passed, 0 failed\n"
