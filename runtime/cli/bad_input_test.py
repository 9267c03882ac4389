"""What a user gets wrong: one clear line each, a non-zero status, nothing written."""

from __future__ import annotations

import pathlib

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from jacquard.compiler.overrides import LayerOverride
from jacquard.proto.lib.errors import UserError
from jacquard.runtime.cli import command_run, main, options
from jacquard.runtime.cli.entry import guarded


def model(nodes, initializers=(), shape=(1, 4), outputs=("y",)) -> bytes:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in initializers],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 10
    return made.SerializeToString()


def matmul(weights: np.ndarray, **kwargs) -> bytes:
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="product")
    return model([node], [("w", weights)], **kwargs)


GOOD = matmul(np.ones((4, 4), np.float32))
UNSUPPORTED = model(
    [
        helper.make_node("Det", ["x"], ["a"], name="first"),
        helper.make_node("Elu", ["x"], ["b"], name="second"),
        helper.make_node("Relu", ["x"], ["y"], name="fine"),
    ],
    shape=(4, 4),
    outputs=("a", "b", "y"),
)

MODELS = {
    "not onnx": (b"this is no model", ["ONNX"]),
    "empty": (b"", ["ONNX"]),
    "truncated": (GOOD[: len(GOOD) // 2], ["ONNX"]),
    "unsupported operators, all named": (UNSUPPORTED, ["Det", "first", "Elu", "second"]),
    "dimensions disagree": (matmul(np.ones((5, 4), np.float32)), ["product"]),
    "dynamic shape": (matmul(np.ones((4, 4), np.float32), shape=("batch", 4)), ["x", "batch"]),
    "NaN weights": (matmul(np.full((4, 4), np.nan, np.float32)), ["w", "NaN"]),
}


def run(tmp_path: pathlib.Path, capsys, *argv: str) -> tuple[int, str, list[str]]:
    before = {file.name for file in tmp_path.iterdir()}
    status = guarded(main.main, list(argv))
    error = capsys.readouterr().err
    return status, error, sorted({file.name for file in tmp_path.iterdir()} - before)


@pytest.mark.parametrize("name", MODELS)
def test_bad_model(name, tmp_path, capsys):
    content, words = MODELS[name]
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    report = tmp_path / "report.json"
    status, error, written = run(tmp_path, capsys, "run", f"--model={path}", f"--report={report}")
    assert status == 1
    lines = [line for line in error.splitlines() if not line.startswith("warning")]
    assert lines and all(line.startswith("error: ") for line in lines)
    for word in words:
        assert word in error
    assert written == []


def test_missing_model(tmp_path, capsys):
    status, error, written = run(tmp_path, capsys, "run", f"--model={tmp_path}/none.onnx")
    assert (status, written) == (1, [])
    assert "none.onnx" in error


@pytest.mark.parametrize(
    "argv,word",
    [
        (["run", "--config=edge17"], "edge17"),
        (["run", "--input=x=missing.npy"], "missing.npy"),
        (["run", "--input=z=missing.npy"], "z must be an input"),
        (["run", "--input=x=x.npy", "--input=x=y.npy"], "x must be given once, got it 2 times"),
        (["run", "--shape=x"], "NAME=VALUE"),
        (["run", "--override=product:tile=4"], "field must be one of tile_height"),
        (["run", "--override=prodcut:fuse=false"], "prodcut: must name one of the model's"),
        (["run", "--overrides=none.textproto"], "none.textproto: must be a file that can be read"),
        (["run", "--nofuse", "--program=p.npu"], "must be given to `compile`"),
        (["run", "--overrides=o.textproto", "--program=p.npu"], "must be given to `compile`"),
        (["run", "--calibration=nowhere"], "--calibration nowhere: must be a folder"),
        (["run", "--float-model=none.onnx"], "none.onnx: must be a file that can be read, got"),
        (["run", "--program=none.npu"], "none.npu: program file does not exist"),
        (["run", "--simulator=s"], "--simulator: must come with --backend=rtl"),
        (
            ["run", "--report=nowhere/r.json"],
            "must be a file that can be written, got no folder nowhere",
        ),
        (["run", "--report=."], "must be a file that can be written, got a folder"),
        (["run", "--report=/dev/null"], "got a device; give another path"),
        (["run", "--report=/proc/r.json"], "got folder /proc that is not writable"),
        (["profile", "--html=nowhere/p", "--trace=."], "--trace .: must be a file that can be"),
        (["profile", "--html=nowhere/p", "--trace=."], "--html nowhere/p: must be a file that can"),
        (["profile", "--html=p", "--report=./p"], "--report ./p: must be another file than"),
        (["compile", "--output=p", "--plan-picture=p"], "must be another file than that of"),
        (["run", "--program=."], ".: program file is a folder; compile one"),
        (["run", "--compile-times=none.json"], "none.json: must be a file that can be read, got"),
        (["run", "--backend=rtl", "--simulator=none"], "none: must be a program, got none"),
        (["run", "--backend=rtl", "--simulator=/bin/true"], "/bin/true: must run 1 jobs, ran 0"),
        (["compile"], "--output"),
        (["compile", "--output=nowhere/p.npu"], "got no folder nowhere"),
        (["compile", "--output=p.npu", "--times=nowhere/t"], "got no folder nowhere"),
    ],
)
def test_bad_argument(argv, word, tmp_path, capsys):
    path = tmp_path / "m.onnx"
    path.write_bytes(GOOD)
    status, error, written = run(tmp_path, capsys, argv[0], f"--model={path}", *argv[1:])
    assert (status, written) == (1, [])
    assert word in error
    assert error.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize(
    "flag,message",
    [
        ("--input=x=missing.npy", "missing.npy: input file for x does not exist"),
        ("--input=z=x.npy", "z must be an input of the model"),
        ("--output-dir={}/m.onnx", "must be a folder that can be written, got file "),
        ("--output-dir={}/m.onnx/a/b", "must be a folder that can be written, got file "),
        ("--compile-times={}/m.onnx", "m.onnx: must be a JSON file with \"seconds\""),
        ("--program={}/m.onnx", "m.onnx: not a whole Jacquard program"),
        ("--float-model={}/other.onnx", "must have the outputs of the quantized model, y, got z"),
        ("--float-model={}/wide.onnx", "input x: must have shape [1, 5], got [1, 4]"),
        ("--float-model={}/odd.onnx", "model g: onnxruntime must be able to run it, got "),
        ("--input=x={}/x.npy", "input x: shape must be [1, 4], got [1, 5]"),
    ],
)
def test_arguments_are_refused_before_calibration(flag, message, tmp_path, capsys, monkeypatch):
    def calibrate(*_: object) -> None:
        raise AssertionError("calibration has begun")

    monkeypatch.setattr(options, "quantize_model", calibrate)
    path = tmp_path / "m.onnx"
    path.write_bytes(GOOD)
    other = helper.make_node("MatMul", ["x", "w"], ["z"], name="product")
    weights = [("w", np.ones((4, 4), np.float32))]
    (tmp_path / "other.onnx").write_bytes(model([other], weights, outputs=("z",)))
    (tmp_path / "wide.onnx").write_bytes(matmul(np.ones((5, 4), np.float32), shape=(1, 5)))
    (tmp_path / "odd.onnx").write_bytes(matmul(np.ones((5, 4), np.float32)))
    np.save(tmp_path / "x.npy", np.ones((1, 5), np.float32))
    status, error, written = run(
        tmp_path, capsys, "run", f"--model={path}", flag.format(tmp_path)
    )
    assert (status, written) == (1, [])
    assert message in error and "warning" not in error


def test_folder_for_outputs(tmp_path, monkeypatch):
    for path in (None, str(tmp_path), f"{tmp_path}/a/b", f"{tmp_path}/c/"):
        options.check_folder(path, "output-dir")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(options.os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(UserError, match=f"got folder {tmp_path} that is not writable"):
        options.check_folder(f"{tmp_path}/a", "output-dir")


def test_configuration_out_of_range_names_every_field(tmp_path, capsys):
    text = pathlib.Path("proto/arch/nano4.textproto").read_text()
    config = tmp_path / "mine.textproto"
    config.write_text(
        text.replace("rows: 4 ", "rows: 12 ").replace("queue_depth: 8", "queue_depth: 0")
    )
    (tmp_path / "m.onnx").write_bytes(GOOD)
    status, error, written = run(
        tmp_path,
        capsys,
        "compile",
        f"--model={tmp_path}/m.onnx",
        f"--config={config}",
        f"--output={tmp_path}/p.npu",
    )
    assert (status, written) == (1, [])
    assert "matrix.rows" in error and "12" in error
    assert "queue_depth" in error


def test_unknown_flag_and_command(tmp_path, capsys):
    assert run(tmp_path, capsys, "run", "--colour=red")[0] == 2
    status, error, _ = run(tmp_path, capsys, "fly")
    assert status == 2
    assert "run, generate, compile" in error


@pytest.mark.parametrize(
    "array,message",
    [
        (np.ones((2, 2), np.float32), "shape must be [1, 4], got [2, 2]"),
        (np.ones((1, 4), np.float64), "dtype must be float32, got float64"),
        (np.full((1, 4), np.nan, np.float32), "values must be finite"),
        (None, "must be a NumPy .npy or .npz file"),
    ],
    ids=["shape", "dtype", "nan", "empty file"],
)
def test_wrong_arrays_for_an_input(array, message, tmp_path, capsys):
    path, file = tmp_path / "m.onnx", tmp_path / "x.npy"
    path.write_bytes(GOOD)
    file.write_bytes(b"")
    if array is not None:
        np.save(file, array)
    argv = ["run", f"--model={path}", f"--input=x={file}", f"--report={tmp_path}/r.json"]
    status, error, written = run(tmp_path, capsys, *argv)
    assert (status, written) == (1, [])
    assert message in error


@pytest.mark.parametrize(
    "arrays,message",
    [
        ({"x": np.ones((1, 4), np.int64)}, None),
        ({"x": np.ones((1, 4), np.complex64)}, "x must be float32, got complex64"),
        ({"x": np.ones((1, 5), np.float32)}, "x must have shape [1, 4], got [1, 5]"),
        ({"z": np.ones((1, 4), np.float32)}, "got x missing"),
        ({}, "x missing"),
        (None, "must be a NumPy .npz file"),
    ],
    ids=["integers are converted", "dtype", "shape", "name", "no arrays", "no archive"],
)
def test_calibration_files(arrays, message, tmp_path, capsys):
    (tmp_path / "m.onnx").write_bytes(GOOD)
    folder = tmp_path / "calibration"
    folder.mkdir()
    if arrays is None:
        (folder / "a.npz").write_bytes(b"no archive")
    else:
        np.savez(folder / "a.npz", **arrays)
    argv = ["run", f"--model={tmp_path}/m.onnx", f"--calibration={folder}"]
    status, error, _ = run(tmp_path, capsys, *argv)
    assert status == (1 if message else 0)
    assert (message or "") in error
    assert "random data" not in error


def test_program_of_another_model_is_refused(tmp_path, capsys):
    good, other, program = tmp_path / "m.onnx", tmp_path / "o.onnx", tmp_path / "m.npu"
    good.write_bytes(GOOD)
    other.write_bytes(matmul(np.arange(16, dtype=np.float32).reshape(4, 4)))
    assert guarded(main.main, ["compile", f"--model={good}", f"--output={program}"]) == 0
    status, error, _ = run(tmp_path, capsys, "run", f"--model={other}", f"--program={program}")
    assert status == 1
    assert "m.npu: must be compiled from this very model (quantized: " in error


@pytest.mark.parametrize(
    "argv,message",
    [
        (["--argument=position=3"], "--argument: must come with --kv-cache, or a --program that"),
        (["--state=past.0.key=k.npy"], "--state: must come with --kv-cache, or a --program that"),
        (["--kv-cache", "--argument=position=x"], "position must be an integer, got x; e.g. pos"),
        (["--kv-cache", "--argument=position"], "--argument: must be NAME=VALUE, got position"),
        (["--kv-cache"], "must append a row to past keys and values (Concat of an input and one"),
        (["--kv-cache", "--program=m.npu"], "--kv-cache: must be given to `compile` when"),
    ],
)
def test_states_of_a_model_that_keeps_nothing(argv, message, tmp_path, capsys):
    (tmp_path / "m.onnx").write_bytes(GOOD)
    argv = ["run", f"--model={tmp_path}/m.onnx", f"--report={tmp_path}/r.json", *argv]
    status, error, written = run(tmp_path, capsys, *argv)
    assert (status, written) == (1, [])
    lines = [line for line in error.splitlines() if not line.startswith("warning")]
    assert len(lines) == 1 and message in lines[0]


def test_overrides_of_one_layer_add_up(tmp_path):
    """Those of the file first, then those of the flags, which win."""
    file = tmp_path / "o.textproto"
    file.write_text(
        'layer { name: "a:b" tile_height: 2 tile_width: 6 } layer { name: "c" order: WEIGHTS }'
    )
    values = command_run.define_flags()
    values(
        [
            "jacquard",
            "--model=m.onnx",
            "--override=a:b:tile_height=4",
            "--override=a:b:fuse=false",
            f"--overrides={file}",
            "--nofuse",
        ]
    )
    found = options.compile_options(values)
    assert found.overrides == {
        "a:b": LayerOverride(tile_height=4, tile_width=6, fuse=False),
        "c": LayerOverride(order="weights"),
    }
    assert (found.model_name, found.fuse) == ("m", False)


def test_a_full_disk_is_no_traceback(capsys):
    def full(_: list[str]) -> int:
        raise OSError(28, "No space left on device", "out/y.npy")

    assert guarded(full, []) == 1
    assert capsys.readouterr().err == "error: out/y.npy: No space left on device\n"


def test_program_is_refused_when_corrupted_or_of_another_machine(tmp_path, capsys):
    path, program = tmp_path / "m.onnx", tmp_path / "m.npu"
    path.write_bytes(GOOD)
    assert guarded(main.main, ["compile", f"--model={path}", f"--output={program}"]) == 0
    arguments = [f"--model={path}", f"--program={program}"]
    status, error, _ = run(tmp_path, capsys, "run", *arguments, "--config=nano4")
    assert status == 1
    assert "fingerprint" in error
    whole = program.read_bytes()
    for damaged in (whole[:-7], whole[:100] + bytes([whole[100] ^ 1]) + whole[101:], b""):
        program.write_bytes(damaged)
        status, error, _ = run(tmp_path, capsys, "run", *arguments)
        assert status == 1
        assert "recompile" in error


def test_dump_after_prints_the_pass(tmp_path, capsys):
    path = tmp_path / "m.onnx"
    path.write_bytes(GOOD)
    argv = ["compile", f"--model={path}", f"--output={tmp_path}/m.npu", "--dump-after=import"]
    assert guarded(main.main, argv) == 0
    assert "# after import" in capsys.readouterr().out


def test_an_input_that_nothing_reads_does_not_matter(tmp_path):
    unread = onnx.load_from_string(GOOD)
    unread.graph.input.append(helper.make_tensor_value_info("ids", TensorProto.INT64, (1, 4)))
    (tmp_path / "m.onnx").write_bytes(unread.SerializeToString())
    assert guarded(main.main, ["run", f"--model={tmp_path}/m.onnx"]) == 0


def test_a_good_model_runs(tmp_path, capsys):
    path = tmp_path / "m.onnx"
    path.write_bytes(GOOD)
    argv = ["run", f"--model={path}", f"--output-dir={tmp_path}/out", f"--report={tmp_path}/r.json"]
    assert guarded(main.main, argv) == 0
    assert np.load(tmp_path / "out" / "y.npy").shape == (1, 4)
