"""Judges one benchmark's report: the run ended, bit for bit, and its figures hold together."""

import json
import os
import pathlib

import pytest

REPORT = json.loads(pathlib.Path(os.environ["REPORT"]).read_text())
LIMITS = json.loads(os.environ["LIMITS"])
MARGIN_DB = float(os.environ["MARGIN_DB"])


def test_run_ended_without_error():
    assert REPORT["error"] == ""


def test_outputs_equal_the_integer_reference():
    assert REPORT["bit_exact"] is True
    assert REPORT["elements_compared"] > 0


def test_every_layer_equals_the_integer_reference():
    """A layer is what is stored: operators fused into one are compared in its result.

    A few are of tensors that the graph does not have, as a rotated row: their readers are compared.
    """
    checks = [x["output_check"] for x in REPORT["layers"]]
    assert checks
    assert [x["name"] for x in REPORT["layers"] if x["output_check"] == "differs"] == []
    assert set(checks) <= {"equal", "internal"}
    assert checks.count("internal") <= len(checks) // 20


def test_outputs_are_near_onnxruntime():
    """Rounding differences add up over layers; the top class must not change.

    The noise of a small output beside a large one (a pooled vector) is that of one sample.
    """
    assert REPORT["top1_match"] is True
    assert REPORT["outputs"]
    largest = max(output["elements"] for output in REPORT["outputs"])
    for output in REPORT["outputs"]:
        margin = MARGIN_DB if output["elements"] == largest else MARGIN_DB + 1
        assert output["sqnr_db"] >= output["sqnr_db_onnxruntime"] - margin, output["name"]


def test_macs_of_layers_add_up():
    assert sum(layer["macs"] for layer in REPORT["layers"]) == REPORT["macs"]


@pytest.mark.skipif(REPORT["backend"] != "rtl", reason="only RTL has cycles")
def test_cycles_add_up():
    for engine, buckets in REPORT["engines"].items():
        assert sum(buckets.values()) == REPORT["cycles"], engine
        layers = [layer["engines"][engine] for layer in REPORT["layers"]]
        assert any(layer["busy"] for layer in layers)
        for name, cycles in buckets.items():
            assert 0 <= sum(layer[name] for layer in layers) <= cycles, (engine, name)
    assert sum(layer["cycles"] for layer in REPORT["layers"]) <= REPORT["cycles"]
    assert REPORT["cycles"] >= REPORT["roofline_cycles"]


def test_activations_take_no_more_than_lives_at_once():
    """Both count tensors in whole units of alignment."""
    memory = REPORT["memory"]
    assert 0 < memory["planned_bytes"] == memory["lower_bound_bytes"]
    assert memory["lower_bound_bytes"] <= memory["greedy_bytes"] <= memory["naive_bytes"]


def test_spills_and_refetches_are_part_of_what_is_read():
    memory = REPORT["memory"]
    moved = [sum(layer[name] for layer in REPORT["layers"])
             for name in ("spilled_bytes", "refetched_bytes")]
    assert moved == [memory["spilled_bytes"], memory["refetched_bytes"]]
    assert sum(moved) + memory["other_refetched_bytes"] < sum(
        layer["dram_read_bytes"] for layer in REPORT["layers"])


def figure(name: str) -> float:
    """A field; of a field with a dot; a quotient of two with " / " between."""
    numerator, slash, denominator = name.partition(" / ")
    if slash:
        return figure(numerator) / figure(denominator)
    value = REPORT
    for part in name.split("."):
        value = value[part]
    return value


@pytest.mark.parametrize("name,limit", sorted(LIMITS.items()))
def test_figure_is_within_its_limit(name, limit):
    whole = name.split(" / ")[-1]  # of a quotient only this one cannot be 0
    assert 0 < figure(whole) and figure(name) <= limit
