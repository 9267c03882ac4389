"""ResNet50 through the whole chip: compile for edge16, run in RTL, check bit for bit, report."""

from __future__ import annotations

import pathlib

from jacquard.runtime.cli import main
from jacquard.runtime.cli.entry import start
from jacquard.runtime.device.files import repo_file

REPORT = "resnet50_edge16_rtl_report.json"


def demo_arguments(report: pathlib.Path) -> list[str]:
    """The `jacquard run` that the demo is."""
    return [
        "run",
        f"--model={repo_file('benchmarks/resnet50.qdq.onnx')}",
        f"--float_model={repo_file('benchmarks/resnet50.float.onnx')}",
        "--config=edge16",
        "--backend=rtl",
        f"--report={report}",
    ]


def demo(argv: list[str]) -> int:
    """Runs it; the report goes to the current folder. Takes no arguments but `run`'s own."""
    return main.main(demo_arguments(pathlib.Path.cwd() / REPORT) + argv)


if __name__ == "__main__":
    start(demo)
