"""Runs pytest on one file as a Bazel test: shards, --test_filter, and a case per line in the report."""

import os
import sys

import hypothesis
import pytest


class _Shard:
    """Bazel's share of the cases: every n-th in collection order."""

    def __init__(self, index: int, total: int) -> None:
        self._index, self._total = index, total

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        mine = items[self._index :: self._total]
        config.hook.pytest_deselected(items=[item for item in items if item not in mine])
        items[:] = mine


def main(path: str, arguments: list[str]) -> int:
    """Runs the tests of `path` (relative to the repository root); returns the exit status."""
    environ = os.environ
    # Hypothesis's own profile for unattended runs: the same examples each time, no database, no deadline.
    hypothesis.settings.load_profile("ci")
    root = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
    # No cache and no sys.path change; a test module is imported once, under the path it lies at.
    options = ["-p", "no:cacheprovider", "--import-mode=importlib", f"--rootdir={root}", "-c", os.devnull]
    options += ["--color=yes" if sys.stdout.isatty() else "--color=no", "-ra"]
    if report := environ.get("XML_OUTPUT_FILE"):
        options.append(f"--junitxml={report}")
    if only := environ.get("TESTBRIDGE_TEST_ONLY"):
        options += ["-k", only]
    if temp := environ.get("TEST_TMPDIR"):
        options.append(f"--basetemp={os.path.join(temp, 'pytest')}")
    plugins = []
    total = int(environ.get("TEST_TOTAL_SHARDS", "1"))
    if total > 1:
        plugins.append(_Shard(int(environ["TEST_SHARD_INDEX"]), total))
        with open(environ["TEST_SHARD_STATUS_FILE"], "w", encoding="utf-8"):
            pass
    status = pytest.main([*options, os.path.join(root, path), *arguments], plugins=plugins)
    # An empty shard is fine, an empty file is not: such a test could not fail.
    if status == pytest.ExitCode.NO_TESTS_COLLECTED and total > 1:
        return 0
    return int(status)
