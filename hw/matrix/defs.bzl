"""The unit bench of the matrix engine and the memories."""

load("@rules_verilator//verilator:defs.bzl", "verilator_cc_library")
load("@rules_verilog//verilog:defs.bzl", "verilog_library")

def npu_matrix_bench(config, suffix = "", vopts = []):
    """npu_matrix_test_<config><suffix>: results, cycles and port races against plain C++."""
    model = "npu_matrix_%s%s" % (config, suffix)
    verilog_library(
        name = model + "_rtl",
        srcs = [
            ":matrix",
            "npu_matrix_bench.sv",
            "//hw/memory",
        ],
        top_module = "npu_matrix_bench",
        deps = [
            "//hw/common",
            "//proto:%s_sv" % config,
        ],
    )
    verilator_cc_library(
        name = model,
        module = ":%s_rtl" % model,
        vopts = vopts,
    )
    native.cc_test(
        name = "npu_matrix_test_%s%s" % (config, suffix),
        size = "small",
        srcs = [
            "matrix_bench.h",
            "matrix_model.h",
            "npu_matrix_test.cc",
        ],
        copts = ["-O2"],
        deps = [
            ":" + model,
            "//proto:%s_cc" % config,
        ],
    )
