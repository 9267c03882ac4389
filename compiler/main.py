"""The compiler's front door: a QDQ ONNX model and a machine in, a linked Program out.

>>> program = compile_model(qdq, load_config("edge16"), CompileOptions(model_name="lenet"))

The order of the passes stands in passes/pipeline.py.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import hashlib
from collections.abc import Callable, Iterator, Mapping

import onnx

from jacquard.compiler.graph.ir import Graph
from jacquard.compiler.overrides import LayerOverride
from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.arch import Arch


@dataclasses.dataclass(frozen=True)
class CompileOptions:
    """How to compile.

    Attributes:
      model_name: written into the Program; "" takes the graph's name.
      overrides: ONNX node name -> what the user fixes.
      dump_after: names of passes after which the IR's text form goes to `dump`.
      dump: receives (pass name, text).
      clock: receives (pass name, seconds of the processor that it took); "digest" is of the model,
        "link" encodes, "check" is the checker.
      fuse: False switches every fusion off.
      kv_cache: past keys and values of a decode graph become state that a run appends to, and those that
        a prefill gives become the first rows of such state.
    """

    model_name: str = ""
    overrides: Mapping[str, LayerOverride] = dataclasses.field(default_factory=dict)
    dump_after: tuple[str, ...] = ()
    dump: Callable[[str, str], None] | None = None
    clock: Callable[[str, float], None] | None = None
    fuse: bool = True
    kv_cache: bool = False


def model_digest(qdq: onnx.ModelProto) -> bytes:
    """Program.model_sha256: tells whether a program was compiled from this very model."""
    return hashlib.sha256(qdq.SerializeToString(deterministic=True)).digest()


@dataclasses.dataclass(frozen=True)
class Imported:
    """A model, and of it what is the same for every machine: its graph before the first pass."""

    qdq: onnx.ModelProto
    graph: Graph

    @functools.cached_property
    def digest(self) -> bytes:
        return model_digest(self.qdq)


def import_once(qdq: onnx.ModelProto, model_name: str = "") -> Imported:
    """For compile_model of several machines. Raises UserError as that does."""
    from jacquard.compiler.passes import pipeline

    return pipeline.imported(qdq, model_name)


def compile_model(
    qdq: onnx.ModelProto | Imported, arch: Arch, options: CompileOptions = CompileOptions()
) -> pb.Program:
    """Compiles a quantized model. Deterministic: the same input gives the same bytes.

    Args:
      qdq: QDQ graph, shapes static, batch 1, as compiler/frontend leaves it; or what import_once
        made of it under the name of the options.
      arch: the machine.

    Raises:
      UserError: unsupported operators (all of them), or a layer that cannot fit the machine (which
        buffer, and by how much).
    """
    from jacquard.compiler.passes import pipeline

    with no_collection():
        return pipeline.run(qdq, arch, options)


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Keeps Python from looking for cycles: among millions of instructions there are none, and
    looking takes a sixth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
