"""Every stage run again, in a process with other hash seeds, gives the bytes of the build."""

from __future__ import annotations

import filecmp
import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path.cwd()  # the repository's root in the test's runfiles
MODELS = json.loads(os.environ["MODELS"])  # name -> like, kv_cache
CONFIGS = ("nano4", "edge16")


def again(tool: str, *arguments: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "OMP_NUM_THREADS": "2"}
    subprocess.run([ROOT / tool, *arguments], check=True, env=environment, cwd=ROOT)


def same(made: pathlib.Path, built: str) -> bool:
    return filecmp.cmp(made, ROOT / built, shallow=False)


@pytest.mark.parametrize("model", MODELS)
def test_models_are_filled_and_quantized_to_the_same_bytes(model, tmp_path):
    filled, quantized = tmp_path / "f.onnx", tmp_path / "q.onnx"
    graph = "--{}=benchmarks/models/graphs/{}.textproto"
    graphs, grids = [graph.format("graph", model)], []
    if like := MODELS[model]["like"]:
        graphs.append(graph.format("like", like))
        grids.append(f"--like=benchmarks/{like}.qdq.onnx")
    again("benchmarks/models/fill_main", *graphs, f"--output={filled}")
    assert same(filled, f"benchmarks/{model}.float.onnx")
    again("benchmarks/models/quantize_main", f"--model={filled}", *grids, f"--output={quantized}")
    filled.unlink()  # up to 440 MB
    assert same(quantized, f"benchmarks/{model}.qdq.onnx")


@pytest.mark.parametrize("model", MODELS)
def test_programs_are_compiled_to_the_same_bytes(model, tmp_path):
    program = tmp_path / "p.npu"
    again(
        "runtime/cli/compile", f"--model=benchmarks/{model}.qdq.onnx", "--config=edge16",
        f"--output={program}", f"--kv_cache={MODELS[model]['kv_cache']}",
    )
    assert same(program, f"benchmarks/{model}_edge16.npu")


@pytest.mark.parametrize("config", CONFIGS)
def test_packages_are_generated_to_the_same_bytes(config, tmp_path):
    package = tmp_path / "p.sv"
    again(
        "proto/codegen/main", "--isa=proto/isa/npu.textproto",
        f"--arch=proto/arch/{config}.textproto", "--emit=sv_arch", f"--output={package}",
    )
    assert same(package, f"proto/{config}/npu_arch_pkg.sv")
