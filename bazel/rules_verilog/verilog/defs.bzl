"""The part of the published rules_verilog that Jacquard uses: same names, same fields.

Stands in where no registry can be reached; drop its override in tree.bazelrc to use the published one.
"""

VerilogInfo = provider(
    doc = "Verilog sources of one library, and of the libraries it needs.",
    fields = {
        "data": "depset[File]: files read at elaboration ($readmemh)",
        "deps": "depset[VerilogInfo]: of all libraries needed, in postorder",
        "hdrs": "depset[File]: files to `include",
        "includes": "depset[str]: directories searched for hdrs",
        "srcs": "depset[File]: files to compile, packages first",
        "standard": "str: always empty here",
        "top_module": "str: name of the top module, or empty",
    },
)

def _verilog_library_impl(ctx):
    roots = [ctx.bin_dir.path, ""] if ctx.label.workspace_root == "" else [ctx.bin_dir.path, ctx.label.workspace_root]
    here = [d.dirname for d in ctx.files.hdrs]
    for include in ctx.attr.includes:
        for root in roots:
            here.append("/".join([p for p in [root, ctx.label.package, include] if p and p != "."]) or ".")
    deps = [d[VerilogInfo] for d in ctx.attr.deps]
    return [
        DefaultInfo(files = depset(ctx.files.srcs + ctx.files.hdrs)),
        VerilogInfo(
            data = depset(ctx.files.data),
            deps = depset(deps, transitive = [d.deps for d in deps], order = "postorder"),
            hdrs = depset(ctx.files.hdrs),
            includes = depset(here),
            srcs = depset(ctx.files.srcs),
            standard = "",
            top_module = ctx.attr.top_module,
        ),
    ]

verilog_library = rule(
    implementation = _verilog_library_impl,
    doc = "SystemVerilog sources; `deps` come before them wherever they are compiled, so packages are known.",
    attrs = {
        "data": attr.label_list(allow_files = True),
        "deps": attr.label_list(providers = [VerilogInfo]),
        "hdrs": attr.label_list(allow_files = [".v", ".vh", ".sv", ".svh"]),
        "includes": attr.string_list(doc = "Directories of this package to search for hdrs; theirs are anyway."),
        "srcs": attr.label_list(allow_files = [".v", ".sv"]),
        "top_module": attr.string(),
    },
)
