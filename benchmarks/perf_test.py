"""Holds one program's report of the cycle model to the one of RTL."""

import json
import os
import pathlib

import pytest

from jacquard.benchmarks.cycle_model.errors import LAYER_LIMIT, WHOLE_LIMIT, errors, load

PERF = load(pathlib.Path(os.environ["REPORT"]))
ERRORS = errors(PERF, load(pathlib.Path(os.environ["RTL_REPORT"])))
LIMITS = json.loads(os.environ["LIMITS"])


def test_it_claims_times_alone():
    assert PERF["backend"] == "perf"
    assert PERF["bit_exact_judged"] is False
    assert PERF["elements_compared"] == 0


def test_the_whole_run_is_within_the_limit():
    assert ERRORS.perf_cycles > 0
    assert abs(ERRORS.whole) <= WHOLE_LIMIT


def test_every_long_layer_is_within_the_limit():
    assert [x for x in ERRORS.layers if abs(x.error) > LAYER_LIMIT] == []


def test_every_engine_spends_its_time_alike():
    assert ERRORS.largest_bucket_error <= WHOLE_LIMIT
    for engine, buckets in PERF["engines"].items():
        assert sum(buckets.values()) == PERF["cycles"], engine


@pytest.mark.parametrize("name,limit", sorted(LIMITS.items()))
def test_figure_is_within_its_limit(name, limit):
    assert 0 < PERF[name] <= limit
