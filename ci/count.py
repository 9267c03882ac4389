"""count.py EVENTS STATUS: `N passed, N failed` of a test run, from Bazel's build event file.

A target counts by the cases in its test.xml; one without such a report counts once.
Exit status 1 if anything failed, Bazel did, or nothing ran.
"""

import json
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from pathlib import Path


def cases(report: Path) -> tuple[int, int]:
    """Cases passed and failed in a JUnit report; skipped ones are neither."""
    passed = failed = 0
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is None:
            passed += 1
    return passed, failed


def _one_result(result: dict) -> tuple[int, int]:
    passed, failed = int(result["status"] in ("PASSED", "FLAKY")), 0
    for output in result.get("testActionOutput", []):
        if output["name"] == "test.xml":
            path = Path(urllib.parse.unquote(urllib.parse.urlparse(output["uri"]).path))
            try:
                passed, failed = cases(path)
            except (OSError, ElementTree.ParseError):
                pass  # cut off by a time limit: the status below counts
    if result["status"] in ("PASSED", "FLAKY"):
        return passed, failed
    return passed, failed or 1


def count(events: Iterable[dict], status: int) -> tuple[int, int]:
    """Passed and failed over all results; the last attempt of a shard is the one that counts."""
    results: dict[tuple, tuple[int, int]] = {}
    unfinished: set[str] = set()
    for event in events:
        kind = event["id"]
        if "testResult" in event:
            key = kind["testResult"]
            shard = (key["label"], key.get("run", 1), key.get("shard", 1))
            results[shard] = _one_result(event["testResult"])
        elif "testSummary" in event and event["testSummary"]["overallStatus"] not in ("PASSED", "FLAKY"):
            unfinished.add(kind["testSummary"]["label"])
        elif "targetCompleted" in kind and not event.get("completed", {}).get("success"):
            unfinished.add(kind["targetCompleted"]["label"])
    passed = sum(p for p, _ in results.values())
    failed = sum(f for _, f in results.values())
    failed += len(unfinished - {label for (label, *_), (_, f) in results.items() if f})
    return passed, failed or int(status != 0)


def main(path: str, status: int) -> int:
    """Prints the line; returns the exit status."""
    with open(path, encoding="utf-8") as file:
        passed, failed = count((json.loads(line) for line in file if line.strip()), status)
    print(f"{passed} passed, {failed} failed")
    return int(failed > 0 or passed == 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
