"""Where compiling takes its time: QDQ models in, Programs out, pass by pass, in one process.

    ./bazelw run //benchmarks:compile_times -- --config edge16 --config server64

Imports are not counted: a model is compiled before the first clock starts. Reading the file is not
either. Seconds are the processor's, which other work beside it lengthens least; of several rounds
the fastest counts.
"""

from __future__ import annotations

import json
import pathlib
import sys
import time

import onnx
import rich.box
import rich.table
from absl import flags

from jacquard.compiler.main import CompileOptions, compile_model
from jacquard.proto.lib.arch import load_config
from jacquard.proto.lib.errors import UserError
from jacquard.runtime.cli import screen
from jacquard.runtime.cli.entry import guarded

# Passes of compiler/passes/pipeline.py; the rest of them add up.
_REST = "graph passes"
COLUMNS = ("import", _REST, "lower", "tokens", "order", "digest", "link", "check")


def measured(model: onnx.ModelProto, config: str, kv_cache: bool, rounds: int) -> dict[str, float]:
    """Seconds by column of the fastest round, "total" and "instructions" among them."""
    arch = load_config(config)
    best: dict[str, float] = {}
    for _ in range(rounds):
        passes: dict[str, float] = {}
        started = time.process_time()
        program = compile_model(
            model, arch, CompileOptions(kv_cache=kv_cache, clock=passes.__setitem__)
        )
        total = time.process_time() - started
        if not best or total < best["total"]:
            best = {"instructions": program.instruction_count, "total": total}
            best |= {column: passes.pop(column) for column in COLUMNS if column != _REST}
            best[_REST] = sum(passes.values())
    return best


def stateful(model: onnx.ModelProto) -> bool:
    """Whether it is a stage of a decoder: it takes past keys, or gives present ones."""
    names = [value.name for value in (*model.graph.input, *model.graph.output)]
    return any(name.startswith(("past.", "present.")) for name in names)


def main(argv: list[str]) -> int:
    values = flags.FlagValues()
    flags.DEFINE_multi_string("model", [], "QDQ models", flag_values=values)
    flags.DEFINE_multi_string("config", ["edge16"], "configurations", flag_values=values)
    flags.DEFINE_integer("rounds", 1, "of which the fastest counts", 1, flag_values=values)
    flags.DEFINE_string("json", None, "file for the same figures", flag_values=values)
    values(["compile_times", *argv])
    if not values["model"].value:
        raise UserError("--model: a QDQ model must be given")
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, title="compiling, seconds of one core")
    for heading in ("model", "config", "instructions", "total", *COLUMNS):
        table.add_column(heading, justify="left" if heading in ("model", "config") else "right")
    found, warm = [], False
    for path in values["model"].value:
        model = onnx.load(path)
        name = pathlib.Path(path).name.removesuffix(".onnx").removesuffix(".qdq")
        for config in values["config"].value:
            if not warm:
                compile_model(model, load_config(config), CompileOptions(kv_cache=stateful(model)))
                warm = True
            with screen.status(f"{name} for {config}"):
                row = measured(model, config, stateful(model), values["rounds"].value)
            found.append({"model": name, "config": config, **row})
            table.add_row(
                name, config, f"{row['instructions']:,}", f"{row['total']:.2f}",
                *(f"{row[column]:.2f}" for column in COLUMNS),
            )
        del model  # up to 200 MB
    screen.print_table(table)
    if values["json"].value:
        pathlib.Path(values["json"].value).write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
