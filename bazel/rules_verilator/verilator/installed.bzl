"""The Verilator of this machine as a repository: its C++ runtime, compiled with rules of ours."""

_BUILD = """\
package(default_visibility = ["//visibility:public"])

# Verilator's Makefile would compile this with -Os, three times slower for the models that lean on it.
cc_library(
    name = "runtime",
    srcs = ["include/verilated.cpp", "include/verilated_random.cpp", "include/verilated_threads.cpp", "include/verilated_vcd_c.cpp"],
    hdrs = glob(["include/*.h", "include/vltstd/*", "include/gtkwave/*"]),
    copts = ["-O3", "-march=x86-64-v3", "-w"],
    includes = ["include", "include/vltstd"],
    defines = ["VM_COVERAGE=0", "VM_SC=0", "VM_TIMING=0", "VM_TRACE_FST=0", "VM_TRACE_SAIF=0"],
    linkopts = ["-pthread"],
)

exports_files(["version.txt"])
"""

def _installed_impl(rctx):
    verilator = rctx.which("verilator")
    if not verilator:
        fail("no verilator in PATH; ./bazelw brings one")
    result = rctx.execute([verilator, "--getenv", "VERILATOR_ROOT"])
    version = rctx.execute([verilator, "--version"])
    compiler = rctx.execute(["g++", "--version"])
    rctx.symlink(result.stdout.strip() + "/include", "include")
    # An input of both actions, so that another Verilator or compiler makes another model.
    rctx.file("version.txt", version.stdout + compiler.stdout)
    rctx.file("BUILD.bazel", _BUILD)

_installed = repository_rule(implementation = _installed_impl, configure = True, local = True)

verilator = module_extension(implementation = lambda _: _installed(name = "verilator_installed"))
