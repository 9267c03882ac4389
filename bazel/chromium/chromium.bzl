"""Headless Chromium for tests of pages: @chromium//:chromium, fetched when a test first needs it.

Its packages come from the suite of the tools (bazel/toolchain/packages.txt), apart from the tree, so that a new
browser makes no new tools and nothing else is built again.
"""

def _chromium_impl(rctx):
    rctx.watch(rctx.path(Label("//:MODULE.bazel")).dirname.get_child("bazel", "toolchain", "packages.txt"))
    done = rctx.execute([rctx.path(Label("//bazel/chromium:fetch")), "."], timeout = 900)
    if done.return_code:
        fail("cannot fetch Chromium from Debian's packages: " + done.stderr)
    rctx.file("BUILD.bazel", """\
# The folder as one: nobody looks at its files one by one.
filegroup(
    name = "chromium",
    srcs = ["root"],
    visibility = ["//visibility:public"],
)
""")

_chromium = repository_rule(implementation = _chromium_impl)

chromium = module_extension(implementation = lambda _: _chromium(name = "chromium"))
