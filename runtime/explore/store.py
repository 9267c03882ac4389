"""DIR/points.jsonl: what has been evaluated, a JSON line each, appended as it comes.

A line is a fact: this model on this machine, compiled and timed by these sources, takes so many
cycles or is refused. Its key says all that the fact depends on, so an exploration that goes on, or
another one in the same folder, takes it from here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import io
import json
import os
import pathlib
from collections.abc import Iterator

from jacquard.proto.lib.errors import UserError

FILE = "points.jsonl"


@dataclasses.dataclass(frozen=True)
class Result:
    """One model on one configuration.

    Attributes:
      key: see work.py.
      cycles: by the cycle model; None where the compiler refused.
      refused: what the compiler said, a line each; none where it compiled.
    """

    key: str
    model: str
    config: str
    cycles: int | None
    refused: tuple[str, ...]
    compile_seconds: float
    estimate_seconds: float


class Store:
    """The file, open for one exploration at a time."""

    def __init__(self, file: io.FileIO, path: pathlib.Path) -> None:
        self._file, self._path = file, path
        self.results: dict[str, Result] = {}

    def load(self) -> None:
        """Reads what is there. The end of a line that a kill cut short is dropped, and overwritten.

        Raises UserError: a whole line that is none of ours.
        """
        data = self._file.readall()
        whole = data.rfind(b"\n") + 1
        for number, line in enumerate(data[:whole].splitlines(), 1):
            try:
                fields = json.loads(line)
                result = Result(**fields | {"refused": tuple(fields["refused"])})
            except (ValueError, TypeError, KeyError) as error:
                raise UserError(
                    f"{self._path}:{number}: must be a line that explore wrote, got something "
                    "else; remove it or give another --output"
                ) from error
            self.results[result.key] = result
        self._file.seek(whole)
        self._file.truncate()

    def add(self, result: Result) -> None:
        """Appends one; it is on disk when this returns."""
        self.results[result.key] = result
        self._file.write(json.dumps(dataclasses.asdict(result)).encode() + b"\n")
        os.fsync(self._file.fileno())


@contextlib.contextmanager
def open_store(folder: pathlib.Path) -> Iterator[Store]:
    """Opens the folder's file, made if it is not there.

    Raises UserError: another exploration has it open, or it holds something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{path}: must be written by one exploration at a time, got another one at work; "
                "wait for it, or give another --output"
            ) from None
        store = Store(file, path)
        store.load()
        yield store
