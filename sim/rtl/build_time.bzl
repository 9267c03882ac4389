"""How long a simulator takes to build: it is built once more, in one action that holds both cores.

Bazel itself spreads a build over actions of its choice, beside others, and tells nobody their time.
"""

load("@rules_verilator//verilator:defs.bzl", "COPTS", "VOPTS")
load("@rules_verilog//verilog:defs.bzl", "VerilogInfo")

_CORES = 2

def _resources(_os, _inputs):
    return {"cpu": _CORES, "memory": 1500}

def _impl(ctx):
    rtl = ctx.attr.module[VerilogInfo]
    infos = rtl.deps.to_list() + [rtl]
    sources = depset(transitive = [i.srcs for i in infos], order = "postorder").to_list()
    context = ctx.attr.packages[CcInfo].compilation_context
    harness = [f for f in ctx.files.harness if f.extension == "cc"]
    includes = depset(transitive = [context.includes, context.system_includes, context.quote_includes])
    out = ctx.actions.declare_file(ctx.label.name + ".json")
    ctx.actions.run_shell(
        outputs = [out],
        inputs = depset(
            ctx.files.harness,
            transitive = [context.headers] + [d for i in infos for d in (i.srcs, i.hdrs, i.data)],
        ),
        command = """set -eu
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
root=$(verilator --getenv VERILATOR_ROOT)/include
begin=$(date +%s%N)
verilator --cc --top-module {top} --prefix V{top} --Mdir $T {vopts} {verilog_includes} {sources}
middle=$(date +%s%N)
ls $T/*.cpp $root/verilated.cpp $root/verilated_random.cpp $root/verilated_threads.cpp {harness} |
  xargs -P{cores} -I@ sh -c \
    'g++ -std=c++20 {copts} -I'$T' {includes} -isystem '$root' -isystem '$root'/vltstd -c @ -o '$T'/$(basename @).o'
g++ $T/*.o -o $T/sim -pthread
end=$(date +%s%N)
printf '{{"verilator_seconds": %d.%03d, "seconds": %d.%03d}}\\n' \
  $(((middle-begin)/1000000000)) $(((middle-begin)/1000000%1000)) \
  $(((end-begin)/1000000000)) $(((end-begin)/1000000%1000)) > {out}
""".format(
            top = rtl.top_module,
            cores = _CORES,
            vopts = " ".join(VOPTS),
            copts = " ".join(COPTS),
            verilog_includes = " ".join(["-I" + d for i in infos for d in i.includes.to_list()]),
            sources = " ".join([f.path for f in sources]),
            harness = " ".join([f.path for f in harness]),
            includes = " ".join(["-I" + d for d in includes.to_list()]),
            out = out.path,
        ),
        resource_set = _resources,
        use_default_shell_env = True,
        mnemonic = "SimulatorBuildTime",
        progress_message = "Timing the build of %{label}",
    )
    return [DefaultInfo(files = depset([out]))]

simulator_build_time = rule(
    implementation = _impl,
    doc = "<name>.json: seconds that Verilator takes, and Verilator and the C++ compiler together.",
    attrs = {
        "harness": attr.label_list(allow_files = [".cc", ".h"], mandatory = True),
        "module": attr.label(providers = [VerilogInfo], mandatory = True),
        "packages": attr.label(providers = [CcInfo], mandatory = True),
    },
)
