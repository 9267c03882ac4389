"""Python modules from .proto files, by the protoc inside grpcio-tools, so that it matches the runtime.

A file imports another by its place in the repository: `import "jacquard/proto/arch.proto";`.
The module made of it is imported the same way: `from jacquard.proto import arch_pb2`.
"""

load("//bazel:python.bzl", "jq_py_library")

ProtoSourcesInfo = provider("The .proto files of a target and of all it imports.", fields = ["files"])

def _impl(ctx):
    outs = []
    files = depset(ctx.files.srcs, transitive = [d[ProtoSourcesInfo].files for d in ctx.attr.deps])
    for src in ctx.files.srcs:
        out = ctx.actions.declare_file(src.basename.removesuffix(".proto") + "_pb2.py")
        outs.append(out)
        ctx.actions.run(
            executable = ctx.executable._protoc,
            inputs = files,
            outputs = [out],
            arguments = [src.short_path, out.path, ctx.bin_dir.path],
            use_default_shell_env = True,
            mnemonic = "ProtoPython",
            progress_message = "Generating %{output}",
        )
    return [DefaultInfo(files = depset(outs)), ProtoSourcesInfo(files = files)]

_proto_py = rule(
    implementation = _impl,
    attrs = {
        "srcs": attr.label_list(allow_files = [".proto"]),
        "deps": attr.label_list(providers = [ProtoSourcesInfo]),
        "_protoc": attr.label(default = "//bazel/proto:protoc", executable = True, cfg = "exec"),
    },
)

def _generated(dep):
    label = native.package_relative_label(dep)
    return label.same_package_label(label.name + "__gen")

def jq_proto_py(name, srcs, deps = [], visibility = None, **kwargs):
    """A Python library `name` with <file>_pb2 for each of `srcs`; `deps` are other jq_proto_py."""
    _proto_py(
        name = name + "__gen",
        srcs = srcs,
        deps = [_generated(d) for d in deps],
        visibility = visibility,
    )
    jq_py_library(
        name = name,
        srcs = [name + "__gen"],
        deps = deps + ["@pypi//protobuf"],
        visibility = visibility,
        **kwargs
    )
