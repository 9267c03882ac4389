"""Graph rewrites that save work and keep every rounding of the QDQ graph."""

from __future__ import annotations

import dataclasses

import numpy as np

from jacquard.compiler.codelets.base import clamped
from jacquard.compiler.codelets.registry import codelets
from jacquard.compiler.graph.ir import Graph, Op
from jacquard.compiler.main import CompileOptions
from jacquard.compiler.tile.operand import Window
from jacquard.compiler.tile.pooled import feasible
from jacquard.proto.lib.arch import Arch
from jacquard.proto.lib.fixed_point import requantization_scale


def _fusible(op: Op, options: CompileOptions) -> bool:
    override = options.overrides.get(op.name)
    return options.fuse and (override is None or not override.apart)


class _Work:
    """A graph in the course of fusion: `ops` with None where an op has joined another."""

    def __init__(self, graph: Graph, options: CompileOptions) -> None:
        self._graph, self._options = graph, options
        self._producers = {name: i for i, op in enumerate(graph.ops) for name in op.outputs}
        self._consumers = graph.consumers()
        self._outputs = set(graph.outputs.values())
        self.ops: list[Op | None] = list(graph.ops)

    def only_reader(self, name: str) -> int | None:
        """The one op that reads a tensor; None where it is an output of the graph too."""
        readers = self._consumers[name]
        return readers[0] if len(readers) == 1 and name not in self._outputs else None

    def product(self, name: str, reader: Op) -> int | None:
        """The convolution or product that makes a tensor for `reader` alone and may be joined: one
        with weights, whose accumulators still have one way to go."""
        at = self._producers.get(name)
        producer = None if at is None else self.ops[at]
        if (
            producer is None
            or self.only_reader(name) is None
            or "weights" not in producer.attrs
            or {"residual_scales", "lookup"} & producer.attrs.keys()
            or not (_fusible(producer, self._options) and _fusible(reader, self._options))
        ):
            return None
        return at

    def graph(self) -> Graph:
        """What has become of it."""
        ops = tuple(op for op in self.ops if op is not None)
        return dataclasses.replace(self._graph, ops=ops)


def fold_flatten(graph: Graph, options: CompileOptions, arch: Arch) -> Graph:
    """Flatten + Gemm becomes a convolution with the image's size as kernel: no byte is moved.

    Flatten orders features channel by channel, DRAM position by position; the weights are permuted
    instead of the activations.
    """
    del arch
    producers = {name: op for op in graph.ops for name in op.outputs}
    ops = []
    for op in graph.ops:
        source = producers.get(op.inputs[0]) if op.inputs else None
        if (
            op.kind == "Gemm"
            and source is not None
            and source.kind in ("Flatten", "Reshape")
            and _fusible(source, options)
            and not clamped(source)
        ):
            x, flat = graph.tensors[source.inputs[0]], graph.tensors[op.inputs[0]]
            view = x.view
            if (
                x.image
                and x.shape[0] == 1
                and flat.shape == (1, int(np.prod(x.shape)))
                and x.grid == flat.grid
                and view.positions > 1
            ):
                weights = op.attrs["weights"]
                q = weights.q.reshape(-1, view.channels, view.height, view.width)
                attrs = {
                    **op.attrs,
                    "weights": dataclasses.replace(weights, q=np.ascontiguousarray(q)),
                    "window": Window((view.height, view.width)),
                }
                ops.append(
                    dataclasses.replace(op, inputs=(x.name, *op.inputs[1:]), attrs=attrs,
                                        nodes=(*source.nodes, *op.nodes))
                )
                continue
        ops.append(op)
    return dataclasses.replace(graph, ops=tuple(ops))


def fuse_add(graph: Graph, options: CompileOptions, arch: Arch) -> Graph:
    """A convolution or product whose only reader is an Add requantizes, then adds, on chip.

    The convolution keeps its own rounding and clamp; the sum gets its own behind it. The
    convolution moves to the Add's place in the order, where the other operand is known.
    """
    del arch
    work = _Work(graph, options)
    for index, op in enumerate(graph.ops):
        if op.kind != "Add" or len(op.inputs) != 2 or not op.attrs.get("plain"):
            continue
        a, b = (graph.tensors[name] for name in op.inputs)
        if a.shape != b.shape or a.name == b.name or b.data is not None or a.data is not None:
            continue
        if graph.tensors[op.outputs[0]].grid.scales:  # one multiplier per lane serves the sum alone
            continue
        products = ((work.product(name, op), name) for name in op.inputs)
        candidates = [(at, name) for at, name in products if at is not None]
        if not candidates:
            continue
        at, name = max(candidates)  # the later one: the other operand is stored before it
        producer = work.ops[at]
        assert producer is not None
        other = next(n for n in op.inputs if n != name)
        own, result = graph.tensors[name], graph.tensors[op.outputs[0]]
        # The multipliers' order is the Add's own: they share one shift.
        scales = np.asarray([
            float(requantization_scale([np.float64(graph.tensors[n].grid.scale)],
                                       np.float64(result.grid.scale)))
            for n in (name, other)
        ])
        work.ops[at] = None
        work.ops[index] = dataclasses.replace(
            producer,
            inputs=(producer.inputs[0], other),
            outputs=op.outputs,
            attrs={**producer.attrs, "residual_scales": scales, "own_output": own,
                   "own_lo": producer.lo, "own_hi": producer.hi},
            lo=op.lo, hi=op.hi,
            nodes=(*producer.nodes, *op.nodes),
        )
    return work.graph()


def fuse_table(graph: Graph, options: CompileOptions, arch: Arch) -> Graph:
    """A table function whose operand only it reads is looked up while that operand is requantized.

    Both roundings stay; the look-up costs no pass of its own.
    """
    del arch
    work = _Work(graph, options)
    for index, op in enumerate(graph.ops):
        table = codelets()[op.kind].table
        at = None if table is None else work.product(op.inputs[0], op)
        if table is None or at is None:
            continue
        own, result = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
        stage = table(op, own.grid, result.grid)
        if stage is None or not stage.plain or own.view != result.view:
            continue
        producer = work.ops[at]
        assert producer is not None
        work.ops[at] = None
        work.ops[index] = dataclasses.replace(
            producer,
            outputs=op.outputs,
            attrs={**producer.attrs, "lookup": stage, "own_output": own, "own_lo": producer.lo,
                   "own_hi": producer.hi},
            lo=op.lo, hi=op.hi,
            nodes=(*producer.nodes, *op.nodes),
        )
    return work.graph()


def fuse_narrow(graph: Graph, options: CompileOptions, arch: Arch) -> Graph:
    """A requantization to 8 bits joins the operator over rows that makes its operand.

    The operand is an output too, where something else reads it; the second output is the narrow one.
    """
    del arch
    work, consumers = _Work(graph, options), graph.consumers()
    for index, op in enumerate(graph.ops):
        if not codelets()[op.kind].narrows or len(op.outputs) != 1:
            continue
        for reader in consumers[op.outputs[0]]:
            narrow = graph.ops[reader]
            if narrow.kind != "QuantizeLinear" or clamped(narrow):
                continue
            if not (_fusible(op, options) and _fusible(narrow, options)):
                continue
            work.ops[reader] = None
            work.ops[index] = dataclasses.replace(
                op, outputs=(*op.outputs, *narrow.outputs), nodes=(*op.nodes, *narrow.nodes)
            )
            break
    return work.graph()


def fuse_pool(graph: Graph, options: CompileOptions, arch: Arch) -> Graph:
    """A convolution whose only reader is a MaxPool keeps its result on chip, where that fits."""
    work = _Work(graph, options)
    for index, op in enumerate(graph.ops):
        if op.kind != "Conv" or len(op.inputs) != 1 or "lookup" in op.attrs:
            continue
        reader = work.only_reader(op.outputs[0])
        if reader is None or graph.ops[reader].kind != "MaxPool":
            continue
        pool = graph.ops[reader]
        own, result = graph.tensors[op.outputs[0]], graph.tensors[pool.outputs[0]]
        window = pool.attrs["window"]
        tiles = -(-own.view.channels // arch.cols)
        fits = feasible(window, own.view.width, tiles, result.view.width, arch.vmem_bytes,
                        arch.lanes, arch.obuf_half_rows)
        loaded = 2 * _input_rows(op, graph, window.strides[0], arch)
        if not fits or loaded > arch.ibuf_rows:
            continue
        if not (_fusible(op, options) and _fusible(pool, options)):
            continue
        work.ops[index] = None
        work.ops[reader] = dataclasses.replace(
            op,
            outputs=pool.outputs,
            attrs={**op.attrs, "own_output": own, "own_lo": op.lo, "own_hi": op.hi,
                   "pool_window": window},
            lo=pool.lo, hi=pool.hi,
            nodes=(*op.nodes, *pool.nodes),
        )
    return work.graph()


def _input_rows(op: Op, graph: Graph, height: int, arch: Arch) -> int:
    """IBUF rows of the least that is loaded at once for `height` whole rows of a convolution:
    one channel tile, or all of a packed graph input's."""
    window, x, y = op.attrs["window"], graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    (ky, kx), (sy, sx), (dy, dx) = window.kernel, window.strides, window.dilations
    rows, width = (height - 1) * sy + (ky - 1) * dy + 1, y.view.width
    packed = -(-kx * x.view.channels // arch.rows) * rows * width
    found: int = max(packed if 2 * x.view.channels <= arch.rows else 0,
                     rows * ((width - 1) * sx + (kx - 1) * dx + 1))
    return found


def drop_dead(graph: Graph, options: CompileOptions, arch: Arch) -> Graph:
    """Removes ops whose results nothing reads, and tensors that nothing names."""
    del options, arch
    needed = set(graph.outputs.values())
    if graph.state is not None:
        needed.update(graph.state.tensors.values())
    ops: list[Op] = []
    for op in reversed(graph.ops):
        if any(name in needed for name in op.outputs):
            needed.update(op.inputs)
            ops.append(op)
    ops.reverse()
    named = needed | set(graph.inputs.values()) | {n for op in ops for n in op.outputs}
    tensors = {name: t for name, t in graph.tensors.items() if name in named}
    return dataclasses.replace(graph, ops=tuple(ops), tensors=tensors)
