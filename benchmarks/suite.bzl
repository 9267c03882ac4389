"""Shapes of the regression: model, program, run, benchmark.

npu_model(name)             float and quantized ONNX of benchmarks/models/<name>, and <name>_sqnr: a
                            table (.md, .json) of where the quantized model leaves the float model
npu_outliers(model)         <model>_outliers: it with outliers in its activations, and its table
npu_program(model, config)  compiled program; of a decoder's graphs, with keys and values in the device
npu_generation(model, ...)  tokens of <model>_prefill and <model>_decode: per run a report and its test
npu_benchmarks(models)      npu_benchmark of each
npu_benchmark(model, runs)  model and programs, and per run <model>_<config>_<backend>_report (JSON) and the
                            test of that name without _report, which judges the report; where RTL runs
                            the cycle model runs beside it, and its test holds it to RTL
npu_perf_errors(name, runs) <name>.md: how far the cycle model is from RTL on every program
npu_exploration(name, ...)  a sweep of configurations: explore_<name>_report (JSON, page) and its test
npu_tuning(name, runs)      <name>.md: what tuning by the cycle model changes; per run its overrides, a report and
                            their test, where `checked` beside the tuned program in func and in RTL
npu_accuracy(model, ...)    test of the simulated outputs against float, beside a yardstick
"""

load("//bazel:python.bzl", "jq_py_test")

def _logged(command, name):
    """The command; what it prints goes to the log only if it fails."""
    return "{c} > $(RULEDIR)/{n}.log 2>&1 || {{ cat $(RULEDIR)/{n}.log; exit 1; }}".format(c = command, n = name)

def npu_outliers(model):
    """<model>_outliers.float.onnx and .qdq.onnx, and what smoothing gives in <model>_outliers_sqnr."""
    name = model + "_outliers"
    for out, source, tool in [
        ("float", model, "//benchmarks/models:outliers_main"),
        ("qdq", name, "//benchmarks/models:quantize_main"),
    ]:
        native.genrule(
            name = "%s_%s" % (name, out),
            srcs = [source + ".float.onnx"],
            outs = ["%s.%s.onnx" % (name, out)],
            cmd = "$(execpath %s) --output $@ --model $<" % tool,
            tools = [tool],
        )
    _npu_sqnr(name, None, " --before_after")

def npu_model(name, like = None, sqnr = True, graph = None, weight_bits = 8, visibility = None):
    """<name>.float.onnx and <name>.qdq.onnx, from the committed graph, a seed and calibration data.

    like: a model whose weights and grids this one takes where they share them: a decode step's prefill.
    sqnr: whether there is a table of accuracy, with other ways to quantize it beside.
    graph: the committed graph where it is not that of the name.
    weight_bits: of the configurations that run it.
    """
    graphs = ["//benchmarks/models:graphs/%s.textproto" % n for n in [graph or name, like] if n]
    native.genrule(
        name = name + "_float",
        srcs = graphs,
        outs = [name + ".float.onnx"],
        cmd = "$(execpath //benchmarks/models:fill_main) --output $@ --graph " +
              " --like ".join(["$(execpath %s)" % graph for graph in graphs]),
        tools = ["//benchmarks/models:fill_main"],
        visibility = visibility,
    )
    models = [name + ".float.onnx"] + ([like + ".qdq.onnx"] if like else [])
    native.genrule(
        name = name + "_qdq",
        srcs = models,
        outs = [name + ".qdq.onnx"],
        cmd = "$(execpath //benchmarks/models:quantize_main) --output $@ " +
              ("" if weight_bits == 8 else "--weight_bits %d " % weight_bits) +
              "--model " + " --like ".join(["$(execpath %s)" % model for model in models]),
        tools = ["//benchmarks/models:quantize_main"],
        visibility = visibility,
    )
    if sqnr:
        # What a decode step's other forms give says its prefill's table.
        _npu_sqnr(name, visibility, "" if like else " --before_after")

def _npu_sqnr(name, visibility, flags):
    native.genrule(
        name = name + "_sqnr",
        srcs = [name + ".float.onnx", name + ".qdq.onnx"],
        outs = [name + ".sqnr.md", name + ".sqnr.json"],
        cmd = _logged(
            ("$(execpath //benchmarks/models:sqnr_main) --model $(execpath {n}.float.onnx)" +
             " --quantized $(execpath {n}.qdq.onnx) --products --output $(execpath {n}.sqnr.json)" +
             " --markdown $(execpath {n}.sqnr.md){f}").format(n = name, f = flags),
            name + ".sqnr",
        ),
        tools = ["//benchmarks/models:sqnr_main"],
        visibility = visibility,
    )

def npu_program(model, config, kv_cache = False, tuned = False):
    """<model>_<config>.npu, and the seconds that compiling took in <model>_<config>.times.json.

    tuned: <model>_<config>_tuned.npu, with the overrides of npu_tuning.
    """
    name = "%s_%s" % (model, config) + ("_tuned" if tuned else "")
    overrides = [name + ".textproto"] if tuned else []
    native.genrule(
        name = name,
        srcs = [model + ".qdq.onnx"] + overrides,
        outs = [name + ".npu", name + ".times.json"],
        cmd = ("$(execpath //runtime/cli:compile) --model $(execpath {m}.qdq.onnx) --config {c}" +
               " --output $(execpath {n}.npu) --times $(execpath {n}.times.json){k}").format(
            k = (" --kv_cache" if kv_cache else "") +
                "".join([" --overrides $(execpath %s)" % file for file in overrides]),
            m = model,
            c = config,
            n = name,
        ),
        tools = ["//runtime/cli:compile"],
    )

def _npu_run(model, config, backend, position, tuned = False):
    program = "%s_%s" % (model, config) + ("_tuned" if tuned else "")
    name = "%s_%s_report" % (program, backend)
    simulator = "//sim/rtl:npu_sim_%s" % config
    srcs = [model + ".qdq.onnx", program + ".npu", program + ".times.json"]
    command = ("$(execpath //runtime/cli:run) --model $(execpath {m}.qdq.onnx)" +
               " --program $(execpath {p}.npu) --compile_times $(execpath {p}.times.json) --config {c} --backend {b}" +
               " --report $@ --report_failure").format(m = model, p = program, c = config, b = backend)
    if backend != "perf":
        command += " --float_model $(execpath %s.float.onnx)" % model
        srcs.append(model + ".float.onnx")
    if position != None:
        command += " --argument position=%d" % position
    tools = ["//runtime/cli:run"]
    if backend == "rtl":
        built = simulator + "_build_time"
        command += " --simulator $(execpath %s) --simulator_build $(execpath %s)" % (simulator, built)
        tools.append(simulator)
        srcs.append(built)
    native.genrule(
        name = name,
        srcs = srcs,
        outs = [name + ".json"],
        cmd = _logged(command, name),
        tools = tools,
        visibility = ["//:__pkg__"],
    )
    return name

def npu_generation(model, words, prompt_ids, runs, limits = {}, longer = None):
    """<model>_generate_<config>_<backend>: tokens equal the integer reference's, logits bit for bit.

    words: of the vocabulary.
    runs: "<config>_<backend>" -> how many tokens.
    limits: "<config>_<backend>" -> {report field: largest value allowed}.
    longer: rows of a second cache, of <model>_decode_<rows>; <rows> stands in the names before the run.
    """
    kinds = ["prefill", "decode"] + (["decode_%d" % longer] if longer else [])
    graphs = ["%s_%s.qdq.onnx" % (model, kind) for kind in kinds]
    for run, tokens in runs.items():
        config, backend = run.split("_")
        name = "%s_generate_%s%s" % (model, "%d_" % longer if longer else "", run)
        simulator = "//sim/rtl:npu_sim_%s" % config
        command = ("$(execpath //runtime/cli:generate) --prefill $(execpath {p}) {d} --config {c} --backend {b}" +
                   " --prompt_ids {ids} --tokens {t} --check --report $@ --report_failure").format(
            p = graphs[0],
            d = " ".join(["--decode $(execpath %s)" % graph for graph in graphs[1:]]),
            c = config,
            b = backend,
            ids = ",".join([str(token) for token in prompt_ids]),
            t = tokens,
        )
        tools = ["//runtime/cli:generate"]
        if backend == "rtl":
            command += " --simulator $(execpath %s)" % simulator
            tools.append(simulator)
        native.genrule(
            name = name + "_report",
            srcs = graphs,
            outs = [name + "_report.json"],
            cmd = _logged(command, name),
            tools = tools,
        )
        jq_py_test(
            name = name,
            src = "generation_report_test.py",
            data = [name + "_report"],
            env = {
                "BUCKETS": str(len(kinds) - 1),
                "LIMITS": json.encode(limits.get(run, {})),
                "REPORT": "$(rootpath %s_report)" % name,
                "TOKENS": str(tokens),
                "WORDS": str(words),
            },
        )

def npu_benchmarks(models, **kwargs):
    """models: name -> the parameters of npu_benchmark."""
    for model, parameters in models.items():
        npu_benchmark(model, **(parameters | kwargs))

def npu_benchmark(
        model,
        runs,
        limits = {},
        like = None,
        kv_cache = False,
        position = None,
        sqnr = True,
        margin_db = 0.5,
        graph = None,
        weight_bits = 8,
        visibility = None):
    """Models, programs, reports and tests of a model.

    runs: configuration -> backends. Where there is rtl, perf follows by itself.
    limits: "<config>_<backend>" -> {report field: largest value allowed}, a field of a field with a
      dot, a quotient of two with " / " between; for exact figures such as cycles, which only change
      when something changed.
    like, sqnr, graph, weight_bits: of npu_model.
    kv_cache: of a decoder's graphs: keys and values stay in the device.
    position: of a decode step: the row that the run writes, all before it count.
    margin_db: how far the largest output may be below what onnxruntime gives.
    """
    npu_model(model, like, sqnr, graph, weight_bits, visibility)
    for config, backends in runs.items():
        npu_program(model, config, kv_cache)
        for backend in backends:
            report = _npu_run(model, config, backend, position)
            jq_py_test(
                name = report.removesuffix("_report"),
                src = "report_test.py",
                data = [report],
                env = {
                    "REPORT": "$(rootpath %s)" % report,
                    "LIMITS": json.encode(limits.get("%s_%s" % (config, backend), {})),
                    "MARGIN_DB": str(margin_db),
                },
            )
        if "rtl" in backends:
            _npu_perf(model, config, position, limits.get(config + "_perf", {}))
    known = ["%s_%s" % (c, b) for c in runs for b in runs[c] + (["perf"] if "rtl" in runs[c] else [])]
    unknown = [k for k in limits if k not in known]
    if unknown:
        fail("%s: limits must be of a run, got %s" % (model, unknown))

def _npu_perf(model, config, position, limits):
    """The cycle model's report, and <model>_<config>_perf, which holds it to RTL's."""
    report = _npu_run(model, config, "perf", position)
    rtl = "%s_%s_rtl_report" % (model, config)
    jq_py_test(
        name = report.removesuffix("_report"),
        src = "perf_test.py",
        data = [report, rtl],
        env = {
            "LIMITS": json.encode(limits),
            "REPORT": "$(rootpath %s)" % report,
            "RTL_REPORT": "$(rootpath %s)" % rtl,
        },
        deps = ["//benchmarks/cycle_model:errors"],
    )

def npu_perf_errors(name, runs):
    """<name>.md: the cycle model against RTL, a row per program, and the bound per configuration.

    runs: model -> configuration -> backends.
    """
    reports = [
        "%s_%s_%s_report" % (model, config, backend)
        for model, configs in runs.items()
        for config, backends in configs.items()
        if "rtl" in backends
        for backend in ["perf", "rtl"]
    ]
    native.genrule(
        name = name,
        srcs = reports,
        outs = [name + ".md"],
        cmd = "$(execpath //benchmarks/cycle_model:table) --output $@ " +
              " ".join(["$(execpath %s)" % report for report in reports]),
        tools = ["//benchmarks/cycle_model:table"],
    )

def npu_accuracy(model, config, output, within_db, **kwargs):
    """<model>_accuracy_test: `output` of the functional simulator is as near to float as the same of
    onnxruntime with matrix products alone quantized, or at most `within_db` below."""
    jq_py_test(
        name = model + "_accuracy_test",
        src = "products_accuracy_test.py",
        data = [
            model + "_float",
            model + "_sqnr",
            "%s_%s" % (model, config),
        ],
        env = {
            "MODEL": "benchmarks/" + model,
            "CONFIG": config,
            "OUTPUT": output,
            "WITHIN_DB": str(within_db),
        },
        tags = ["resources:memory:4000"],
        deps = [
            "//benchmarks/models",
            "//proto/lib:arch",
            "//runtime/api",
            "//runtime/device",
            "@pypi//numpy",
            "@pypi//onnx",
        ],
        **kwargs
    )

def npu_exploration(name, models, sweeps, configurations, stateful = []):
    """explore_<name>: the front is right, every configuration is there, cycles are the RTL's.

    models: of npu_benchmark, with a run of edge16 in RTL to compare with.
    stateful: the same with keys and values in the device; compared with nothing.
    sweeps: as for `explore --sweep`, over edge16.
    configurations: how many that makes.
    """
    qdq = [(flag, "%s.qdq.onnx" % m) for flag, ms in [("model", models), ("stateful", stateful)] for m in ms]
    report = "explore_%s_report" % name
    native.genrule(
        name = report,
        srcs = [file for _, file in qdq],
        outs = ["explore_%s.json" % name, "explore_%s.html" % name],
        cmd = _logged(" ".join(
            ["made=$$(mktemp -d); $(execpath //runtime/cli:explore) --base edge16 --jobs 1 --output $$made"] +
            ["--%s $(execpath %s)" % pair for pair in qdq] +
            ["--sweep " + sweep for sweep in sweeps],
        ), report) + ("; mv $$made/explore.json $(execpath explore_{n}.json);" +
                      " mv $$made/explore.html $(execpath explore_{n}.html); rm -r $$made").format(n = name),
        tools = ["//runtime/cli:explore"],
    )
    reports = ["%s_edge16_rtl_report" % model for model in models]
    jq_py_test(
        name = "explore_" + name,
        src = "exploration_test.py",
        data = reports + ["explore_%s.html" % name, "explore_%s.json" % name],
        env = {
            "CONFIGURATIONS": str(configurations),
            "PAGE": "$(rootpath explore_%s.html)" % name,
            "REPORT": "$(rootpath explore_%s.json)" % name,
            "RTL": " ".join(["$(rootpath %s)" % r for r in reports]),
        },
        deps = [
            "//benchmarks/cycle_model:errors",
            "//proto/lib:arch",
        ],
    )

def npu_tuning(name, runs, checked = {}):
    """<name>.md, and per model and configuration <model>_<config>_tuning: never slower than as compiled.

    runs: model -> configuration -> flags that limit the search; models of npu_benchmark, which run
      there in RTL.
    checked: model -> configurations on which the tuned program itself runs in func and in RTL: bit by
      bit, cycle by cycle.
    """
    found = []
    for model, configs in runs.items():
        for config, limits in configs.items():
            tuned = "%s_%s_tuned" % (model, config)
            report = tuned + ".json"
            native.genrule(
                name = tuned + "_overrides",
                srcs = [model + ".qdq.onnx"],
                outs = [tuned + ".textproto", report],
                cmd = _logged(" ".join([
                    "$(execpath //runtime/cli:tune) --model $< --config %s --jobs 1 %s" % (config, limits),
                    "--output $(execpath %s.textproto) --report $(execpath %s)" % (tuned, report),
                ]), tuned),
                tools = ["//runtime/cli:tune"],
            )
            found.append(report)
            reports = {"DEFAULT": "%s_%s_rtl_report" % (model, config)}
            if config in checked.get(model, []):
                npu_program(model, config, tuned = True)
                for backend in ["func", "rtl"]:
                    reports[backend.upper()] = _npu_run(model, config, backend, None, tuned = True)
            jq_py_test(
                name = "%s_%s_tuning" % (model, config),
                src = "tuning_test.py",
                data = reports.values() + [report, tuned + ".textproto"],
                env = {n: "$(rootpath %s)" % file for n, file in reports.items()} | {
                    "OVERRIDES": "$(rootpath %s.textproto)" % tuned,
                    "TUNED": "$(rootpath %s)" % report,
                },
                deps = ["//compiler"],
            )
    native.genrule(
        name = name,
        srcs = found,
        outs = [name + ".md"],
        cmd = "$(execpath //benchmarks/tuning:table) --output $@ " +
              " ".join(["$(execpath %s)" % report for report in found]),
        tools = ["//benchmarks/tuning:table"],
    )
