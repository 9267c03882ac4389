"""protoc.py PLACE OUT GENERATED: one module of one .proto file, which is known as jacquard/PLACE.

Protobuf's own way writes to a folder tree of its choosing; Bazel wants one named file.
"""

import os
import shutil
import sys
import tempfile

import grpc_tools
from grpc_tools import protoc


def main(place: str, out: str, generated: str) -> int:
    """Runs protoc with the repository, and what is generated of it, mounted at `jacquard/`."""
    builtin = os.path.join(os.path.dirname(grpc_tools.__file__), "_proto")
    name = f"jacquard/{place}"
    with tempfile.TemporaryDirectory() as temp:
        mounts = [f"-Ijacquard={root}" for root in (".", generated) if os.path.isdir(root)]
        status = protoc.main(["protoc", *mounts, f"-I{builtin}", f"--python_out={temp}", name])
        if status == 0:
            shutil.copyfile(os.path.join(temp, name.removesuffix(".proto") + "_pb2.py"), out)
    return int(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
