"""The unit bench of the matrix engine and the memories."""

load("@rules_verilator//verilator:defs.bzl", "verilator_cc_library")
load("@rules_verilog//verilog:defs.bzl", "verilog_library")

def npu_matrix_bench(config, suffix = "", vopts = [], sv = None, cc = None):
    """npu_matrix_test_<config><suffix>: results, cycles and port races against plain C++.

    sv, cc: the configuration's packages and headers, where they are not those of //proto.
    """
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
            sv or "//proto:%s_sv" % config,
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
            cc or "//proto:%s_cc" % config,
        ],
    )
