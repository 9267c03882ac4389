"""What a user fixes of how a layer is compiled: from a textproto, or from a flag's text."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable

from google.protobuf import text_format

from jacquard.proto import overrides_pb2
from jacquard.proto.lib.errors import UserError, raise_if_any

CHOICES = {"order": ("inputs", "weights"), "placement": ("chip", "dram")}
SIZES = ("tile_height", "tile_width", "channel_tiles", "output_tiles")
TILING = (*SIZES, "order")  # of layers on MATRIX alone


@dataclasses.dataclass(frozen=True)
class LayerOverride:
    """What is fixed for one layer; None leaves the choice to the cost model.

    Attributes:
      tile_height, tile_width: output positions of a spatial tile.
      channel_tiles: input channel tiles per reduction chunk.
      output_tiles: output channel tiles that share one accumulator half.
      fuse: False keeps this operator apart from the one that follows.
      order: "inputs": a spatial tile's inputs are loaded once; "weights": the layer's weights are.
      placement: of the result: "chip": the operator that follows takes it over, or products read it
        in IBUF; "dram": neither.
    """

    tile_height: int | None = None
    tile_width: int | None = None
    channel_tiles: int | None = None
    output_tiles: int | None = None
    fuse: bool | None = None
    order: str | None = None
    placement: str | None = None

    @property
    def apart(self) -> bool:
        """Whether the operator must not be fused with the one that follows."""
        return self.fuse is False or self.placement == "dram"

    def given(self, fields: Iterable[str]) -> list[str]:
        """Those of the fields that are fixed."""
        return [field for field in fields if getattr(self, field) is not None]


def parse_override(text: str) -> tuple[str, LayerOverride]:
    """`conv1:tile_height=4,fuse=false` -> ("conv1", LayerOverride(...)), for command lines.

    Raises:
      UserError: a field that does not exist, or a value that is not one of its kind.
    """
    name, colon, rest = text.rpartition(":")
    place = f"--override {text}"
    if not colon or not name:
        raise UserError(f"{place}: must be LAYER:FIELD=VALUE,..., got no layer; name one")
    fields = [field.name for field in dataclasses.fields(LayerOverride)]
    found: dict[str, int | bool | str] = {}
    for part in rest.split(","):
        field, _, value = part.partition("=")
        if field not in fields:
            raise UserError(f"{place}: field must be one of {', '.join(fields)}, got {field!r}")
        if field == "fuse":
            if value not in ("true", "false"):
                raise UserError(f"{place}: fuse must be true or false, got {value!r}")
            found[field] = value == "true"
        elif field in CHOICES:
            value = value.lower()  # as a textproto has them, in capitals
            if value not in CHOICES[field]:
                choices = " or ".join(CHOICES[field])
                raise UserError(f"{place}: {field} must be {choices}, got {value!r}")
            found[field] = value
        elif value.isdecimal() and int(value) > 0:
            found[field] = int(value)
        else:
            raise UserError(f"{place}: {field} must be a positive number, got {value!r}")
    return name, LayerOverride(**found)  # type: ignore[arg-type]


def read_overrides(path: str | pathlib.Path) -> dict[str, LayerOverride]:
    """A textproto of proto/overrides.proto, by layer. Raises UserError with every mistake."""
    message = overrides_pb2.Overrides()
    try:
        text_format.Parse(pathlib.Path(path).read_text(encoding="utf-8"), message)
    except OSError as error:
        raise UserError(
            f"--overrides {path}: must be a file that can be read, got {error.strerror}; check the "
            "path"
        ) from None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise UserError(
            f"--overrides {path}: must be an Overrides textproto, got {error}; see "
            "proto/overrides.proto"
        ) from None
    found: dict[str, LayerOverride] = {}
    problems = []
    for entry in message.layer:
        place = f"--overrides {path}: layer {entry.name}"
        if not entry.name:
            problems.append(f"--overrides {path}: name of a layer must be given, got none; name it")
        if entry.name in found:
            problems.append(f"{place}: must stand there once, got it again; put both into one")
        fixed: dict[str, int | bool | str] = {}
        for field in (*SIZES, "fuse"):
            if entry.HasField(field):
                fixed[field] = getattr(entry, field)
        problems += [
            f"{place}: {field} must be a positive number, got 0; leave it out or correct it"
            for field in SIZES if fixed.get(field) == 0
        ]
        if entry.order:
            fixed["order"] = overrides_pb2.LayerOverride.Order.Name(entry.order).lower()
        if entry.placement:
            fixed["placement"] = overrides_pb2.LayerOverride.Placement.Name(entry.placement).lower()
        found[entry.name] = LayerOverride(**fixed)  # type: ignore[arg-type]
    raise_if_any(problems)
    return found
