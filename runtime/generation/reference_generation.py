"""The tokens that the integer reference gives: the yardstick of `generate`.

A plain loop over sim/reference on the QDQ graphs, without Programs, grids or buckets in the device:
keys and values go from run to run as the reals that the graphs give and take.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx

from jacquard.runtime.generation.sampling import Sampler
from jacquard.sim.reference.interpreter import run_reference

_PRESENT = re.compile(r"present(\w*\.\d+\.\w+)")


def reference_tokens(
    prefill: onnx.ModelProto,
    decodes: Sequence[onnx.ModelProto],
    prompt: Sequence[int],
    count: int,
    sampler: Sampler,
) -> Iterator[tuple[int, np.ndarray]]:
    """`count` times a token and the logits float32[V] it was chosen by.

    Args:
      decodes: a QDQ graph for each bucket; the smallest cache with room does a step.
      prompt: ids that `Generator.check` takes.
    """
    ids = list(prompt)
    held = _shapes(prefill)["input_ids"][1]
    padded = np.zeros((1, held), np.int64)
    padded[0, : min(len(ids), held)] = ids[:held]
    outputs = run_reference(prefill, _read(prefill, input_ids=padded)).outputs
    cache = {name: rows for name, rows in outputs.items() if _PRESENT.fullmatch(name)}
    logits = outputs["logits"].reshape(-1, outputs["logits"].shape[-1])
    whole = len(logits) == held > 1
    done = min(len(ids), held)
    if len(ids) == held or (whole and len(ids) < held):
        row = logits[len(ids) - 1] if whole else logits[-1]
        ids.append(sampler.choose(row))
        yield ids[-1], row
    elif len(ids) < held:
        done -= 1  # the last id says what follows: through a decode step
    cache = {name: rows[:, :, :done] for name, rows in cache.items()}
    while len(ids) < len(prompt) + count:
        decode = min((d for d in decodes if _rows(d) > done), key=_rows)
        row, cache = _decode(decode, ids[done], done, cache)
        done += 1
        if done == len(ids):
            ids.append(sampler.choose(row))
            yield ids[-1], row


def _decode(
    decode: onnx.ModelProto, token: int, position: int, cache: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """One step: logits float32[V], and the cache with its row behind the others."""
    rows = _rows(decode)
    inputs = {}
    for name, shape in _shapes(decode).items():
        if name.startswith("past"):
            (found,) = [n for n in cache if n.partition(".")[2] == name.partition(".")[2]]
            inputs[name] = np.zeros(shape, np.float32)
            inputs[name][:, :, :position] = cache[found]
    mask = np.array([[int(i < position or i == rows) for i in range(rows + 1)]])
    given = _read(
        decode, input_ids=np.array([[token]]), position_ids=np.array([[position]]),
        attention_mask=mask,
    )
    outputs = run_reference(decode, {**inputs, **given}).outputs
    grown = {
        name: np.concatenate([held, outputs[name][:, :, -1:]], axis=2)
        for name, held in cache.items()
    }
    return outputs["logits"].reshape(-1), grown


def _rows(decode: onnx.ModelProto) -> int:
    """Rows of a decode graph's cache."""
    return next(shape[2] for name, shape in _shapes(decode).items() if name.startswith("past"))


def _read(model: onnx.ModelProto, **arrays: np.ndarray) -> dict[str, np.ndarray]:
    """Of the arrays, those that the model reads, in its dtypes."""
    dtypes = {v.name: v.type.tensor_type.elem_type for v in model.graph.input}
    if "position_ids" in dtypes and "position_ids" not in arrays:
        arrays["position_ids"] = np.arange(arrays["input_ids"].shape[1])[None]
    if "attention_mask" in dtypes and "attention_mask" not in arrays:
        arrays["attention_mask"] = np.ones(arrays["input_ids"].shape)
    return {
        name: array.astype(onnx.helper.tensor_dtype_to_np_dtype(dtypes[name]))
        for name, array in arrays.items()
        if name in dtypes
    }


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Shape of each input that is no constant."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in model.graph.input
        if value.name not in constants
    }
