"""Judges a report of `generate`: all tokens came, and all logits are the integer reference's."""

import json
import os
import pathlib

import pytest

REPORT = json.loads(pathlib.Path(os.environ["REPORT"]).read_text())
TOKENS = int(os.environ["TOKENS"])
WORDS = int(os.environ["WORDS"])  # of the vocabulary
LIMITS = json.loads(os.environ["LIMITS"])
STEPS = [step for step in REPORT["steps"] if step["stage"] == "decode"]
BUCKETS = sorted({step["bucket"] for step in STEPS})
WANTED_BUCKETS = int(os.environ["BUCKETS"])  # that the tokens go through


def test_run_ended_without_error():
    assert REPORT["error"] == ""
    assert len(REPORT["tokens"]) == TOKENS


def test_tokens_and_logits_equal_the_integer_reference():
    assert REPORT["checked"] is True
    assert REPORT["bit_exact"] is True


def test_each_step_is_a_position_further():
    assert [step["stage"] for step in REPORT["steps"][1:]] == ["decode"] * len(STEPS)
    ran = [step["position"] for step in REPORT["steps"]]
    assert ran == list(range(ran[0], ran[0] + len(ran)))
    assert [step["token"] for step in REPORT["steps"] if step["gave_token"]] == REPORT["tokens"]


def test_keys_and_values_stay_in_the_device():
    """The host writes two ids of 4 bytes and 4 bytes a row of the mask; it reads logits of 16 bits,
    in units of 64 bytes."""
    assert all(step["to_device_bytes"] == 4 * (2 + step["bucket"]) for step in STEPS)
    assert {step["from_device_bytes"] for step in REPORT["steps"]} == {-(-2 * WORDS // 64) * 64}


def test_tokens_differ_from_step_to_step():
    """Greedy tokens of seeded weights: a machine that computed one step for all would be found."""
    assert len(set(REPORT["tokens"])) >= max(2, TOKENS // 2)


@pytest.mark.skipif(REPORT["backend"] != "rtl", reason="only RTL has cycles")
def test_a_step_takes_the_same_cycles_wherever_its_row_lies():
    """One program serves every position of its cache; what it does depends on none."""
    cycles = [step["cycles"] for step in STEPS]
    for rows in BUCKETS:
        own = [step["cycles"] for step in STEPS if step["bucket"] == rows]
        assert 0 < max(own) <= 1.001 * min(own)
    assert min(cycles) <= REPORT["decode_cycles_per_token"] <= max(cycles)


def test_a_step_is_done_in_the_smallest_cache_that_holds_its_row():
    assert len(BUCKETS) == WANTED_BUCKETS
    for step in STEPS:
        assert step["bucket"] == next(rows for rows in BUCKETS if rows > step["position"])


@pytest.mark.parametrize("name,limit", sorted(LIMITS.items()))
def test_figure_is_within_its_limit(name, limit):
    assert 0 < REPORT[name] <= limit
