"""Results that stay in IBUF for the products behind them, and compete for it."""

import dataclasses

import numpy as np
import onnx
import pytest

from jacquard.benchmarks.conformance.run import run
from jacquard.benchmarks.conformance.small_model import On, model
from jacquard.compiler.checker import table
from jacquard.compiler.checker.traffic import traffic
from jacquard.compiler.main import CompileOptions, compile_model
from jacquard.compiler.overrides import LayerOverride
from jacquard.proto import npu_isa as isa
from jacquard.proto import program_pb2 as pb
from jacquard.proto.lib.arch import Arch, load_config
from jacquard.sim.reference.interpreter import run_reference

BYTES = On(0.02, 3, "int8")
WEIGHTS = On(0.01, 0, "int8")
INPUT = (1, 12, 9, 11)


def check(made: onnx.ModelProto, arch: Arch, inputs: dict[str, np.ndarray]) -> pb.Program:
    """Compiles, runs, compares bit for bit."""
    program = compile_model(made, arch, CompileOptions())
    found = run(program, arch, inputs)
    for name, expected in run_reference(made, inputs).integer_outputs.items():
        np.testing.assert_array_equal(found[name], expected, err_msg=name)
    return program


def fetches(program: pb.Program) -> int:
    """LOADs of activations into IBUF."""
    loads = table.read(program.code).tables[isa.Load]
    (scratch,) = (s.arg for s in program.segments if s.kind == pb.Segment.SCRATCH)
    return int(((loads["buffer"] == isa.Buffer.IBUF) & (loads["arg"] == scratch)).sum())


def kept(program: pb.Program) -> int:
    """VECTOR instructions that put results into IBUF as well as into VMEM."""
    vectors = table.read(program.code).tables[isa.Vector]
    return int((vectors["dst2_buffer"] == isa.Buffer.IBUF).sum())


def convolutions(seed: int) -> onnx.ModelProto:
    """Convolutions of every form over one another's results, some with several readers."""
    random = np.random.default_rng(seed)
    grids, constants, nodes = {"x": BYTES}, {}, []
    shapes, readers = {"x": INPUT}, {"x": 0}
    for index in range(7):
        source = str(random.choice(list(shapes)[-3:]))
        same = [n for n, s in shapes.items() if s == shapes[source] and n != source]
        name = f"t{index}"
        readers[source] += 1
        if same and random.random() < 0.4:
            other = str(random.choice(same))
            nodes.append(("Add", f"{source} {other}", name, {}))
            shapes[name] = shapes[source]
            readers[other] += 1
        else:
            _, channels, height, width = shapes[source]
            kernel = [int(k) for k in random.choice([1, 1, 2, 3, 5], 2)]
            pads = [int(p) for p in random.integers(0, 3, 4)] if max(kernel) > 1 else [0] * 4
            strides = [int(s) for s in random.choice([1, 1, 2], 2)]
            outputs = int(random.choice([8, 20, 33, 64]))
            size = [(n + pads[i] + pads[i + 2] - kernel[i]) // strides[i] + 1
                    for i, n in enumerate((height, width))]
            if min(size) < 1:
                kernel, pads, strides, size = [1, 1], [0] * 4, [1, 1], [height, width]
            nodes.append(("Conv", f"{source} w{index}", name, {
                "kernel_shape": kernel, "pads": pads, "strides": strides,
            }))
            grids[f"w{index}"] = WEIGHTS
            constants[f"w{index}"] = random.integers(
                -99, 100, (outputs, channels, *kernel)).astype(np.int8)
            shapes[name] = (1, outputs, *size)
        grids[name], readers[name] = BYTES, 0
    ends = [name for name, count in readers.items() if not count]
    return model(nodes, {"x": INPUT}, grids, ends, constants)


@pytest.mark.parametrize("config", ["nano4", "edge16", "rect8x16", "server64"])
@pytest.mark.parametrize("seed", range(12))
def test_convolutions(seed: int, config: str) -> None:
    """Kernels, strides and paddings that read one result; of nano4's IBUF some fill most."""
    random = np.random.default_rng(seed)
    inputs = {"x": random.normal(size=INPUT).astype(np.float32)}
    check(convolutions(seed), load_config(config), inputs)


def products(rows: int, width: int) -> onnx.ModelProto:
    """A norm that three products read, two products in a row, and one over a sum."""
    random = np.random.default_rng(7)
    nodes = [
        ("MatMul", "x wa", "a", {}), ("LayerNormalization", "a gain bias", "n", {"axis": -1}),
        ("MatMul", "n wb", "b", {}), ("MatMul", "b wc", "c", {}), ("MatMul", "n wd", "d", {}),
        ("Add", "c d", "e", {}), ("MatMul", "e we", "f", {}), ("MatMul", "n wf", "g", {}),
    ]
    grids = dict.fromkeys(["x", *(result for _, _, result, _ in nodes)], BYTES)
    constants = {"gain": random.normal(1, 0.1, width).astype(np.float32),
                 "bias": random.normal(0, 0.1, width).astype(np.float32)}
    for name in ("wa", "wb", "wc", "wd", "we", "wf"):
        grids[name] = WEIGHTS
        constants[name] = random.integers(-60, 61, (width, width)).astype(np.int8)
    return model(nodes, {"x": (rows, width)}, grids, ["f", "g"], constants)


@pytest.mark.parametrize("shape", [
    ("nano4", 16, 32), ("nano4", 40, 60), ("edge16", 64, 256), ("edge16", 128, 500),
    ("rect8x16", 48, 128), ("mobile32", 128, 256), ("server64", 128, 512), ("server64", 1, 300),
], ids=str)
def test_products(shape: tuple[str, int, int]) -> None:
    """Rows made on demand, tiles left for later, results of which IBUF holds some, all or none."""
    config, rows, width = shape
    arch = load_config(config)
    inputs = {"x": np.random.default_rng(1).normal(size=(rows, width)).astype(np.float32)}
    program = check(products(rows, width), arch, inputs)
    size = rows * -(-width // arch.cols) * arch.cols
    assert bool(kept(program)) == (2 * size < arch.ibuf_bytes)


def chain(size: int = 9) -> onnx.ModelProto:
    random = np.random.default_rng(3)
    weights = {"wa": (24, 12, 1, 1), "wb": (24, 24, 3, 3), "wc": (12, 24, 1, 1)}
    nodes = [("Conv", "x wa", "a", {}), ("Conv", "a wb", "b", {"pads": [1, 1, 1, 1]}),
             ("Conv", "b wc", "c", {})]
    grids = dict.fromkeys("xabc", BYTES) | dict.fromkeys(weights, WEIGHTS)
    constants = {n: random.integers(-99, 100, s).astype(np.int8) for n, s in weights.items()}
    return model(nodes, {"x": (1, 12, size, size)}, grids, ["c"], constants)


def test_nothing_is_fetched_twice() -> None:
    """What is kept is not loaded, nor spilled; an override brings that back."""
    arch, made = load_config("edge16"), chain()
    program = compile_model(made, arch, CompileOptions())
    assert not sum(traffic(program).spilled)
    for layers in (["n0"], ["n1"], ["n0", "n1"]):
        fixed = {name: LayerOverride(placement="dram") for name in layers}
        stored = compile_model(made, arch, CompileOptions(overrides=fixed))
        assert fetches(stored) >= fetches(program) + len(layers)
        assert kept(stored) < kept(program)
        sizes = {layer.name: layer.output.size_bytes for layer in program.layers}
        assert sum(traffic(stored).spilled) == sum(sizes[name] for name in layers)


def test_what_finds_no_place_is_stored() -> None:
    """Results that IBUF has no room for are loaded as ever."""
    arch = load_config("edge16")
    small = dataclasses.replace(arch, ibuf_bytes=8192)
    made = chain(17)
    assert kept(compile_model(made, arch, CompileOptions()))
    inputs = {"x": np.random.default_rng(1).normal(size=(1, 12, 17, 17)).astype(np.float32)}
    assert not kept(check(made, small, inputs))
