"""The pages that lay our figures beside the goals and beside what others publish."""

load("//bazel:python.bzl", "jq_py_binary", "jq_py_test")

_DATA = [
    "//benchmarks/figures:published.json",
    "//benchmarks/figures:goals.json",
]
_MADE = {
    "page": "figures.md",
    "picture": "figures.svg",
}

def npu_figures(name, runs):
    """`bazel run` of update_<name> writes docs/figures.md and its picture; <name>_test fails when they are stale.

    configurations: the table of all configurations, with rates and build times of this machine, and
    its test. startup_test: the largest start-up of the goals' configurations.
    runs: model -> configuration -> backends.
    """
    reports = [
        "%s_%s_rtl_report" % (model, config)
        for model, configs in runs.items()
        for config, backends in configs.items()
        if "rtl" in backends
    ]
    sources = " --published $(execpath %s) --goals $(execpath %s) " % (_DATA[0], _DATA[1])
    sources += " ".join(["$(execpath %s)" % report for report in reports])
    native.genrule(
        name = name + "_page",
        srcs = _DATA + reports,
        outs = _MADE.values(),
        cmd = "$(execpath //benchmarks/figures:make) " +
              " ".join(["--%s $(execpath %s)" % made for made in _MADE.items()]) + sources,
        tools = ["//benchmarks/figures:make"],
    )
    native.genrule(
        name = "configurations",
        srcs = _DATA + reports,
        outs = ["configurations.md"],
        cmd = "$(execpath //benchmarks/figures:configurations) --output $@" + sources,
        tools = ["//benchmarks/figures:configurations"],
    )
    made = ["$(rootpath %s)" % file for file in _MADE.values()]
    jq_py_binary(
        name = "update_" + name,  # <name> is a folder, which no file beside it may be called
        srcs = [],
        args = made,
        data = _MADE.values(),
        main = "figures/update.py",
        deps = ["//benchmarks/figures:update_lib"],
    )
    jq_py_test(
        name = name + "_test",
        data = _MADE.values() + ["//docs:" + file for file in _MADE.values()],
        env = {"MADE": " ".join(made)},
    )
    for test in ["configurations", "startup"]:
        jq_py_test(
            name = test + "_test",
            data = _DATA + reports,
            env = {
                "GOALS": "$(rootpath %s)" % _DATA[1],
                "PUBLISHED": "$(rootpath %s)" % _DATA[0],
                "REPORTS": " ".join(["$(rootpath %s)" % report for report in reports]),
            },
            deps = ["//benchmarks/figures"],
        )
