"""The RTL simulator of one configuration."""

load("@rules_verilator//verilator:defs.bzl", "verilator_cc_library")
load("@rules_verilog//verilog:defs.bzl", "verilog_library")
load(":build_time.bzl", "simulator_build_time")

_HARNESS = [
    "dram.cc",
    "dram.h",
    "job.cc",
    "job.h",
    "machine.cc",
    "machine.h",
    "main.cc",
]

def npu_sim(config):
    """npu_sim_<config>: the verilated chip with pins, DRAM and job files (harness.py) around it.

    npu_sim_<config>_build_time: a JSON file of the seconds that building it takes.
    """
    verilator_cc_library(
        name = "npu_top_" + config,
        module = "//hw:npu_top_" + config,
    )
    native.cc_binary(
        name = "npu_sim_" + config,
        srcs = _HARNESS,
        visibility = ["//:__subpackages__"],
        deps = [
            ":npu_top_" + config,
            "//proto:%s_cc" % config,
        ],
    )
    simulator_build_time(
        name = "npu_sim_%s_build_time" % config,
        harness = _HARNESS,
        module = "//hw:npu_top_" + config,
        packages = "//proto:%s_cc" % config,
        visibility = ["//:__subpackages__"],
    )

def dma_bench(engine, config):
    """<engine>_bench_<config>: LOAD or STORE alone against plain C++."""
    model = "npu_%s_%s" % (engine, config)
    verilog_library(
        name = model + "_rtl",
        srcs = ["//hw/dma"],
        top_module = "npu_" + engine,
        deps = [
            "//hw/common",
            "//proto:%s_sv" % config,
        ],
    )
    verilator_cc_library(
        name = model,
        module = ":%s_rtl" % model,
    )
    native.cc_test(
        name = "%s_bench_%s" % (engine, config),
        size = "small",
        srcs = [
            engine + "_bench.cc",
            "dma_bench.h",
            "dram.cc",
            "dram.h",
        ],
        deps = [
            ":" + model,
            "//proto:%s_cc" % config,
        ],
    )
