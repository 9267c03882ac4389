"""How every command starts and ends: the user's folder, one line per error, the exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from absl import flags

from jacquard.proto.lib.errors import UserError

Command = Callable[[list[str]], int]


def guarded(command: Command, argv: list[str]) -> int:
    """Runs a command; what a user can cause becomes a message and status 1 (2: bad flags)."""
    try:
        return command(argv)
    except flags.Error as error:
        print(f"error: {error}; --help lists the flags", file=sys.stderr)
        return 2
    except UserError as error:
        print("\n".join(f"error: {line}" for line in str(error).splitlines()), file=sys.stderr)
        return 1
    except BrokenPipeError:  # `| head` has seen enough; nothing may be flushed after this
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a full disk, a folder taken away: the user's, not a defect
        if error.filename is None:
            raise
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def start(command: Command) -> NoReturn:
    """Entry of a binary. Bazel runs binaries in their runfiles; paths given are the user's."""
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", os.getcwd()))
    sys.exit(guarded(command, sys.argv[1:]))
