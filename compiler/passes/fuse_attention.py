"""Finds scaled dot-product attention, however its heads were split and joined again.

Product, Softmax, product with nothing else between. What lies around them (Reshape, Transpose, Split,
Expand of key heads) only moves elements; the moves' maps composed say whether head h's columns lie side by
side in the projections and in the result, so that no byte needs to be moved.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from jacquard.compiler.codelets._linear import entry_steps
from jacquard.compiler.codelets.base import NARROW, clamped
from jacquard.compiler.graph.ir import Graph, Op, QTensor
from jacquard.compiler.main import CompileOptions
from jacquard.compiler.passes import kv_cache
from jacquard.compiler.passes.fuse import drop_dead
from jacquard.compiler.passes.row_weights import row_weights
from jacquard.compiler.tile.attention import unit_rows
from jacquard.proto.lib.arch import Arch

Int64 = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Heads:
    """Where the heads of a product's operand lie: in columns first + h * depth of a tensor's rows.

    group: heads that share their columns. cache: the tensor is its state.
    """

    tensor: str
    first: int
    group: int
    cache: kv_cache.Cache | None = None


def fuse_attention(graph: Graph, options: CompileOptions, arch: Arch) -> Graph:
    """One op per attention whose units fit the machine; the others stay as their parts.

    With options.kv_cache those that read appended keys and values read the state of them instead, and
    what a prefill gives of them goes to states.
    """
    finder = _Finder(graph, options, arch)
    ops: list[tuple[Op, ...]] = [(op,) for op in graph.ops]
    for op in graph.ops:
        found = finder.attention(op)
        if found is not None:
            made, gone = found
            for position in gone:
                ops[position] = ()
            ops[max(gone)] = made
    fused = dataclasses.replace(graph, ops=tuple(op for group in ops for op in group))
    if not options.kv_cache:
        return fused
    if not finder.caches and (given := kv_cache.given(graph)):
        places = {name: finder.given(name) for name in given}
        others = {name: t for name, t in fused.outputs.items() if name not in given}
        rows = {name: place.tensor for name, place in places.items() if place is not None}
        live = drop_dead(dataclasses.replace(fused, outputs={**others, **rows}), options, arch)
        stateful = kv_cache.with_prefill(
            dataclasses.replace(live, outputs=others),
            {name: graph.tensors[graph.outputs[name]] for name in given}, places,
        )
    else:
        stateful = kv_cache.with_state(fused, finder.caches, finder.used, finder.masks)
    return drop_dead(stateful, options, arch)  # moves of what is appended no more


class _Finder:
    def __init__(self, graph: Graph, options: CompileOptions, arch: Arch) -> None:
        self.graph, self.options, self.arch = graph, options, arch
        self.producers = {name: i for i, op in enumerate(graph.ops) for name in op.outputs}
        self.consumers = graph.consumers()
        self.outputs = set(graph.outputs.values())
        self.caches = kv_cache.find(graph) if options.kv_cache else {}
        self.used: set[str] = set()  # of the caches
        self.masks: set[str] = set()  # of the attentions that read caches

    def _only_reader(self, name: str) -> int | None:
        """The one op that reads a tensor; None if it is an output too."""
        readers = self.consumers[name]
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def attention(self, second: Op) -> tuple[tuple[Op, ...], set[int]] | None:
        """(the fused op behind what it needs, indices of what they replace) if `second` is P V."""
        if not _product(second) or second.inputs[0] not in self.producers:
            return None
        middle = self.producers[second.inputs[0]]
        softmax = self.graph.ops[middle]
        if softmax.kind != "Softmax" or self._only_reader(softmax.outputs[0]) is None:
            return None
        if softmax.inputs[0] not in self.producers:
            return None
        start = self.producers[softmax.inputs[0]]
        first = self.graph.ops[start]
        if not _product(first) or self._only_reader(first.outputs[0]) != middle:
            return None
        if clamped(softmax) or not all(self._fusible(op) for op in (first, softmax, second)):
            return None
        return self._fused(start, middle, self.producers[second.outputs[0]])

    def _fusible(self, op: Op) -> bool:
        override = self.options.overrides.get(op.name)
        return self.options.fuse and (override is None or not override.apart)

    def _fused(
        self, start: int, middle: int, end: int
    ) -> tuple[tuple[Op, ...], set[int]] | None:
        first, softmax, second = (self.graph.ops[i] for i in (start, middle, end))
        tensors, block = self.graph.tensors, self.arch.rows
        logits, result = tensors[first.outputs[0]], tensors[second.outputs[0]]
        heads, (rows, depth) = math.prod(result.shape[:-2]), result.shape[-2:]
        keys = logits.shape[-1]
        query = self._heads(first.inputs[0], heads, rows, depth, columns_last=True)
        key = self._heads(first.inputs[1], heads, keys, depth, columns_last=False)
        value = self._heads(second.inputs[1], heads, keys, depth, columns_last=True)
        if query is None or key is None or value is None or query.group != 1:
            return None
        aligned = not any(n % block for n in (depth, query.first, key.first, value.first))
        if not aligned or key.group != value.group or logits.grid.dtype != "int16":
            return None
        if not row_weights(self.graph, softmax):
            return None
        if result.grid.dtype not in NARROW:  # contexts leave through rows of bytes
            return None
        caches = tuple(h.cache for h in (key, value) if h.cache is not None)
        if len(caches) == 1:
            return None
        masks = softmax.inputs[1:]
        views = [tensors[name].view for name in masks]
        if any(v.positions not in (1, rows) or v.channels != keys for v in views):
            return None
        stored = caches[0].rows if caches else keys  # what the device holds of them
        if not unit_rows(self.arch, rows, stored, depth // block, sum(v.positions for v in views)):
            return None
        appends = self._appends(caches, masks)
        if appends is None:
            return None
        joined = self._joined(second.outputs[0], heads, rows, depth)
        if joined is None:
            return None
        out, moves = joined
        gone = {start, middle, end, *moves, *(cache.op for cache in caches)}
        nodes = (name for i in sorted({start, middle, end, *moves})
                 for name in self.graph.ops[i].nodes)
        attrs = {
            "heads": heads, "group": key.group, "depth": depth,
            "first_columns": (query.first, key.first, value.first),
            "logits": logits, "product": first, "softmax": softmax, "context": second,
            "key_steps": entry_steps(tensors[first.inputs[1]]),
            "value_steps": entry_steps(tensors[second.inputs[1]]),
        }
        inputs = (query.tensor, key.tensor, value.tensor, *masks)
        fused = Op(second.name, "Attention", inputs, (out,), attrs, nodes=tuple(nodes))
        self.used.update(cache.present for cache in caches)
        self.masks.update(masks if caches else ())
        return (*appends, fused), gone

    def _appends(
        self, caches: tuple[kv_cache.Cache, ...], masks: tuple[str, ...]
    ) -> tuple[Op, ...] | None:
        """What writes this step's keys and values; None where a cache cannot be in place."""
        found = []
        for cache in caches:
            row = self._heads(cache.new, cache.heads, 1, cache.depth, columns_last=True)
            bound = [n for n in masks if n in self.graph.inputs.values()]
            if row is None or row.group != 1 or row.first % self.arch.rows or len(bound) != 1:
                return None
            found.append(kv_cache.append(cache, self.graph.ops[cache.op], row.tensor, row.first))
        return tuple(found)

    def given(self, output: str) -> kv_cache.Rows | None:
        """Where a prefill's output of keys or values comes from; None where they are no rows."""
        name = self.graph.outputs[output]
        shape = self.graph.tensors[name].shape
        if len(shape) != 4 or shape[0] != 1:
            return None
        found = self._heads(name, *shape[1:], columns_last=True)
        if found is None or found.group != 1 or found.first % self.arch.rows or (
            shape[1] * shape[3] % self.arch.rows
        ):
            return None
        return kv_cache.Rows(output, found.tensor, found.first)

    def _heads(
        self, name: str, heads: int, rows: int, depth: int, columns_last: bool
    ) -> Heads | None:
        """Where a product's operand comes from. columns_last: [heads, rows, depth], else K^T."""
        tensor, where = self._source(name)
        size = math.prod(self.graph.tensors[name].shape)
        cache = self.caches.get(tensor.name)
        width = tensor.view.channels  # elements from a row to the next
        apart = depth  # from a head to the next
        if cache is not None:
            width, apart = depth, rows * depth
        elif tensor.image or tensor.data is not None or tensor.view.positions != rows:
            return None
        if size % (rows * depth) or heads % (size // (rows * depth)):
            return None
        shape = (-1, rows, depth) if columns_last else (-1, depth, rows)
        where = where.reshape(shape)
        if not columns_last:
            where = where.transpose(0, 2, 1)
        where = np.repeat(where, heads // len(where), axis=0)
        starts = where[:, 0, 0]
        group = int(np.argmax(starts != starts[0])) or heads
        first = int(starts[0])
        head = np.arange(heads)[:, None, None] // group
        expected = first + np.arange(rows)[:, None] * width + head * apart + np.arange(depth)
        if heads % group or not np.array_equal(where, expected):
            return None
        if cache is not None:
            return Heads(cache.state, first, group, cache) if first == 0 else None
        return Heads(tensor.name, first, group)

    def _source(self, name: str) -> tuple[QTensor, Int64]:
        """(tensor that the moves in front of `name` start from, element of it per element)."""
        tensor = self.graph.tensors[name]
        where = np.arange(math.prod(tensor.shape), dtype=np.int64)
        while name in self.producers:
            op = self.graph.ops[self.producers[name]]
            elements = self._moved(op)
            if elements is None:
                break
            where = elements[where]
            name = op.inputs[0]
        return self.graph.tensors[name], where

    def _moved(self, op: Op) -> Int64 | None:
        """The element map of a move that changes nothing but places."""
        if "maps" not in op.attrs or len(op.inputs) != 1 or clamped(op) or not self._fusible(op):
            return None
        if self.graph.tensors[op.inputs[0]].grid != self.graph.tensors[op.outputs[0]].grid:
            return None
        elements: Int64 = op.attrs["maps"][op.attrs.get("output_index", 0)].reshape(-1)
        return None if elements.size == 0 or elements.min() < 0 else elements

    def _joined(
        self, name: str, heads: int, rows: int, depth: int
    ) -> tuple[str, set[int]] | None:
        """(tensor in which the heads lie side by side, the moves until there)."""
        target = np.arange(heads * rows * depth).reshape(heads, rows, depth).transpose(1, 0, 2)
        where = np.arange(heads * rows * depth, dtype=np.int64)
        moves: set[int] = set()
        while True:
            tensor = self.graph.tensors[name]
            view = tensor.view
            side_by_side = (view.channels, view.positions) == (heads * depth, rows)
            if side_by_side and not tensor.image and np.array_equal(where, target.reshape(-1)):
                return name, moves
            reader = self._only_reader(name)
            elements = None if reader is None else self._moved(self.graph.ops[reader])
            if reader is None or elements is None:
                return None
            where = where[elements]
            moves.add(reader)
            name = self.graph.ops[reader].outputs[0]


def _product(op: Op) -> bool:
    """A product of two activations, by heads."""
    return op.kind == "MatMul" and len(op.inputs) == 2 and not {"weights", "bias"} & op.attrs.keys()
