"""Python targets. Code is imported under one name, `jacquard.<folder>.<module>`, from any target."""

load("@rules_python//python:defs.bzl", "py_binary", "py_library", "py_test")

_MOUNT = "//bazel/python:jacquard"

# A binary starts a module by its one name. Python would otherwise put the script's own folder first
# in sys.path, where a `types.py` hides the standard library's. Products of the machine are small:
# threads of OpenBLAS spend their time waiting for each other, and a Bazel action counts as one core.
_RUN_MODULE = """\
import os, runpy, sys
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.pop(0)
runpy.run_module("{module}", run_name="__main__", alter_sys=True)
"""

_RUN_PYTEST = """\
import os, sys
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.pop(0)
from jacquard.bazel.python import run_pytest
sys.exit(run_pytest.main("{path}", sys.argv[1:]))
"""

def _main_impl(ctx):
    ctx.actions.write(ctx.outputs.out, ctx.attr.content)

_main_file = rule(implementation = _main_impl, attrs = {"content": attr.string(), "out": attr.output()})

def _main(name, content):
    file = name + "__main.py"
    _main_file(name = name + "__main", out = file, content = content, visibility = ["//visibility:private"])
    return file

def _in_repository(path):
    path = path.removeprefix(":")
    package = native.package_name()
    return package + "/" + path if package else path

def jq_py_library(name, srcs = [], deps = [], **kwargs):
    """A py_library whose sources are imported as jacquard.<package>.<file>."""
    py_library(name = name, srcs = srcs, deps = deps + [_MOUNT], **kwargs)

def jq_py_binary(name, main = None, srcs = None, deps = [], **kwargs):
    """A py_binary; runs `main` (default <name>.py), which must keep its `if __name__ == "__main__":`."""
    main = main or name + ".py"
    module = "jacquard." + _in_repository(main).removesuffix(".py").replace("/", ".")
    start = _main(name, _RUN_MODULE.format(module = module))
    py_binary(
        name = name,
        srcs = [start] + (srcs if srcs != None else [main]),
        main = start,
        deps = deps + [_MOUNT],
        **kwargs
    )

def jq_py_test(name, src = None, srcs = [], deps = [], size = "small", **kwargs):
    """A py_test that runs pytest on `src` (default <name>.py).

    Each pytest case is one case in Bazel's report. `shard_count` and --test_filter work.
    A test that needs much memory says so: tags = ["resources:memory:4000"] (MB).
    """
    src = src or name + ".py"
    start = _main(name, _RUN_PYTEST.format(path = _in_repository(src)))
    py_test(
        name = name,
        size = size,
        srcs = [start, src] + [s for s in srcs if s != src],
        main = start,
        deps = deps + ["//bazel/python:run_pytest"],
        **kwargs
    )
