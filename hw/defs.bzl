"""The RTL of one configuration."""

load("@rules_verilog//verilog:defs.bzl", "verilog_library")

def npu_rtl(config):
    """verilog_library npu_top_<config>: all modules behind that configuration's packages."""
    verilog_library(
        name = "npu_top_" + config,
        srcs = [
            "//hw/dma",
            "//hw/frontend",
            "//hw/matrix",
            "//hw/memory",
            "//hw/vector",
            "//hw/top",
        ],
        top_module = "npu_top",
        visibility = ["//:__subpackages__"],
        deps = [
            "//hw/common",
            "//proto:%s_sv" % config,
        ],
    )
