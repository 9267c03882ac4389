"""One image of the weights: a prefill and its decode steps must have the same.

In: Programs. A segment of weights follows from the matrices and tables alone (`program.proto`),
so the images of one model are equal, or one is the beginning of the other (a table of positions
that one graph does not read). Biases and gains are not in it: they follow each graph's own grids.
"""

from __future__ import annotations

import hashlib

from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.errors import UserError

NAMED = 3  # layers in a message


def segment(program: pb.Program) -> pb.Segment:
    """The program's weights; an empty segment where it has none."""
    found = (s for s in program.segments if s.kind == pb.Segment.WEIGHTS)
    return next(found, pb.Segment(kind=pb.Segment.WEIGHTS))


def size_bytes(program: pb.Program) -> int:
    """Of the program's image."""
    return segment(program).size_bytes


def check(first: pb.Program, other: pb.Program, place: str, wanted: str) -> None:
    """Raises UserError unless one image serves both programs.

    place, wanted: what `other` and `first` are, for the message.
    """
    theirs, ours = segment(first), segment(other)
    one, another = theirs.data, ours.data
    if one.startswith(another) or another.startswith(one):
        return
    a, b = _parts(theirs), _parts(ours)
    layers = list(dict.fromkeys(a[part] for part in a if part not in b))
    layers += [b[part] for part in b if part not in a and b[part] not in layers]
    more = f" and {len(layers) - NAMED} more" if len(layers) > NAMED else ""
    raise UserError(
        f"{place}: weights must be {wanted}'s bit for bit ({_digest(theirs)}), got "
        f"{_digest(ours)}, which differ in {', '.join(layers[:NAMED])}{more}; export both graphs "
        "of one model and quantize their weights alike"
    )


def _parts(weights: pb.Segment) -> dict[bytes, str]:
    """Bytes of each part -> its layer."""
    return {
        weights.data[part.offset_bytes : part.offset_bytes + part.size_bytes]: part.layer
        for part in weights.parts
    }


def _digest(weights: pb.Segment) -> str:
    return f"sha256 {hashlib.sha256(weights.data).hexdigest()[:16]}"
