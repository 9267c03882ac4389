"""The compiler's front door: a QDQ ONNX model and a machine in, a linked Program out.

>>> program = compile_model(qdq, arch.load("edge16"), CompileOptions(model_name="lenet"))

The order of the passes stands in passes/pipeline.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import onnx

from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.arch import Arch


@dataclasses.dataclass(frozen=True)
class LayerOverride:
    """What the user fixes for one layer; None leaves the choice to the cost model.

    Attributes:
      tile_height, tile_width: output positions of a spatial tile.
      channel_tiles: input channel tiles per reduction chunk.
      output_tiles: output channel tiles that share one accumulator half.
      fuse: False keeps this operator apart from the one that follows.
    """

    tile_height: int | None = None
    tile_width: int | None = None
    channel_tiles: int | None = None
    output_tiles: int | None = None
    fuse: bool | None = None


@dataclasses.dataclass(frozen=True)
class CompileOptions:
    """How to compile.

    Attributes:
      model_name: written into the Program; "" takes the graph's name.
      overrides: ONNX node name -> what the user fixes.
      dump_after: names of passes after which the IR's text form goes to `dump`.
      dump: receives (pass name, text).
      fuse: False switches every fusion off.
    """

    model_name: str = ""
    overrides: Mapping[str, LayerOverride] = dataclasses.field(default_factory=dict)
    dump_after: tuple[str, ...] = ()
    dump: Callable[[str, str], None] | None = None
    fuse: bool = True


def compile_model(
    qdq: onnx.ModelProto, arch: Arch, options: CompileOptions = CompileOptions()
) -> pb.Program:
    """Compiles a quantized model. Deterministic: the same input gives the same bytes.

    Args:
      qdq: QDQ graph, shapes static, batch 1, as compiler/frontend leaves it.
      arch: the machine.

    Raises:
      UserError: unsupported operators (all of them), or a layer that cannot fit the machine (which
        buffer, and by how much).
    """
    from jacquard.compiler.passes import pipeline

    return pipeline.run(qdq, arch, options)
