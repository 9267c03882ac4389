"""The order of the passes, with a reason per line, and the verifiers between them."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Collection, Iterator, Mapping

import onnx

from jacquard.compiler.checker import check as checker
from jacquard.compiler.graph.ir import Graph
from jacquard.compiler.graph.verify import verify
from jacquard.compiler.main import CompileOptions, Imported, model_digest
from jacquard.compiler.overrides import LayerOverride
from jacquard.compiler.passes import fuse, link, lower, order, tokens
from jacquard.compiler.passes.fuse_attention import fuse_attention
from jacquard.compiler.passes.import_qdq import import_qdq
from jacquard.compiler.passes.kept import kept
from jacquard.compiler.passes.narrow import narrow, square
from jacquard.compiler.passes.row_weights import factor_rows
from jacquard.compiler.passes.views import views
from jacquard.compiler.tile.ir import TileProgram
from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.arch import Arch
from jacquard.proto.lib.errors import UserError, raise_if_any

GraphPass = Callable[[Graph, CompileOptions, Arch], Graph]

# (name, pass, reason for its place)
GRAPH_PASSES: tuple[tuple[str, GraphPass, str], ...] = (
    ("views", views, "before all: adds moves that others may fold"),
    ("fold-flatten", fuse.fold_flatten, "before fusion: the convolution it becomes can be fused"),
    ("fuse-attention", fuse_attention, "before the others: it needs the products as they are"),
    ("factor-rows", factor_rows, "after fuse-attention: it sees to those that stay in parts"),
    ("fuse-table", fuse.fuse_table, "before fuse-add: what a table function reads is no residual"),
    ("fuse-narrow", fuse.fuse_narrow, "before storage: both results leave in one pass"),
    ("fuse-add", fuse.fuse_add, "before storage: the sum's first operand needs no DRAM"),
    ("fuse-pool", fuse.fuse_pool, "after fuse-add: a convolution with a residual keeps its rows"),
    ("drop-dead", fuse.drop_dead, "last: the passes above leave tensors that nothing reads"),
)
# What they make has activations as weights, in transposed tiles: nothing for an oblong array, or for
# one whose weights have fewer bits than activations.
SQUARE_PASSES = (fuse_attention,)


def _alike(name: str, layers: Collection[str]) -> str:
    """What a wrong name may have meant."""
    found = difflib.get_close_matches(name, layers, 3)
    if found:
        return f"did you mean {' or '.join(found)}?"
    return "compile --dump-after=import lists them"


def _not_on_chip(
    results: Mapping[str, str], graph: Graph, options: CompileOptions, keeps: Collection[str]
) -> Iterator[str]:
    """A line per result that the user wants on chip and that neither a fusion nor IBUF keeps there.
    """
    stored = {name: op for op in graph.ops for name in op.outputs}
    for name, override in sorted(options.overrides.items()):
        if override.placement != "chip":
            continue
        if override.fuse is False:
            yield (
                f"override of layer {name}: placement must not be chip where fuse is false; leave "
                "one of them out"
            )
        elif results[name] in stored and results[name] not in keeps:
            readers = [op.name for op in graph.ops if results[name] in op.inputs]
            yield (
                f"override of layer {name}: placement chip must be of a result that the next "
                "operator takes over or that IBUF has room for, got one that is stored for "
                f"{', '.join(readers) or 'the host'}"
                f"{'' if options.fuse else ' (--nofuse)'}; leave it out"
            )


Done = Callable[[str, Callable[[], str] | None], None]  # a stage's name and its text


def imported(qdq: onnx.ModelProto, name: str) -> Imported:
    """The graph before the first pass, verified."""
    graph = import_qdq(qdq, name)
    verify(graph, "import")
    return Imported(qdq, graph)


def run(qdq: onnx.ModelProto | Imported, arch: Arch, options: CompileOptions) -> pb.Program:
    """All passes, from a QDQ model to a linked Program."""
    started = time.process_time()

    def done(name: str, text: Callable[[], str] | None = None) -> None:
        """Tells the time since the last call, and the text where it is wanted."""
        nonlocal started
        if options.clock is not None:
            options.clock(name, time.process_time() - started)
        if text is not None and options.dump is not None and name in options.dump_after:
            options.dump(name, text())
        started = time.process_time()

    graph = operators(qdq, arch, options, done)
    program = instructions(graph, arch, options.overrides, done)
    digest = qdq.digest if isinstance(qdq, Imported) else model_digest(qdq)
    done("digest")
    linked = link.link(graph, program, arch, options.model_name or graph.name, digest)
    done("link")
    checker.require(linked, arch)
    done("check")
    return linked


def _no_one(name: str, text: Callable[[], str] | None = None) -> None:
    """Where nobody asks what a stage took or made."""


def operators(
    qdq: onnx.ModelProto | Imported, arch: Arch, options: CompileOptions, done: Done = _no_one
) -> Graph:
    """Import and all passes over the graph: the operators that will be layers."""
    if arch.rows > arch.cols or arch.lanes != arch.cols:
        raise UserError(
            f"config {arch.name}: the compiler needs as many lanes as columns, and no more rows, "
            f"got {arch.rows} rows, {arch.cols} columns and {arch.lanes} lanes; choose another "
            "configuration"
        )
    in_parts = arch.rows != arch.cols or arch.weight_bits != arch.act_bits
    if in_parts and options.kv_cache:
        raise UserError(
            f"--kv-cache: config {arch.name} must have as many rows as columns and 8-bit weights for "
            f"attention in one piece, got {arch.rows}, {arch.cols} and {arch.weight_bits} bits; "
            "leave it out"
        )

    stages = ("import", *(name for name, _, _ in GRAPH_PASSES), "lower", "order")
    raise_if_any(
        f"--dump-after {name}: must be one of {', '.join(stages)}; correct the name"
        for name in options.dump_after
        if name not in stages
    )
    if not isinstance(qdq, Imported):
        qdq = imported(qdq, options.model_name)
    graph = qdq.graph
    layers = {op.name for op in graph.ops}
    results = {op.name: op.outputs[0] for op in graph.ops}
    raise_if_any(
        f"override of layer {name}: must name one of the model's layers, got none of them; "
        f"{_alike(name, layers)}"
        for name in sorted(set(options.overrides) - layers)
    )
    done("import", graph.text)
    for name, graph_pass, _ in GRAPH_PASSES:
        if in_parts and graph_pass in SQUARE_PASSES:
            continue
        graph = graph_pass(graph, options, square(arch))
        verify(graph, name)
        done(name, graph.text)
    keeps = kept(graph, square(arch), options.overrides)
    raise_if_any(_not_on_chip(results, graph, options, keeps))
    return graph


def instructions(
    graph: Graph, arch: Arch, overrides: Mapping[str, LayerOverride], done: Done = _no_one
) -> TileProgram:
    """Tiled, placed, emitted and ordered, with their tokens: all but linking. UserError as lower."""
    keeps = kept(graph, square(arch), overrides)
    program = lower.lower(graph, square(arch), overrides, arch.rows, keeps)
    done("lower", program.text)
    program = narrow(program, arch)
    found = tokens.dependencies(program, arch)
    done("tokens", None)
    program, found = order.order(program, found, arch)
    program = tokens.insert(program, found)
    done("order", program.text)
    return program
