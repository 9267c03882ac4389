"""Generated files of the instruction set and of one hardware configuration."""

load("@rules_cc//cc:defs.bzl", "cc_library")
load("@rules_verilog//verilog:defs.bzl", "verilog_library")

_ISA = "//proto:isa/npu.textproto"

def npu_generated(name, kind, out, arch = None, visibility = None, operations = None):
    """One file that proto/codegen writes; `kind` as its --emit."""
    flags = ["--{}=$(execpath {})".format(flag, file) for flag, file in [
        ("arch", arch),
        ("operations", operations),
    ] if file]
    native.genrule(
        name = name,
        srcs = [_ISA] + [file for file in [arch, operations] if file],
        outs = [out],
        cmd = "$(execpath //proto/codegen:main) --isa=$(execpath {}) {} --emit={} --output=$@".format(
            _ISA,
            " ".join(flags),
            kind,
        ),
        tools = ["//proto/codegen:main"],
        visibility = visibility or ["//visibility:private"],
    )

def npu_isa(name, visibility):
    """What the instruction set alone decides.

    Makes <name>.py, and the targets <name>_sv (npu_isa_pkg), <name>_cc ("npu_isa.h"), <name>_md.
    """
    npu_generated(name + "_python", "python_isa", name + ".py")
    npu_generated(
        name + "_md",
        "isa_md",
        name + ".md",
        operations = "//sim/operations:operations.json",
        visibility = visibility,
    )
    npu_generated(name + "_pkg", "sv_isa", "npu_isa_pkg.sv")
    verilog_library(
        name = name + "_sv",
        srcs = ["npu_isa_pkg.sv"],
        visibility = visibility,
    )
    npu_generated(name + "_h", "cc_isa", "npu_isa.h")
    cc_library(
        name = name + "_cc",
        hdrs = ["npu_isa.h"],
        includes = ["."],
        visibility = visibility,
    )

def npu_config(name, visibility):
    """One configuration, from proto/arch/<name>.textproto.

    Makes the targets <name>_sv (npu_isa_pkg and npu_arch_pkg), <name>_cc ("npu_isa.h" and
    "npu_arch.h"), <name>_md (its reference page).
    """
    arch = "//proto:arch/{}.textproto".format(name)
    npu_generated(name + "_md", "arch_md", name + "/index.md", arch, visibility)
    npu_generated(name + "_pkg", "sv_arch", name + "/npu_arch_pkg.sv", arch, visibility)
    verilog_library(
        name = name + "_sv",
        srcs = [name + "/npu_arch_pkg.sv"],
        visibility = visibility,
        deps = ["//proto:npu_isa_sv"],
    )
    npu_generated(name + "_h", "cc_arch", name + "/npu_arch.h", arch)
    cc_library(
        name = name + "_cc",
        hdrs = [name + "/npu_arch.h"],
        includes = [name],
        visibility = visibility,
        deps = ["//proto:npu_isa_cc"],
    )
