"""Key and value caches that stay in device memory: rows of them are written in place.

A decode graph takes past keys and values as inputs, appends this step's row and gives the result
back. With CompileOptions.kv_cache the rows live in state tensors of as many rows as the past has;
a run writes one of them, at the run-time argument `position`, and attention reads them all. Which
of them count says the mask, whose last element, the new row's, the host puts where that row is.
The order of keys does not matter to attention, so the result is that of the graph whose past
lacks the overwritten row.

A prefill gives keys and values as outputs present.N.key, present.N.value; with kv_cache they are
rows 0 and on of states past.N.key, past.N.value instead: the product that makes them stores them
there. States of both kinds of graph stand in the order of N, keys before values, so their rows
are the same bytes.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from jacquard.compiler.codelets.base import NARROW, clamped
from jacquard.compiler.graph.ir import Graph, Op, QTensor, State
from jacquard.proto.lib.errors import UserError, raise_if_any

POSITION = "position"  # the run-time argument
_NAMES = re.compile(r"(?:past|present)\w*\.(\d+)\.(key|value)")
_WAY = "use --nokv_cache"


def in_order(names: Iterable[str]) -> list[str]:
    """By layer, keys before values; names that say neither stay behind, as they come."""
    def key(name: str) -> tuple[float, str]:
        found = _NAMES.fullmatch(name)
        return (int(found[1]), found[2]) if found else (math.inf, "")

    return sorted(names, key=key)


@dataclasses.dataclass(frozen=True)
class Cache:
    """One Concat of a decode graph.

    Attributes:
      op: its index. present: its result. past: the tensor of the graph input `source`.
      new: this step's row, [.., heads, 1, depth].
      heads, rows, depth: of the past.
    """

    op: int
    present: str
    source: str
    past: str
    new: str
    heads: int
    rows: int
    depth: int

    @property
    def state(self) -> str:
        """Name of the state tensor, [1, rows, heads * depth]."""
        return f"{self.present}.state"

    def tensor(self, graph: Graph) -> QTensor:
        """The state tensor."""
        grid = graph.tensors[self.past].grid
        return QTensor(self.state, (1, self.rows, self.heads * self.depth), grid, axis=2)


def find(graph: Graph) -> dict[str, Cache]:
    """Caches by the name of the appended tensor."""
    sources = {tensor: name for name, tensor in graph.inputs.items()}
    readers = graph.consumers()
    found = {}
    for index, op in enumerate(graph.ops):
        if op.kind != "Concat" or len(op.inputs) != 2 or op.inputs[0] not in sources or clamped(op):
            continue
        past, new = (graph.tensors[name] for name in op.inputs)
        present = graph.tensors[op.outputs[0]]
        if len(past.shape) != 4 or past.shape[0] != 1 or len(readers[past.name]) != 1:
            continue
        heads, rows, depth = past.shape[1:]
        whole = np.arange(heads * rows * depth).reshape(past.shape)
        row = whole.size + np.arange(heads * depth).reshape(1, heads, 1, depth)
        same_grid = past.grid == new.grid == present.grid
        if new.shape != row.shape or not same_grid or past.grid.dtype not in ("int8", "uint8"):
            continue
        if np.array_equal(op.attrs["maps"][0], np.concatenate([whole, row], axis=2)):
            found[present.name] = Cache(index, present.name, sources[past.name], past.name,
                                        new.name, heads, rows, depth)
    return found


def with_state(graph: Graph, caches: Mapping[str, Cache], used: set[str], masks: set[str]) -> Graph:
    """The graph with its caches as state, after every attention has become a reader of them.

    Args:
      used: the appended tensors whose readers read the state instead.
      masks: the mask tensors of those readers.

    Raises:
      UserError: a graph without caches, or one whose caches are not all used so.
    """
    problems = list(_problems(graph, caches, used, masks))
    if problems:
        raise UserError(problems)
    sources = {cache.source for cache in caches.values()}
    rows = next(iter(caches.values())).rows
    tensors = dict(graph.tensors)
    for name in masks:
        tensors[name] = dataclasses.replace(tensors[name], shape=(*tensors[name].shape[:-1], rows))
    for cache in caches.values():
        tensors[cache.state] = cache.tensor(graph)
    outputs = {n: t for n, t in graph.outputs.items() if t not in caches}
    by_tensor = {tensor: name for name, tensor in graph.inputs.items()}
    by_source = {cache.source: cache.state for cache in caches.values()}
    state = State(POSITION, rows, {name: by_source[name] for name in in_order(by_source)},
                  tuple(sorted(by_tensor[mask] for mask in masks)))
    inputs = {n: t for n, t in graph.inputs.items() if n not in sources}
    return dataclasses.replace(graph, tensors=tensors, inputs=inputs, outputs=outputs, state=state)


def _problems(
    graph: Graph, caches: Mapping[str, Cache], used: set[str], masks: set[str]
) -> Iterator[str]:
    if not caches:
        yield (
            f"model {graph.name}: must append a row to past keys and values (Concat of an "
            "input and one row, on one grid) or give outputs present.N.key, present.N.value, for a cache in "
            f"place, got neither; {_WAY}"
        )
    unused = [cache for name, cache in caches.items() if name not in used]
    if unused:
        first, more = unused[0], f" and {len(unused) - 1} more" if len(unused) > 1 else ""
        yield (
            f"input {first.source}{more}: a cache in place must be read by an attention that has a "
            f"mask per key and fits the machine, a head's keys in a quarter of WBUF, got "
            f"{first.rows} rows of {first.depth} a head; use fewer rows, or --nokv_cache"
        )
    if len({cache.rows for cache in caches.values()}) > 1:
        sizes = sorted({cache.rows for cache in caches.values()})
        yield (
            f"model {graph.name}: caches must have as many rows as each other, got {sizes}; {_WAY}"
        )
    for op in graph.ops:
        for name in masks & set(op.inputs):
            if op.kind != "Attention":
                yield (
                    f"node {op.name} ({op.kind}): reads the mask of a cache in place, {name}, "
                    f"which loses its last element; {_WAY}"
                )


def append(cache: Cache, concat: Op, row: str, first: int) -> Op:
    """The op that writes this step's row, columns first .. of tensor `row`, into the state."""
    return Op(concat.name, "CacheAppend", (row,), (cache.state,),
              {"first_column": first, "appends": True}, nodes=concat.nodes)


@dataclasses.dataclass(frozen=True)
class Rows:
    """An output of a prefill, [1, heads, rows, depth]: columns first .. of the rows of `tensor`."""

    output: str
    tensor: str
    first: int


def given(graph: Graph) -> list[str]:
    """Outputs that a prefill gives a decode step to start with."""
    return in_order(name for name in graph.outputs if name.startswith("present") and
                    _NAMES.fullmatch(name))


def with_prefill(
    graph: Graph, given: Mapping[str, QTensor], found: Mapping[str, Rows | None]
) -> Graph:
    """The graph, which gives keys and values no more, with them as rows of states.

    Args:
      given: the outputs that it gave, [1, heads, rows, depth].
      found: where they came from; None where they are no such rows.

    Raises UserError: outputs that cannot be rows of states, a line each.
    """
    count = next(iter(given.values())).shape[2]
    problems = []
    for name, tensor in given.items():
        if found[name] is None or tensor.grid.dtype not in NARROW:
            problems.append(
                f"output {name}: must be heads of 8 bits that lie side by side in the rows of one "
                f"tensor, for a cache in place; {_WAY}"
            )
        elif tensor.shape[2] != count:
            problems.append(
                f"output {name}: must have as many rows as the others, {count}, got "
                f"{tensor.shape[2]}; {_WAY}"
            )
    raise_if_any(problems)
    tensors, ops = dict(graph.tensors), list(graph.ops)
    states: dict[str, str] = {}
    for name, rows in found.items():
        assert rows is not None
        _, heads, _, depth = given[name].shape
        past = f"past{name.removeprefix('present')}"
        if rows.tensor not in states.values() and _is_state(graph, rows, heads * depth):
            states[past] = rows.tensor
            continue
        state = states[past] = f"{name}.state"
        tensors[state] = QTensor(state, (1, count, heads * depth), given[name].grid, axis=2)
        # Behind whatever reads them: until then they may be made row after row.
        last = max(i for i, op in enumerate(ops) if rows.tensor in (*op.inputs, *op.outputs))
        made = Op(name, "CacheAppend", (rows.tensor,), (state,),
                  {"first_column": rows.first, "appends": False})
        ops.insert(last + 1, made)
    return dataclasses.replace(
        graph, tensors=tensors, ops=tuple(ops), state=State("", count, states, ())
    )


def _is_state(graph: Graph, rows: Rows, columns: int) -> bool:
    """Whether the tensor can lie in the state's rows: a product makes it for attention alone."""
    tensor = graph.tensors[rows.tensor]
    made = [op for op in graph.ops if rows.tensor in op.outputs]
    readers = [op for op in graph.ops if rows.tensor in op.inputs]
    return (
        (rows.first, tensor.view.channels, tensor.image) == (0, columns, False)
        and rows.tensor not in graph.outputs.values()
        and [op.kind in ("MatMul", "Gemm") and "weights" in op.attrs for op in made] == [True]
        and all(op.kind == "Attention" and op.inputs.count(rows.tensor) == 1 and
                rows.tensor in op.inputs[1:3] for op in readers)
    )
