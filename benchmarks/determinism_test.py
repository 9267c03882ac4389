"""Every stage run again, in a process with other hash seeds, gives the bytes that the build gave."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path.cwd()  # the repository's root in the test's runfiles
MODELS = ("lenet", "tinyresnet", "resnet50")
CONFIGS = ("nano4", "edge16")


def again(tool: str, *arguments: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "OMP_NUM_THREADS": "2"}
    subprocess.run([ROOT / tool, *arguments], check=True, env=environment, cwd=ROOT)


@pytest.mark.parametrize("model", MODELS)
def test_models_are_filled_and_quantized_to_the_same_bytes(model, tmp_path):
    filled, quantized = tmp_path / "f.onnx", tmp_path / "q.onnx"
    graph = f"benchmarks/models/graphs/{model}.textproto"
    again("benchmarks/models/fill_main", f"--graph={graph}", f"--output={filled}")
    assert filled.read_bytes() == (ROOT / f"benchmarks/{model}.float.onnx").read_bytes()
    again("benchmarks/models/quantize_main", f"--model={filled}", f"--output={quantized}")
    assert quantized.read_bytes() == (ROOT / f"benchmarks/{model}.qdq.onnx").read_bytes()


@pytest.mark.parametrize("model", MODELS)
def test_programs_are_compiled_to_the_same_bytes(model, tmp_path):
    program = tmp_path / "p.npu"
    again(
        "runtime/cli/compile", f"--model=benchmarks/{model}.qdq.onnx", "--config=edge16",
        f"--output={program}",
    )
    assert program.read_bytes() == (ROOT / f"benchmarks/{model}_edge16.npu").read_bytes()


@pytest.mark.parametrize("config", CONFIGS)
def test_packages_are_generated_to_the_same_bytes(config, tmp_path):
    package = tmp_path / "p.sv"
    again(
        "proto/codegen/main", "--isa=proto/isa/npu.textproto",
        f"--arch=proto/arch/{config}.textproto", "--emit=sv_arch", f"--output={package}",
    )
    assert package.read_bytes() == (ROOT / f"proto/{config}/npu_arch_pkg.sv").read_bytes()
