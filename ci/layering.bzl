"""The repository's own import lines as a file, for the layering test.

A repository rule, because only such a one sees every source, also one that no target names yet.
"""

# What each layer may import besides itself; the longest name that fits a file is its layer.
# Tests beside the code may look anywhere: nothing imports them.
ALLOWED = {
    "compiler": ["proto", "sim/timing"],
    "hw": ["proto"],
    "proto": [],
    "runtime": ["compiler", "proto", "sim", "sim/timing"],
    "sim": ["hw", "proto", "sim/timing"],
    "sim/timing": ["proto"],
}

_FIND = """cd "$1" && shift && grep -rnE --include='*.py' --exclude='*_test.py' \
'^[[:space:]]*(from|import)[[:space:]]+jacquard' "$@" | LC_ALL=C sort || true"""

def _imports_impl(rctx):
    root = rctx.path(Label("//:MODULE.bazel")).dirname
    folders = [name for name in ALLOWED if "/" not in name and root.get_child(name).exists]
    for folder in folders:
        rctx.watch_tree(root.get_child(folder))
    found = rctx.execute(["sh", "-c", _FIND, "sh", root] + folders)
    if found.return_code:
        fail(found.stderr)
    rctx.file("imports.txt", found.stdout)
    rctx.file("allowed.json", json.encode_indent(ALLOWED))
    rctx.file("BUILD.bazel", 'exports_files(["allowed.json", "imports.txt"])')

_imports = repository_rule(implementation = _imports_impl)

layering = module_extension(implementation = lambda _: _imports(name = "jacquard_imports"))
