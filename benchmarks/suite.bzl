"""Shapes of the regression: model, program, run, benchmark.

npu_model(name)                          float and quantized ONNX of benchmarks/models/<name>
npu_program(model, config)               compiled program
npu_benchmark(model, configs, backends)  <model>_<config>_<backend>_report (JSON) and the test of that
                                         name without _report, which judges the report
"""

load("//bazel:python.bzl", "jq_py_test")

def npu_model(name, visibility = None):
    """<name>.float.onnx and <name>.qdq.onnx, from the committed graph, a seed and calibration data."""
    native.genrule(
        name = name + "_float",
        srcs = ["//benchmarks/models:graphs/%s.textproto" % name],
        outs = [name + ".float.onnx"],
        cmd = "$(execpath //benchmarks/models:fill_main) --graph $< --output $@",
        tools = ["//benchmarks/models:fill_main"],
        visibility = visibility,
    )
    native.genrule(
        name = name + "_qdq",
        srcs = [name + ".float.onnx"],
        outs = [name + ".qdq.onnx"],
        cmd = "$(execpath //benchmarks/models:quantize_main) --model $< --output $@",
        tools = ["//benchmarks/models:quantize_main"],
        visibility = visibility,
    )

def npu_program(model, config):
    """<model>_<config>.npu, and the seconds that compiling took in <model>_<config>.times.json."""
    name = "%s_%s" % (model, config)
    native.genrule(
        name = name,
        srcs = [model + ".qdq.onnx"],
        outs = [name + ".npu", name + ".times.json"],
        cmd = ("$(execpath //runtime/cli:compile) --model $(execpath {m}.qdq.onnx) --config {c}" +
               " --output $(execpath {n}.npu) --times $(execpath {n}.times.json)").format(
            m = model,
            c = config,
            n = name,
        ),
        tools = ["//runtime/cli:compile"],
    )

def _npu_run(model, config, backend):
    program = "%s_%s" % (model, config)
    name = "%s_%s_report" % (program, backend)
    simulator = "//sim/rtl:npu_sim_%s" % config
    srcs = [model + ".qdq.onnx", model + ".float.onnx", program + ".npu", program + ".times.json"]
    command = ("$(execpath //runtime/cli:run) --model $(execpath {m}.qdq.onnx)" +
               " --float_model $(execpath {m}.float.onnx) --program $(execpath {p}.npu)" +
               " --compile_times $(execpath {p}.times.json) --config {c} --backend {b}" +
               " --report $@ --report_failure").format(m = model, p = program, c = config, b = backend)
    tools = ["//runtime/cli:run"]
    if backend == "rtl":
        command += " --simulator $(execpath %s)" % simulator
        tools.append(simulator)
    native.genrule(
        name = name,
        srcs = srcs,
        outs = [name + ".json"],
        # The table goes to the log only if the run cannot even be reported.
        cmd = command + " > $(RULEDIR)/{n}.log 2>&1 || {{ cat $(RULEDIR)/{n}.log; exit 1; }}".format(n = name),
        tools = tools,
        visibility = ["//:__pkg__"],
    )
    return name

def npu_benchmark(model, configs, backends, limits = {}):
    """Tests and reports of a model.

    limits: "<config>_<backend>" -> {report field: largest value allowed}; for exact figures such as
    cycles, which only change when something changed.
    """
    for config in configs:
        npu_program(model, config)
        for backend in backends:
            report = _npu_run(model, config, backend)
            jq_py_test(
                name = report.removesuffix("_report"),
                src = "report_test.py",
                data = [report],
                env = {
                    "REPORT": "$(rootpath %s)" % report,
                    "LIMITS": json.encode(limits.get("%s_%s" % (config, backend), {})),
                },
            )
