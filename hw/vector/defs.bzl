"""The unit bench of the vector engine."""

load("@rules_verilator//verilator:defs.bzl", "verilator_cc_library")
load("@rules_verilog//verilog:defs.bzl", "verilog_library")

def npu_vector_bench(config, suffix = "", vopts = []):
    """npu_vector_test_<config><suffix>: random instructions and cycle counts against plain C++."""
    model = "npu_vector_%s%s" % (config, suffix)
    verilog_library(
        name = model + "_rtl",
        srcs = [":vector"],
        top_module = "npu_vector",
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
        name = "npu_vector_test_%s%s" % (config, suffix),
        size = "small",
        srcs = [
            "npu_vector_test.cc",
            "vector_bench.h",
            "vector_cases.h",
            "vector_model.cc",
            "vector_model.h",
            "vector_random.h",
        ],
        copts = ["-O2"],
        deps = [
            ":" + model,
            "//proto:%s_cc" % config,
        ],
    )
