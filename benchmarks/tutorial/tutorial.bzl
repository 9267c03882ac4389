"""The tutorial's variants, each a run of the cycle model with its report."""

_BASE = "edge16"

def npu_tutorial(name, variants):
    """<name>: the reports of all variants, what they are in <name>.json, and their overrides.

    variants: model of //benchmarks -> variant's name -> what differs (BUILD.bazel). Each makes
      <model>_<variant>.json, and where it is checked <model>_<variant>_<backend>.json.
    """
    made = [name + ".json"]
    machines = {}
    for model, entries in variants.items():
        for variant, entry in entries.items():
            backends = ["perf"] + ([entry["check"]] if "check" in entry else [])
            for backend in backends:
                made.append(_run(model, variant, entry, backend, machines))
    described = [
        {"model": model, "name": variant} | entry
        for model, entries in variants.items()
        for variant, entry in entries.items()
    ]
    native.genrule(
        name = name + "_json",
        outs = [name + ".json"],
        cmd = "cat > $@ <<'END'\n%s\nEND" % json.encode_indent(described),
    )
    native.filegroup(
        name = name,
        srcs = made + native.glob(["overrides/*.textproto"]),
    )

def _run(model, variant, entry, backend, machines):
    """One run's report; its file's name."""
    qdq = "//benchmarks:%s.qdq.onnx" % model
    report = "%s_%s%s.json" % (model, variant, "" if backend == "perf" else "_" + backend)
    srcs = [qdq]
    tools = ["//runtime/cli:run"]
    command = "$(execpath //runtime/cli:run) --model $(execpath %s) --backend %s" % (qdq, backend)
    if "machine" in entry:
        machine = _machine(entry["machine"], machines)
        srcs.append(machine)
        command += " --config $(execpath %s)" % machine
    else:
        command += " --config " + _BASE
    if "overrides" in entry:
        overrides = "overrides/%s.textproto" % entry["overrides"]
        srcs.append(overrides)
        command += " --overrides $(execpath %s)" % overrides
    if not entry.get("fuse", True):
        command += " --nofuse"
    if backend == "rtl":
        if "machine" in entry:
            fail("%s_%s: RTL must be of a configuration, got a machine; check it with func" % (model, variant))
        simulator = "//sim/rtl:npu_sim_" + _BASE
        command += " --simulator $(execpath %s)" % simulator
        tools.append(simulator)
    native.genrule(
        name = report.removesuffix(".json") + "_report",
        srcs = srcs,
        outs = [report],
        cmd = command + " --report $@ > $(RULEDIR)/%s.log 2>&1 || { cat $(RULEDIR)/%s.log; exit 1; }" % (report, report),
        tools = tools,
    )
    return report

def _machine(values, machines):
    """The configuration with these values; its file's name."""
    machine = "_".join([_BASE] + ["%s_%s" % value for value in values.items()])
    if machine not in machines:
        native.genrule(
            name = machine,
            outs = [machine + ".textproto"],
            cmd = "$(execpath :machine) --base %s --output $@ %s" % (
                _BASE,
                " ".join(["%s=%s" % value for value in values.items()]),
            ),
            tools = [":machine"],
        )
        machines[machine] = True
    return machine + ".textproto"
