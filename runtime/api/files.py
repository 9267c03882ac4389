"""Files that appear whole or not at all."""

from __future__ import annotations

import pathlib


def write_whole(path: pathlib.Path, data: str | bytes) -> None:
    """Replaces a file, or makes it; what was there stays until all of the new one is written.

    data: text is written as UTF-8. Whatever interrupts it leaves nothing beside the file, but for
    a kill, which leaves one named `.part`. Raises OSError.
    """
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(data.encode() if isinstance(data, str) else data)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
