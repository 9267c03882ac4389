"""Where every tensor lies in DRAM: layouts, tensors that share bytes, and the memory plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from jacquard.compiler.codelets.base import NARROW, clamped
from jacquard.compiler.codelets.registry import codelets
from jacquard.compiler.dram.plan import plan as plan_dram
from jacquard.compiler.dram.validate import validate
from jacquard.compiler.graph.ir import Graph, Op, QTensor
from jacquard.compiler.tile.ir import CACHE_ARG, POSITION_ARG, SCRATCH_ARG, Argument
from jacquard.compiler.tile.kept import Keep
from jacquard.compiler.tile.lowering import Packed, Reading, Stored, blocked
from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.arch import Arch

RESHAPES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
SCRATCH = "scratch"  # name of the activations' segment
CONSTANTS = "constants"
WEIGHTS = "weights"
CACHE = "cache"
ALIGNMENT = 64  # of tensors, in bytes
PROTO_DTYPES = {
    "int8": pb.Tensor.INT8, "uint8": pb.Tensor.UINT8, "int16": pb.Tensor.INT16,
    "uint16": pb.Tensor.UINT16, "int32": pb.Tensor.INT32,
}


@dataclasses.dataclass(frozen=True)
class Storage:
    """The result: places by tensor, the tensors' protos, and the plan."""

    places: dict[str, Stored | Packed]
    tensors: dict[str, pb.Tensor]
    plan: pb.MemoryPlan
    scratch_bytes: int
    cache_bytes: int
    arguments: tuple[Argument, ...]


def same_bytes(op: Op, graph: Graph) -> bool:
    """Whether the op's output is its input's bytes under another shape."""
    if op.kind not in RESHAPES or clamped(op):
        return False
    x, y = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    if x.grid != y.grid or x.data is not None:
        return False
    if (x.view.channels, x.view.positions) != (y.view.channels, y.view.positions):
        return False
    return x.image == y.image or x.view.positions == 1 or x.view.channels == 1


def _packed_inputs(graph: Graph, arch: Arch) -> set[str]:
    """Graph inputs with few channels that only one convolution reads: those lie packed."""
    consumers = graph.consumers()
    found = set()
    for name in graph.inputs.values():
        readers = consumers[name]
        if len(readers) != 1 or name in graph.outputs.values():
            continue
        op, view = graph.ops[readers[0]], graph.tensors[name].view
        if op.kind != "Conv" or op.attrs["groups"] != 1 or len(op.inputs) != 1:
            continue
        if op.attrs["window"].dilations == (1, 1) and 2 * view.channels <= arch.rows:
            found.add(name)
    return found


def store(
    graph: Graph, arch: Arch, readings: Mapping[str, Reading], keeps: Mapping[str, Keep]
) -> Storage:
    """Lays out and plans every tensor that is written on the device or bound by the host.

    readings: by a product's result (passes/readings.py). keeps: by a result that stays in IBUF
    (passes/kept.py); one that is nowhere else has a form and no place here. The others live as
    long as if they were read here: until the comparison of layers has seen them.
    """
    roots: dict[str, str] = {}
    layers: list[Op] = []
    states = _states(graph, arch)
    first: dict[str, int] = {name: 0 for name in graph.inputs.values()}
    last: dict[str, int] = {}

    inside = {name for name, keep in keeps.items() if not keep.stored}

    def root(name: str) -> str:
        return roots.get(name, name)

    for op in graph.ops:
        if same_bytes(op, graph):
            roots[op.outputs[0]] = root(op.inputs[0])
            continue
        behind = readings.get(op.outputs[0], Reading()).behind
        if codelets()[op.kind].streams is not None:
            behind = 1
        for name in op.inputs:
            if name in states or name in inside:
                continue
            last[root(name)] = max(last.get(root(name), 0), len(layers) + behind)
        for name in op.outputs:
            if name in states or name in inside:
                continue
            first[name] = len(layers)
            last.setdefault(name, len(layers))
        layers.append(op)
    for name in graph.outputs.values():
        last[root(name)] = max(len(layers) - 1, 0)
    packed = _packed_inputs(graph, arch)
    sizes: dict[str, int] = {}
    for name in first:
        tensor = graph.tensors[name]
        if name in packed:
            sizes[name] = _packed(tensor, graph, 0).size_bytes
        else:
            sizes[name] = blocked(SCRATCH_ARG, 0, tensor, arch.rows).size_bytes
    live = [(name, sizes[name], first[name], last.get(name, first[name]) + 1) for name in first]
    plan = plan_dram(live, alignment=ALIGNMENT)
    mistakes = validate(plan, live)
    if mistakes:  # ours, not the user's
        raise AssertionError("\n".join(mistakes))
    offsets = plan.offsets()
    places: dict[str, Stored | Packed] = {}
    for name in (*first, *roots):
        tensor, offset = graph.tensors[name], offsets[root(name)]
        if name in packed:
            places[name] = _packed(tensor, graph, offset)
        else:
            places[name] = blocked(SCRATCH_ARG, offset, tensor, arch.rows)
    message = pb.MemoryPlan(
        naive_bytes=plan.naive_bytes, lower_bound_bytes=plan.lower_bound_bytes,
        greedy_bytes=plan.greedy_bytes, planned_bytes=plan.planned_bytes,
    )
    for allocation in plan.allocations:
        t = allocation.tensor
        message.allocations.add(
            tensor=t.name, offset_bytes=allocation.offset_bytes, size_bytes=t.size_bytes,
            first_layer=t.first_layer, end_layer=t.end_layer,
        )
    tensors = {name: _proto(graph.tensors[name], place) for name, place in places.items()}
    for name in inside:
        places[name] = blocked(SCRATCH_ARG, 0, graph.tensors[name], arch.rows)
    for name, place in states.items():
        tensors[name] = _proto(graph.tensors[name], place)
        tensors[name].segment = CACHE
        tensors[name].layout.kind = pb.Layout.ROWS
        tensors[name].layout.row_bytes = place.step
    row = next((place.step for place in states.values()), 0)
    rows = 0 if graph.state is None else graph.state.rows
    return Storage({**places, **states}, tensors, message, plan.planned_bytes, rows * row,
                   _arguments(graph, row))


def _states(graph: Graph, arch: Arch) -> dict[str, Stored]:
    """State tensors side by side: row p of their segment is row p of each of them.

    So a cache of fewer rows is the beginning of one of more, and rows stay where they are.
    """
    if graph.state is None:
        return {}
    found: dict[str, Stored] = {}
    block, row = arch.rows, 0
    for name in graph.state.tensors.values():
        tensor = graph.tensors[name]
        assert tensor.grid.dtype in NARROW and tensor.view.positions == graph.state.rows, name
        channels = tensor.view.channels
        found[name] = Stored(CACHE_ARG, row, channels, 1, graph.state.rows, block, 0, block)
        row += -(-channels // block) * block
    row = -(-row // ALIGNMENT) * ALIGNMENT
    return {
        name: dataclasses.replace(place, step=row, row_bytes=row * graph.state.rows)
        for name, place in found.items()
    }


def _arguments(graph: Graph, row_bytes: int) -> tuple[Argument, ...]:
    """The registers that say which row of the states a run writes."""
    if graph.state is None or not graph.state.argument:
        return ()
    return (Argument(graph.state.argument, POSITION_ARG, CACHE_ARG, row_bytes, graph.state.rows),)


def _packed(tensor: QTensor, graph: Graph, offset: int) -> Packed:
    reader = next(op for op in graph.ops if tensor.name in op.inputs)
    top, left, bottom, right = reader.attrs["window"].pads
    view = tensor.view
    row = (left + view.width + right) * view.channels
    return Packed(SCRATCH_ARG, offset, view.channels, view.height, view.width,
                  (top, left, bottom, right), -(-row // 16) * 16)


def _proto(tensor: QTensor, place: Stored | Packed) -> pb.Tensor:
    layout = pb.Layout(channels=place.channels, height=place.height, width=place.width,
                       features_last=tensor.features_last)
    if isinstance(place, Packed):
        layout.kind = pb.Layout.PACKED
        layout.pad_top, layout.pad_left, layout.pad_bottom, layout.pad_right = place.pads
        layout.row_bytes = place.row_bytes
    else:
        layout.kind = pb.Layout.BLOCKED
        layout.block = place.block
    return pb.Tensor(
        name=tensor.name, shape=tensor.shape, dtype=PROTO_DTYPES[tensor.grid.dtype],
        scale=tensor.grid.scale, zero_point=tensor.grid.zero_point, segment=SCRATCH,
        offset_bytes=place.offset, size_bytes=place.size_bytes, layout=layout,
        scales=tensor.grid.scales, axis=tensor.axis,
    )
