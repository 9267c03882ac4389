"""What a person sees: progress on a terminal (nothing elsewhere), tables, summaries."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import rich.box
import rich.console
import rich.progress
import rich.table

from jacquard.proto import program_pb2 as pb
from jacquard.proto import report_pb2
from jacquard.runtime.device.base import Progress

# A file or a pipe has no width to fit into: figures there are whole.
_console = rich.console.Console(width=None if sys.stdout.isatty() else 140)
_errors = rich.console.Console(stderr=True)


def print_line(text: str) -> None:
    """Plain text on standard output, unstyled and unwrapped."""
    _console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def status(text: str) -> Iterator[None]:
    """A spinner while something takes a while; nothing where nobody looks."""
    if not _errors.is_terminal:
        yield
        return
    with _errors.status(text):
        yield


def progress_bar(*columns: rich.progress.ProgressColumn) -> rich.progress.Progress:
    """A bar on standard error; nothing where nobody looks."""
    return rich.progress.Progress(
        *columns, console=_errors, transient=True, disable=not _errors.is_terminal
    )


def print_table(table: rich.table.Table) -> None:
    """On standard output."""
    _console.print(table)


class RunProgress:
    """Progress bar of a run: layer, percent, simulated kHz, time left.

    The percentage weighs each layer by its floor cycles, spread evenly over its instructions.
    """

    def __init__(self, program: pb.Program, backend: str) -> None:
        self._names = [layer.name for layer in program.layers]
        self._ends = np.array([layer.end_instruction for layer in program.layers])
        starts = np.array([layer.first_instruction for layer in program.layers])
        self._starts, self._total = starts, float(sum(x.floor_cycles for x in program.layers) or 1)
        self._floors = np.array([float(x.floor_cycles) for x in program.layers])
        self._before = np.concatenate([[0.0], np.cumsum(self._floors)])
        self._bar = progress_bar(
            rich.progress.TextColumn("{task.fields[layer]}"),
            rich.progress.BarColumn(),
            rich.progress.TaskProgressColumn(),
            rich.progress.TextColumn("{task.fields[rate]}"),
            rich.progress.TimeRemainingColumn(),
        )
        self._task = self._bar.add_task(backend, total=self._total, layer=backend, rate="")
        self._start = time.monotonic()

    def __enter__(self) -> RunProgress:
        self._bar.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        index = int(np.searchsorted(self._ends, progress.instruction, side="right"))
        if index >= len(self._names):
            return
        span = max(self._ends[index] - self._starts[index], 1)
        inside = max(progress.instruction - self._starts[index], 0) / span
        done = self._before[index] + inside * self._floors[index]
        seconds = time.monotonic() - self._start
        rate = f"{progress.cycle / seconds / 1e3:,.0f} kHz" if progress.cycle and seconds else ""
        self._bar.update(
            self._task, completed=min(done, self._total), layer=self._names[index][-32:], rate=rate
        )


def print_layers(report: report_pb2.Report) -> None:
    """The table per layer."""
    table = rich.table.Table(
        box=rich.box.SIMPLE_HEAD, title=f"{report.model} on {report.config} ({report.backend})"
    )
    table.add_column("layer", overflow="ellipsis", max_width=40)  # gives way before the figures
    table.add_column("op", no_wrap=True)
    for name in ("cycles", "floor", "MACs", "array", "read", "written"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("bits", no_wrap=True)
    for layer in report.layers:
        table.add_row(
            layer.name[-40:],
            layer.op,
            f"{layer.cycles:,}",
            f"{layer.floor_cycles:,}",
            f"{layer.macs:,}",
            f"{100 * layer.array_utilization:.0f} %",
            f"{layer.dram_read_bytes:,}",
            f"{layer.dram_write_bytes:,}",
            layer.output_check,
        )
    _console.print(table)


def print_summary(report: report_pb2.Report, judges_top1: bool, path: str | None) -> None:
    """A few lines: exactness, cycles against the floors, speed, where the report lies."""
    if report.bit_exact_judged:
        exact = "bit-exact with the integer reference" if report.bit_exact else "NOT bit-exact"
        compared = f"{report.elements_compared:,} elements of outputs and layers compared"
        print_line(f"{exact} ({compared})")
    else:
        print_line("times alone: there are no outputs, bit-exactness was not judged")
    if report.cycles:
        floors = ", ".join(
            f"{report.cycles / bound:.3f} x the {name} ({bound:,})"
            for name, bound in (
                ("layer floor", report.layer_floor_cycles),
                ("roofline", report.roofline_cycles),
            )
            if bound
        )
        used = f"array used {100 * report.array_utilization:.1f} %"
        print_line(f"{report.cycles:,} cycles: {floors}; {used}")
        built = report.simulator_build_seconds
        print_line(
            f"simulated at {report.simulated_hz / 1e3:,.0f} kHz in {report.wall_seconds:.1f} s"
            + (f"; the simulator was built in {built:.1f} s" if built else "")
        )
    else:
        print_line(f"ran in {report.wall_seconds:.1f} s")
    memory = report.memory
    print_line(
        f"DRAM: {memory.planned_bytes:,} bytes of activations (live at most "
        f"{memory.lower_bound_bytes:,}, greedy by size {memory.greedy_bytes:,}, without reuse "
        f"{memory.naive_bytes:,}); {memory.spilled_bytes:,} spilled, "
        f"{memory.refetched_bytes + memory.other_refetched_bytes:,} fetched again"
    )
    for output in report.outputs:
        place = f"{output.name}, against" if len(report.outputs) > 1 else "against"
        accuracy = f"{place} onnxruntime on the QDQ graph: at most {output.max_lsb_error} LSB"
        if output.bits != 8:
            accuracy += f" of {output.bits} bits"
        if judges_top1:
            accuracy += f", {output.top1} top-1"
        if output.sqnr_db:
            accuracy += f"; SQNR against float {output.sqnr_db:.2f} dB, "
            accuracy += f"onnxruntime's {output.sqnr_db_onnxruntime:.2f} dB"
        print_line(accuracy)
    if report.host_nodes:
        print_line(f"on the host: {len(report.host_nodes)} nodes of the model's inputs")
    if path:
        print_line(f"report: {path}")


def _described(tensor: pb.Tensor) -> str:
    """Dtype, shape and meaning of an input or output, made for a line."""
    text = f"{pb.Tensor.Dtype.Name(tensor.dtype).lower()}{list(tensor.shape)}"
    if tensor.role == pb.Tensor.INDEX:
        return f"{text} indices below {tensor.limit}"
    if tensor.role == pb.Tensor.MASK:
        moved = f", the host's last element at {tensor.position_argument}"
        return f"{text} mask, 0 or -2^30{moved * bool(tensor.position_argument)}"
    if tensor.scales:
        text += f" {len(tensor.scales)} scales along {tensor.axis}, {min(tensor.scales):.6g} to"
        return f"{text} {tensor.scale:.6g}, zero point {tensor.zero_point}"
    return f"{text} scale {tensor.scale:.6g} zero point {tensor.zero_point}"


def print_program(
    program: pb.Program, host_inputs: Mapping[str, str], sources: Mapping[str, Sequence[str]]
) -> None:
    """What a program file holds.

    Args:
      host_inputs: inputs of the host's part, each with its dtype and shape.
      sources: results of the host's part, each with the inputs that it is made of.
    """
    print_line(
        f"{program.model} for {program.config} ({program.fingerprint:016x}): "
        f"{program.instruction_count} instructions in {len(program.code)} bytes"
    )
    for name, text in host_inputs.items():
        print_line(f"input {name}: {text}, read by the host")
    for t in program.inputs:
        if t.name in sources:
            made_of = ", ".join(sources[t.name])
            print_line(f"made by the host of {made_of}: {t.name}: {_described(t)}")
        else:
            print_line(f"input {t.name}: {_described(t)}")
    for t in program.outputs:
        print_line(f"output {t.name}: {_described(t)}")
    for name, count in {a.name: a.count for a in program.arguments}.items():
        print_line(f"argument {name}: a number from 0 to {count - 1}, given with each run")
    for t in program.states:
        print_line(f"state {t.name}: {_described(t)}")
    for node in program.host_nodes:
        print_line(f"host node {node.name}: {node.op}: {node.reason}")
    plan = program.memory_plan
    print_line(
        f"activations: {plan.planned_bytes} bytes planned, {plan.greedy_bytes} greedy by size, "
        f"{plan.lower_bound_bytes} live at most, {plan.naive_bytes} without reuse"
    )
    if program.states:
        kept = sum(s.size_bytes for s in program.segments if s.kind == pb.Segment.STATE)
        print_line(f"states: {kept} bytes kept from run to run")
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    for name in ("layer", "op", "instructions", "MACs", "floor cycles", "output"):
        table.add_column(name, justify="right" if name not in ("layer", "op", "output") else "left")
    for layer in program.layers:
        table.add_row(
            layer.name,
            layer.op,
            f"{layer.first_instruction}..{layer.end_instruction}",
            f"{layer.macs:,}",
            f"{layer.floor_cycles:,}",
            f"{list(layer.output.shape)}",
        )
    _console.print(table)
