"""The part of the published rules_verilator that Jacquard uses: same names, same attributes.

A model is two actions' worth of work: verilate to C++, compile that C++ with Bazel's own toolchain.
Verilator's Makefile is not used: it compiles with -Os, which is three times slower here.
"""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain", "use_cpp_toolchain")
load("@rules_verilog//verilog:defs.bzl", "VerilogInfo")

# --x-*: no random initial values, which cost time and hide nothing that assertions do not show.
# --assert costs 4 % and stays on. -Wall makes every warning an error.
VOPTS = ["-O3", "--no-timing", "--x-assign fast", "--x-initial fast", "--assert", "-Wall", "--quiet-stats"]

# x86-64-v3 and not native: the binary is the same whichever machine builds it (native is 8 % faster).
# The rest drops per-function hardening, of no use in a simulator.
COPTS = ["-O3", "-march=x86-64-v3", "-fno-stack-protector", "-fcf-protection=none", "-fno-plt", "-w"]

def _verilate(ctx, top, trace):
    infos = ctx.attr.module[VerilogInfo].deps.to_list() + [ctx.attr.module[VerilogInfo]]
    srcs = depset(transitive = [i.srcs for i in infos], order = "postorder").to_list()
    inputs = [i.srcs for i in infos] + [i.hdrs for i in infos] + [i.data for i in infos]

    headers = ctx.actions.declare_directory(ctx.label.name + ".h")
    sources = ctx.actions.declare_directory(ctx.label.name + ".cpp")
    args = ctx.actions.args()
    args.add_all([headers, sources], expand_directories = False)
    args.add_all(["--cc", "--top-module", top, "--prefix", ctx.attr.prefix or "V" + top])
    for option in VOPTS + ctx.attr.vopts + (["--trace"] if trace else []):
        args.add_all(option.split(" "))
    args.add_all(depset(transitive = [i.includes for i in infos]), format_each = "-I%s")
    args.add_all([s for s in srcs if s.extension == "vlt"])
    args.add_all([s for s in srcs if s.extension != "vlt"])
    ctx.actions.run_shell(
        # Headers and sources in folders of their own: Bazel compiles every file of the second.
        command = """set -eu
headers=$1 sources=$2; shift 2
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
verilator --Mdir "$temp" "$@"
mv "$temp"/*.h "$headers"
mv "$temp"/*.cpp "$sources"
""",
        arguments = [args],
        inputs = depset([ctx.file._version], transitive = inputs),
        outputs = [headers, sources],
        use_default_shell_env = True,
        mnemonic = "Verilate",
        progress_message = "Verilating %{label}",
    )
    return headers, sources

def _verilator_cc_library_impl(ctx):
    top = ctx.attr.module_top or ctx.attr.module[VerilogInfo].top_module
    if not top:
        fail("{}: needs module_top, or top_module in {}".format(ctx.label, ctx.attr.module.label))
    if ctx.attr.trace_mode not in ["", "vcd"]:
        fail("{}: trace_mode must be '' or 'vcd' here, got '{}'".format(ctx.label, ctx.attr.trace_mode))
    trace = ctx.attr.trace or ctx.attr.trace_mode == "vcd"
    headers, sources = _verilate(ctx, top, trace)

    cc_toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = cc_toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    runtime = [dep[CcInfo] for dep in [ctx.attr._runtime] + ctx.attr.deps]
    compiled, objects = cc_common.compile(
        name = ctx.label.name,
        actions = ctx.actions,
        feature_configuration = features,
        cc_toolchain = cc_toolchain,
        srcs = [sources],
        public_hdrs = [headers],
        additional_inputs = [ctx.file._version],
        includes = [headers.path],
        defines = ["VM_TRACE=" + ("1" if trace else "0"), "VM_TRACE_VCD=" + ("1" if trace else "0")],
        user_compile_flags = COPTS + ctx.attr.copts,
        compilation_contexts = [i.compilation_context for i in runtime],
        disallow_pic_outputs = True,  # one object per source; models are only linked statically
    )
    linked, _ = cc_common.create_linking_context_from_compilation_outputs(
        name = ctx.label.name,
        actions = ctx.actions,
        feature_configuration = features,
        cc_toolchain = cc_toolchain,
        compilation_outputs = objects,
        linking_contexts = [i.linking_context for i in runtime],
        user_link_flags = ctx.attr.linkopts,
        disallow_dynamic_library = True,
    )
    return [
        DefaultInfo(files = depset([headers, sources])),
        CcInfo(compilation_context = compiled, linking_context = linked),
    ]

verilator_cc_library = rule(
    implementation = _verilator_cc_library_impl,
    doc = "A Verilog module as a C++ class V<top>, for `deps` of a cc_binary or cc_library.",
    attrs = {
        "copts": attr.string_list(doc = "Flags for the C++ compiler, after the defaults."),
        "deps": attr.label_list(providers = [CcInfo], doc = "C++ that the module calls (DPI)."),
        "linkopts": attr.string_list(),
        "module": attr.label(providers = [VerilogInfo], mandatory = True),
        "module_top": attr.string(doc = "Default: the module's top_module."),
        "prefix": attr.string(doc = "Name of the class. Default: V<top>."),
        "trace": attr.bool(doc = "Waveforms; costs speed even when not written."),
        "trace_mode": attr.string(doc = "'' or 'vcd'."),
        "vopts": attr.string_list(doc = "Flags for Verilator, after the defaults."),
        "_runtime": attr.label(default = "@verilator_installed//:runtime"),
        "_version": attr.label(default = "@verilator_installed//:version.txt", allow_single_file = True),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    toolchains = use_cpp_toolchain(),
    fragments = ["cpp"],
)
