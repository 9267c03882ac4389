"""bazel_tools asks this extension for a repository that only `bazel mod tidy` runs."""

def _empty_impl(rctx):
    rctx.file("BUILD.bazel", "")

_empty = repository_rule(implementation = _empty_impl)

buildozer_binary = module_extension(implementation = lambda ctx: _empty(name = "buildozer_binary"))
