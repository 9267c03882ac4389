"""Command line: random programs, RTL against sim/func.

python -m jacquard.sim.cosim.main --config nano4 --seed 17 --count 1 --dump
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from jacquard.proto.lib.arch import load_config
from jacquard.proto.lib.errors import UserError
from jacquard.sim.cosim.program import FAULT_RATE
from jacquard.sim.cosim.run import compare


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 1 if a program differed, 2 on bad input."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--config", default="nano4", help="name of the configuration")
    parser.add_argument("--seed", type=int, default=0, help="of the first program")
    parser.add_argument("--count", type=int, default=2500, help="programs")
    parser.add_argument("--faults", type=float, default=FAULT_RATE, help="share of broken programs")
    parser.add_argument("--failures", type=int, default=5, help="how many differences to describe")
    parser.add_argument("--dump", action="store_true", help="list each program with its cycles")
    parser.add_argument("--binary", type=Path, help="npu_sim of the configuration")
    flags = parser.parse_args(argv)
    binary = flags.binary or Path(f"sim/rtl/npu_sim_{flags.config}")
    try:
        arch = load_config(flags.config)
        if not binary.is_file():
            raise UserError(
                f"--binary: must be the RTL simulator of {flags.config}, got {binary}, which does "
                f"not exist; run `bazel run //sim/cosim:main -- --config {flags.config}`"
            )

        def progress(done: int) -> None:
            print(f"\r{done} of {flags.count}", end="", file=sys.stderr, flush=True)

        summary = compare(
            binary.absolute(),
            arch,
            range(flags.seed, flags.seed + flags.count),
            flags.faults,
            flags.failures,
            dump=sys.stdout.write if flags.dump else None,  # type: ignore[arg-type]
            progress=progress if sys.stderr.isatty() else None,
        )
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(summary.text(), end="")
    return 1 if summary.failed else 0


if __name__ == "__main__":
    sys.exit(main())
