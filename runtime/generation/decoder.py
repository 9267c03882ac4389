"""What the graphs of a decoder read and give: names, shapes, limits, and that they fit together.

In: Programs and their sessions. Out: figures that generation needs, and a line for each misfit.
"""

from __future__ import annotations

from collections.abc import Sequence

from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.errors import UserError
from jacquard.runtime.api.host import HostModel
from jacquard.runtime.generation.cache import POSITION, Stage, states

IDS, POSITIONS, MASK, LOGITS = "input_ids", "position_ids", "attention_mask", "logits"
PREFILL, DECODE = "prefill", "decode"


def index_limit(programs: Sequence[pb.Program], name: str) -> int | None:
    """The first index that is too large for the models' input `name`; None where none is."""
    limits = []
    for program in programs:
        sources = HostModel(program.host_model, program.model).sources if program.host_model else {}
        for tensor in program.inputs:
            read = sources.get(tensor.name, (tensor.name,))
            if tensor.role == pb.Tensor.INDEX and read == (name,):
                limits.append(tensor.limit)
    return min(limits, default=None)


def logits(program: pb.Program) -> pb.Tensor:
    return next(tensor for tensor in program.outputs if tensor.name == LOGITS)


def check_fingerprints(prefill: pb.Program, decodes: Sequence[pb.Program]) -> None:
    if not decodes:
        raise UserError("decode: at least one program must be given, got none")
    for decode in decodes:
        if decode.fingerprint != prefill.fingerprint:
            raise UserError(
                f"decode {decode.model}: fingerprint must be the prefill's, "
                f"{prefill.fingerprint:016x} (config {prefill.config}), got "
                f"{decode.fingerprint:016x} (config {decode.config}); compile all for one"
            )


def interface(kind: str, stage: Stage) -> list[str]:
    """What a graph lacks of, or has beyond, the inputs and outputs of its kind; a line each."""
    place, shapes = f"{kind} {stage.program.model}", stage.session.input_shapes
    problems = []
    if LOGITS not in {tensor.name for tensor in stage.program.outputs}:
        names = ", ".join(tensor.name for tensor in stage.program.outputs)
        problems.append(f"{place}: must have an output {LOGITS}, got {names}")
    for name in (IDS,) if kind == PREFILL else (IDS, MASK):
        if name not in shapes:
            problems.append(f"{place}: must read {name}, its inputs are {', '.join(shapes)}")
    known = {IDS, POSITIONS, MASK}
    if kind == DECODE:
        known |= {name for name in shapes if name.startswith("past")}  # the cache's own check
    unknown = [name for name in shapes if name not in known]
    if unknown:
        caches = ", past.N.key, past.N.value" if kind == DECODE else ""
        problems.append(
            f"{place}: must have no inputs but {IDS}, {POSITIONS}, {MASK}{caches}, got "
            f"{', '.join(unknown)}; export it without"
        )
    for name in (IDS, POSITIONS):
        shape = shapes.get(name, (1, 1))
        if len(shape) != 2 or shape[0] != 1 or (kind == DECODE and shape[1] != 1):
            wanted = "[1, 1]" if kind == DECODE else "[1, positions]"
            problems.append(f"{place}: {name} must have shape {wanted}, got {list(shape)}")
    return problems


def check_rows(stage: Stage, rows: int) -> None:
    """Mask and argument are of the cache's rows. Raises UserError."""
    place = f"decode {stage.program.model}"
    shape = list(stage.session.input_shapes[MASK])
    if shape != [1, rows + 1]:
        raise UserError(
            f"{place}: {MASK} must have shape {[1, rows + 1]}, one element for each of the cache's "
            f"{rows} rows and one for the new one, got {shape}"
        )
    counts = {a.name: a.count for a in stage.program.arguments}
    wanted = {POSITION: rows} if states(stage.program) else {}
    if counts != wanted:
        raise UserError(f"{place}: arguments must be {wanted}, got {counts}; recompile")
